"""Asked to stop at any moment, a training command stops soon, and typed again it ends as undisturbed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import copy_params

from dejavu.commands import main
from dejavu.commands import train as stage
from dejavu.datasets.prepared import store
from dejavu.engines import slurm_requeue
from dejavu.evaluation import measure, predictor
from dejavu.system import signals
from dejavu.system.files import sha256
from dejavu.training import loop

NAMES = [signal.Signals(number).name for number in signals.SIGNALS]
EXPERIMENT = "hrnet18_dejavu"
TRAIN = ["train", EXPERIMENT, "--scale", "smoke"]


class Moment:
    """What a training is about when a signal comes: behind a call of `function`, or its first result."""

    def __init__(self, owner: Any, function: str, said: str, first: bool = False) -> None:
        self.owner, self.function, self.said, self.first = owner, function, said, first

    def strike(self, patch: pytest.MonkeyPatch, number: int) -> None:
        """Send the signal there, once."""
        whole, left = getattr(self.owner, self.function), [number]

        def send() -> None:
            while left:
                os.kill(os.getpid(), left.pop())

        def struck(*args: Any, **kwargs: Any) -> Any:
            result = whole(*args, **kwargs)
            send()
            return result

        def at_first(*args: Any, **kwargs: Any) -> Iterator[Any]:
            for result in whole(*args, **kwargs):
                send()
                yield result

        patch.setattr(self.owner, self.function, at_first if self.first else struck)


MOMENTS = {
    "as it starts": Moment(store, "read_report", "before it trained seed 0"),
    "as it builds the network": Moment(loop, "build_objective", "and saved at step 1 of 8"),
    "in a step": Moment(loop, "learn", "and saved at step 1 of 8"),
    "as it validates": Moment(predictor.Predictor, "predict", "while it validated", first=True),
    "between its seeds": Moment(stage, "_publish", "before it trained seed 1"),
    "as it measures": Moment(measure, "predicted", "while it measured seed 0", first=True),
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """A working directory with two seeds of eight steps, and results of an undisturbed run."""
    folder = tmp_path_factory.mktemp("preemption")
    params = yaml.safe_load((root / "params.yaml").read_text())
    smoke = params["scales"]["smoke"]
    smoke["seeds"] = [0, 1]
    smoke["budget"]["all"]["epochs"] = 4
    copy_params(folder).write_text(yaml.safe_dump(params, sort_keys=False))
    with chdir(folder):
        for name, of in (("download", "cityscapes"), ("prepare", "cityscapes"), ("train", EXPERIMENT)):
            assert main([name, of, "--scale", "smoke"]) == 0
    return folder


def made(clone: Path) -> dict[str, str]:
    """Checksums of all that a training publishes, and of what it measured."""
    published = (clone / "checkpoints/smoke" / EXPERIMENT).glob("*.safetensors")
    logs = (clone / "results/smoke/logs" / EXPERIMENT).glob("*.csv")
    return {str(path.relative_to(clone)): sha256(path) for path in [*published, *logs]}


@pytest.mark.parametrize("moment", MOMENTS)
def test_asked_at_any_moment_it_stops_and_goes_on(
    moment: str, clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(clone)
    whole = made(clone)
    assert len(whole) == 6, "weights, regenerators and logs of two seeds"
    for folder in ("checkpoints", "runs", "results"):
        shutil.rmtree(folder)
    number = signal.SIGUSR1
    before = [signal.getsignal(one) for one in signals.SIGNALS]
    with monkeypatch.context() as patch:
        MOMENTS[moment].strike(patch, number)
        assert main(TRAIN) == 128 + number
    assert [signal.getsignal(one) for one in signals.SIGNALS] == before
    said = capsys.readouterr().err.strip().splitlines()[-1]
    sentence = f"dejavu: stopped by SIGUSR1 {MOMENTS[moment].said}: the same command goes on"
    assert re.fullmatch(sentence, said)

    assert main(TRAIN) == 0
    assert made(clone) == whole
    assert (clone / "runs/smoke" / EXPERIMENT / "seed1/metrics.json").exists()


def test_a_job_that_only_measured_asks_for_no_other(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its measurement might take longer than any job: then Slurm would run it for ever."""
    monkeypatch.chdir(clone)
    asked: list[int] = []
    monkeypatch.setattr(slurm_requeue, "requeue", lambda number: asked.append(number))
    for trained, expected in ((True, [signal.SIGUSR1]), (False, [])):
        if trained:
            shutil.rmtree("runs")
        else:
            for measured in (clone / "runs/smoke" / EXPERIMENT).glob("*/metrics.json"):
                measured.unlink()
        with monkeypatch.context() as patch:
            MOMENTS["as it measures"].strike(patch, signal.SIGUSR1)
            assert main(TRAIN) == 128 + signal.SIGUSR1
        assert asked == expected
        asked.clear()
    assert main(TRAIN) == 0


HOLDS = """
import sys
from pathlib import Path
from dejavu.system.locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    input()
"""


@pytest.mark.parametrize("number", signals.SIGNALS, ids=NAMES)
def test_who_waits_for_a_lock_hears_of_it(number: int, tmp_path: Path) -> None:
    """The first signal is heard, though another process keeps the lock for as long as this one waits."""
    from dejavu.system.locks import locked

    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLDS, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline()
        try:
            with (
                signals.listening(),
                pytest.raises(signals.Stopped, match="while it waited for .*lock"),
            ):
                os.kill(os.getpid(), number)
                with locked(path):
                    pytest.fail("another process holds it")
        finally:
            holder.kill()


def test_a_second_signal_is_not_waited_for() -> None:
    # What runs in the background of a script has inherited that it ignores SIGINT.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with signals.listening() as request, pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            assert request.number == signal.SIGINT
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_who_listens_within_another_hears_the_same() -> None:
    with signals.listening() as outer:
        with signals.listening() as inner:
            os.kill(os.getpid(), signal.SIGTERM)
        assert inner is outer and outer.number == signal.SIGTERM
        with pytest.raises(signals.Stopped, match="stopped by SIGTERM here: the same command goes on"):
            signals.stop_if_signalled("here")
    signals.stop_if_signalled("nobody listens")


def test_a_stopped_command_says_so(demo_clone: Path, monkeypatch, capsys) -> None:
    """One sentence, and the exit status that shells give to a signal."""
    monkeypatch.chdir(demo_clone)

    def stopped(*_: object, **__: object) -> None:
        raise signals.Stopped(signal.SIGTERM, "and saved at step 3 of 8")

    monkeypatch.setattr(loop, "train", stopped)
    assert main(["train", "hrnet18", "--scale", "smoke"]) == 128 + signal.SIGTERM
    said = capsys.readouterr().err.strip()
    assert said == "dejavu: stopped by SIGTERM and saved at step 3 of 8: the same command goes on"
