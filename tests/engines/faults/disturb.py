"""The same command again and again, while faults strike it at random moments."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .place import PATIENCE, Place, Training, until

SPARE = 8
"""runs of the command beyond one for each fault"""


@dataclass
class Scene:
    """What a fault may strike: a training that runs, and the engine that started it."""

    place: Place
    engine: subprocess.Popen[str]
    training: Training
    rng: random.Random


# Does its harm, waits for its end where it has one, and says whether it hit.
Fault = Callable[[Scene], bool]


def disturb(place: Place, faults: Sequence[Fault], rng: random.Random, seconds: dict[str, float]) -> int:
    """Give the command until it has succeeded and every fault has struck a training; how often it was given.

    A fault strikes at a moment drawn from the whole life of a training, of which `seconds` are the lengths by
    row. Where the training has ended by then (it is quicker now), the fault waits for the next one, and comes
    earlier in its life; where the command succeeds too soon, a row is forgotten and trained anew.
    """
    waiting, struck, share = list(faults), set(), 1.0
    for number in range(1, len(faults) + SPARE + 1):
        with place.engine() as engine:
            end = time.monotonic() + PATIENCE
            while waiting and engine.poll() is None and time.monotonic() < end:
                victims = [victim for victim in place.trainings() if victim.process not in struck]
                if not victims:
                    time.sleep(0.05)
                    continue
                training = rng.choice(victims)
                moment = training.process.create_time() - time.time() + time.monotonic()
                moment += rng.uniform(0, share * seconds[training.row])
                if not until(max(moment, time.monotonic()), training, engine):
                    share *= 0.7
                    continue
                struck.add(training.process)
                if waiting[0](Scene(place, engine, training, rng)):
                    waiting.pop(0)
                    share = 1.0
        if engine.returncode == 0:
            if not waiting:
                return number
            place.forget(rng.choice(place.rows))
    raise AssertionError(
        f"`{' '.join(place.command)}` was given {number} times and has not finished; {len(waiting)} of "
        f"{len(faults)} faults were still to come; it said last:\n{place.said[-1][-5000:]}"
    )
