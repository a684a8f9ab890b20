"""What may befall a run on one machine."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from .disturb import Scene
from .place import PATIENCE


def training(number: signal.Signals) -> Callable[[Scene], bool]:
    """A signal to a training: from the kernel that is out of memory, or from somebody's hand."""

    def strike(scene: Scene) -> bool:
        return send(scene.training.process.pid, number)

    return strike


def engine(number: signal.Signals) -> Callable[[Scene], bool]:
    """A signal to the engine alone. After SIGKILL its jobs go on, and meet those of the next run."""

    def strike(scene: Scene) -> bool:
        scene.engine.send_signal(number)
        scene.engine.wait(timeout=PATIENCE)
        return scene.engine.returncode != 0

    return strike


def everything(number: signal.Signals) -> Callable[[Scene], bool]:
    """A signal to the engine and all its jobs: Ctrl-C, or with SIGKILL the nearest to a power cut."""

    def strike(scene: Scene) -> bool:
        os.killpg(scene.engine.pid, number)
        scene.engine.wait(timeout=PATIENCE)
        return scene.engine.returncode != 0

    return strike


def full_disk(scene: Scene) -> bool:
    """Nothing more can be written, until the command has given up and somebody has made room."""
    filler = scene.place.folder / "filler"
    try:
        with open(filler, "wb") as file:
            try:
                while True:
                    file.write(bytes(2**16))
                    file.flush()
            except OSError:
                pass
        scene.engine.wait(timeout=PATIENCE)
    finally:
        filler.unlink()
    return scene.engine.returncode != 0


def truncated_checkpoint(scene: Scene) -> bool:
    """A checkpoint that has lost its end: it is refused in a sentence that says what to do, which is done."""
    place, row = scene.place, scene.training.row
    checkpoint = place.folder / "runs/smoke" / row / "seed0/checkpoint.pt"
    while scene.training.lives and not checkpoint.exists():
        time.sleep(0.05)
    send(scene.training.process.pid, signal.SIGTERM)
    scene.engine.wait(timeout=PATIENCE)
    if not checkpoint.exists():  # it had come to its end
        return False
    os.truncate(checkpoint, scene.rng.randrange(checkpoint.stat().st_size))
    with place.engine() as again:
        again.wait(timeout=PATIENCE)
    told = (place.folder / "logs/smoke/train" / f"{row}.log").read_text()
    assert again.returncode != 0, place.said[-1]
    assert told.startswith(f"dejavu: {checkpoint.relative_to(place.folder)} is not a checkpoint"), told
    assert told.endswith("delete it to train from the start\n") and told.count("\n") == 1, told
    checkpoint.unlink()
    return True


def send(pid: int, number: signal.Signals) -> bool:
    """Whether there was a process to get the signal."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
