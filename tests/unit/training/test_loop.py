"""The loop: deterministic, resumable to the bit, and the same for a baseline and its DejaVu row."""

from __future__ import annotations

import csv
import functools
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import ROOT
from safetensors.torch import load_file

from dejavu import config
from dejavu.config import loading
from dejavu.datasets.prepared.store import Split
from dejavu.errors import DejavuError
from dejavu.models.build import build_network
from dejavu.models.load import load_network
from dejavu.system import signals
from dejavu.system.files import sha256
from dejavu.tasks import channels
from dejavu.training import batches, loop
from dejavu.training.checkpoint import RunFolder, request_hash, run_folder
from dejavu.training.data import Data
from dejavu.training.optimizer import build_optimizer, build_scheduler

PARAMS = loading.load(ROOT / "params.yaml")
CLASSES = ["road", "car", "tree", "sky"]


def make_run(experiment: str = "hrnet18", **changes) -> config.Run:
    """A run of a few steps at smoke scale."""
    run = PARAMS.run(experiment, "smoke")
    recipe = run.train.model_copy(
        update={"epochs": 2, "batch_size": 2, "crop": (32, 32), "evaluations": 1} | changes
    )
    width = 0.1 if run.network.module == "hrnet" else run.network.width
    network = run.network.model_copy(update={"width": width})
    return run.model_copy(update={"train": recipe, "network": network})


def make_data(
    count: int = 7, size: tuple[int, int] = (32, 48), tasks: tuple[str, ...] = ("semantic",)
) -> Data:
    """Images whose classes, segments, depth and normals can be told from their colours."""
    random = np.random.default_rng(0)
    labels = random.integers(0, len(CLASSES), (count, 2, 3)).repeat(size[0] // 2, 1).repeat(size[1] // 3, 2)
    images = (labels[..., None] * 60 + random.integers(0, 20, (*labels.shape, 3))).astype(np.uint8)
    depth = (1.0 + labels).astype(np.float32)
    normals = np.stack([np.sin(depth), 0 * depth, np.cos(depth)], -1).astype(np.float16)
    labels = labels.astype(np.uint8)
    panoptic = (labels.astype(np.uint16) << 8) + (np.arange(size[1]) * 2 // size[1]).astype(np.uint16)
    labels[:, :2], panoptic[:, :2], depth[:, :2], normals[:, :2] = 255, 65535, 0, 0
    panoptic[0, -4:] |= 255  # a crowd
    arrays = {"images": images, "labels": labels, "panoptic": panoptic, "depth": depth, "normals": normals}
    train, val = (
        Split(names=[str(i) for i in range(n)], **{key: value[:n] for key, value in arrays.items()})
        for n in (count, 2)
    )
    things = [False, True, False, True]
    meaning = {"classes": CLASSES, "ignore_index": 255, "things": things, "unlabelled": 255 - images[:3]}
    captions = [[f"{number} cars.", f"A road, {number}."] for number in range(count)]
    return Data(
        tasks=tasks, train=train, val=val, captions=captions if "panoptic" in tasks else None, **meaning
    )


def train(folder: Path, run: config.Run, seed: int = 0, data: Data | None = None, **kwargs) -> RunFolder:
    work = RunFolder(folder, "test", "code")
    loop.train(run, seed, data or make_data(tasks=run.tasks), work, **kwargs)
    return work


def rows(work: RunFolder) -> list[dict[str, str]]:
    with open(work.log, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def whole_runs(tmp_path_factory):
    """The uninterrupted run of each experiment, trained once."""

    @functools.cache
    def get(experiment: str) -> RunFolder:
        return train(tmp_path_factory.mktemp(experiment), make_run(experiment))

    return get


def mechanism(name: str) -> str:
    """What of the code an experiment runs: its configuration without numbers."""
    row = PARAMS.experiments[name]

    def outline(value: object) -> object:
        if isinstance(value, dict):
            return {key: outline(part) for key, part in value.items()}
        return "number" if isinstance(value, int | float) and not isinstance(value, bool) else value

    module = PARAMS.networks[row.network].module
    attention = PARAMS.networks[row.network].options.get("attention")
    added = {key: outline(row.model_dump()[key]) for key in ("dejavu", "balance", "consistency")}
    return str([row.task, module, attention, outline(row.train.labelled), added])


# One experiment of each kind: those that differ in numbers only run the same lines.
RUN = [*PARAMS.at("smoke").experiments, "fpn_lite0_eighth", "fpn_lite0_eighth_dejavu"]
EXPERIMENTS = list({mechanism(name): name for name in reversed(RUN)}.values())[::-1]
PAIRS = [(name, PARAMS.experiments[name].base) for name in EXPERIMENTS if PARAMS.experiments[name].dejavu]
# DejaVu-SA is compared with the network without attention.
SAME_NETWORK = [
    (name, base)
    for name, base in PAIRS
    if PARAMS.experiments[name].network == PARAMS.experiments[base].network
]
MAIN = ("hrnet18", "hrnet18_dejavu")


@pytest.mark.parametrize("experiment", MAIN)
def test_same_seed_same_bytes_and_other_seed_others(experiment: str, whole_runs, tmp_path: Path) -> None:
    """Of all others the next test says that the same seed gives the same bytes."""
    run = make_run(experiment)
    first = whole_runs(experiment)
    again, other = (train(tmp_path / str(seed), run, seed) for seed in (0, 1))
    assert sha256(first.weights) == sha256(again.weights)
    assert first.log.read_bytes() == again.log.read_bytes()
    assert sha256(first.weights) != sha256(other.weights)


@pytest.mark.parametrize(  # 3 steps an epoch: inside one and at its end
    ("experiment", "stop"), [*((name, 2) for name in EXPERIMENTS), *((name, 3) for name in MAIN)]
)
def test_killed_and_resumed_is_uninterrupted(
    experiment: str, stop: int, whole_runs, tmp_path, monkeypatch
) -> None:
    run = make_run(experiment)
    whole = whole_runs(experiment)

    class Killed(BaseException):
        pass

    save = RunFolder.save

    def save_and_die(self: RunFolder, state: dict) -> None:
        save(self, state)
        if state["step"] == stop:
            raise Killed

    monkeypatch.setattr(RunFolder, "save", save_and_die)
    with pytest.raises(Killed):
        train(tmp_path / "killed", run, checkpoint_seconds=0)
    torch.rand(17)  # the resumed process has another random state
    monkeypatch.setattr(RunFolder, "save", save)
    resumed = train(tmp_path / "killed", run)
    assert sha256(resumed.weights) == sha256(whole.weights)
    assert resumed.log.read_bytes() == whole.log.read_bytes()
    if whole.regenerator.exists():
        assert sha256(resumed.regenerator) == sha256(whole.regenerator)
    assert not resumed.checkpoint.exists()


@pytest.mark.parametrize(("experiment", "base"), PAIRS)
def test_a_pair_sees_the_same_batches_and_starts_from_the_same_weights(
    experiment: str, base: str, tmp_path: Path, monkeypatch
) -> None:
    seen: dict[str, list[torch.Tensor]] = {}
    start: dict[str, dict[str, torch.Tensor]] = {}
    forward = loop.Objective.forward

    def spy(self, batch, progress, redact, gumbel):
        name = type(self.model).__name__
        start.setdefault(name, {key: value.clone() for key, value in self.network.state_dict().items()})
        targets = batch.target.values() if isinstance(batch.target, dict) else [batch.target]
        again = () if batch.second is None else [batch.second[0], *batch.second[1].values()]
        seen.setdefault(name, []).extend(part.clone() for part in [batch.images, *targets, *again])
        return forward(self, batch, progress, redact, gumbel)

    monkeypatch.setattr(loop.Objective, "forward", spy)
    for name in (experiment, base):
        train(tmp_path / name, make_run(name))
    (ours, theirs), (our_start, their_start) = seen.values(), start.values()
    assert len(ours) == len(theirs) > 0 and all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    added = our_start.keys() - their_start.keys()
    assert all(key.startswith("attention.") for key in added)
    assert not added or (experiment, base) not in SAME_NETWORK
    assert all(torch.equal(our_start[key], their_start[key]) for key in their_start)


@pytest.mark.parametrize(("experiment", "base"), SAME_NETWORK)
def test_the_detached_control_is_the_baseline_to_the_bit(
    experiment: str, base: str, whole_runs, tmp_path
) -> None:
    """Without the gradient through the prediction, nothing of the method reaches the base network."""
    run = make_run(experiment)
    assert run.dejavu is not None
    changes = {"detach": True, "cycle": None}  # a cycle asks the network itself, so it is left out
    control = run.model_copy(update={"dejavu": run.dejavu.model_copy(update=changes)})
    finished = {
        "control": train(tmp_path, control),
        "base": whole_runs(base),
        "dejavu": whole_runs(experiment),
    }
    weights = {name: load_file(work.weights) for name, work in finished.items()}
    assert all(torch.equal(weights["control"][key], weights["base"][key]) for key in weights["base"])
    same = all(torch.equal(weights["dejavu"][key], weights["base"][key]) for key in weights["base"])
    assert same == run.dejavu.detach


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_exported_weights_load_strictly_into_the_plain_network(experiment: str, whole_runs) -> None:
    run = make_run(experiment)
    work = whole_runs(experiment)
    outputs = channels(run.task, len(CLASSES))
    network = load_network(run, outputs, work.weights)  # strict
    assert type(network) is type(build_network(run, outputs))
    assert not network.training
    assert work.regenerator.exists() == (run.dejavu is not None)


def test_it_learns(tmp_path: Path) -> None:
    optimizer = make_run().train.optimizer.model_copy(update={"name": "adamw", "lr": 0.01})
    work = train(tmp_path, make_run(epochs=20, batch_size=7, scale_range=(1.0, 1.0), optimizer=optimizer))
    lines = rows(work)
    assert float(lines[-1]["loss_task"]) < 0.75 * float(lines[0]["loss_task"])


def test_the_log_says_what_happened(tmp_path: Path) -> None:
    lines = rows(train(tmp_path, make_run("hrnet18_dejavu", epochs=4, evaluations=2)))
    assert [int(line["epoch"]) for line in lines] == [1, 2, 3, 4]
    assert [int(line["step"]) for line in lines] == [3, 6, 9, 12]  # 7 images, batches of 2, the rest dropped
    assert [line["val_miou"] != "" for line in lines] == [False, True, False, True]
    for line in lines:
        assert float(line["loss"]) == float(line["loss_task"]) + float(line["loss_dejavu"])
    rates = [float(line["lr"]) for line in lines]
    peak = make_run().train.optimizer.lr
    np.testing.assert_allclose(rates, [peak * (1 - (step - 1) / 12) ** 0.9 for step in (3, 6, 9, 12)])


def test_every_image_is_seen_once_an_epoch_in_another_order() -> None:
    seen = batches.Batches(make_run(batch_size=2), 0, make_data(8))
    epochs = [np.concatenate([seen.indices(step)[0] for step in range(e * 4, e * 4 + 4)]) for e in range(3)]
    assert all(sorted(epoch) == list(range(8)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_too_few_images_for_a_batch_is_said(tmp_path: Path) -> None:
    with pytest.raises(DejavuError, match="batch_size 9 is larger than the 7 training images"):
        train(tmp_path, make_run(batch_size=9))


def test_too_small_a_crop_for_a_norm_is_said(tmp_path: Path) -> None:
    sentence = "with crop 1 x 1 and batch_size 1 a norm of the network sees one value a channel: raise one"
    with pytest.raises(DejavuError, match=f"{sentence} of them in params.yaml$"):
        train(tmp_path / "base", make_run(batch_size=1, crop=(1, 1)))
    with pytest.raises(DejavuError, match=f"{sentence} .* set dejavu.regenerator.norm to group"):
        train(tmp_path / "dejavu", make_run("hrnet18_dejavu", batch_size=1, crop=(1, 1)))


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    optimizer = make_run().train.optimizer.model_copy(update={"lr": 1e20})
    with pytest.raises(DejavuError, match=r"lower train\.optimizer\.lr"):
        train(tmp_path, make_run(optimizer=optimizer))
    assert not RunFolder(tmp_path, "test", "code").finished()


@pytest.mark.parametrize("gone", ["weights", "log", "regenerator"])
def test_a_run_that_lost_or_damaged_a_file_is_not_finished(gone: str, whole_runs, tmp_path: Path) -> None:
    work = RunFolder(shutil.copytree(whole_runs(PAIRS[0][0]).path, tmp_path / "run"), "test", "code")
    assert work.finished()
    file = getattr(work, gone)
    file.write_bytes(file.read_bytes()[:-1])
    assert not work.finished()
    file.unlink()
    assert not work.finished()


@pytest.mark.parametrize("content", ["[]", "null", "{}", "no JSON", '{"files": []}'])
def test_a_summary_of_no_use_is_no_summary(content: str, tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text(content)
    assert not RunFolder(tmp_path, "test", "code").finished()


def test_what_a_run_is_known_by() -> None:
    """Its configuration, its seed and its data's content; not its other seeds nor the data's address."""
    splits = {"train": {kind: {"sha256": kind} for kind in ("images", "labels")}}
    config_ = make_run().as_dict()
    known = request_hash(config_, 0, splits)
    assert request_hash(config_ | {"seeds": [7], "source": {"url": "elsewhere"}}, 0, splits) == known
    # An evaluation in another way asks for no other training.
    assert request_hash(config_ | {"protocol": {"flip": True}}, 0, splits) == known
    assert request_hash(config_, 0, splits, {"categories": ["flat"]}) != known
    assert request_hash(config_, 1, splits) != known
    assert request_hash(config_ | {"network": {}}, 0, splits) != known
    other = {"train": {kind: {"sha256": "other"} for kind in ("images", "labels")}}
    assert request_hash(config_, 0, other) != known
    ragged = {"train": splits["train"] | {"images": {"sha256": "images", "sizes": {"sha256": "other"}}}}
    assert request_hash(config_, 0, ragged) != known


@pytest.mark.parametrize(
    ("experiment", "read"),
    [
        ("hrnet18", set()),
        ("hs3_hrnet18", {"categories"}),
        ("denseclip_vitb", {"classes"}),
        ("ablation_text", {"classes"}),
    ],
)
def test_names_that_a_training_reads_are_part_of_what_it_is_known_by(experiment: str, read: set[str]) -> None:
    report = {"splits": {"train": {}}, "classes": ["road"], "categories": ["flat"]}
    run = make_run(experiment)
    for key in ("classes", "categories"):
        changed = run_folder(run, 0, report | {key: ["other"]}).fingerprint
        assert (changed != run_folder(run, 0, report).fingerprint) == (key in read)


def test_a_log_file_shows_progress(tmp_path: Path, capsys) -> None:
    train(tmp_path, make_run(epochs=2))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [f"hrnet18 seed 0: epoch {n}/2" for n in (1, 2)]
    assert "val_miou" in lines[1] and lines[1].endswith("0:00:00 left")


def test_a_finished_run_is_known_by_configuration_and_code(tmp_path: Path) -> None:
    train(tmp_path, make_run(epochs=1))
    assert RunFolder(tmp_path, "test", "code").finished()
    assert not RunFolder(tmp_path, "other", "code").finished()
    assert not RunFolder(tmp_path, "test", "edited").finished()


@pytest.mark.parametrize("name", ["poly", "one_cycle", "constant"])
@pytest.mark.parametrize("warmup", [0.0, 0.25])
def test_schedules(name: str, warmup: float) -> None:
    """From the definition: rises over the warm-up, ends where it should, never above the peak."""
    optimizer = build_optimizer(torch.nn.Linear(1, 1), config.Optimizer(name="sgd", lr=0.1))
    scheduler = build_scheduler(optimizer, config.Schedule(name=name, power=0.9, warmup=warmup), 40)
    rates = []
    for _ in range(40):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert max(rates) <= 0.1 + 1e-9
    if name == "poly" and warmup == 0:
        np.testing.assert_allclose(rates, [0.1 * (1 - step / 40) ** 0.9 for step in range(40)])
    if name == "constant" and warmup == 0:
        assert rates == [0.1] * 40
    if warmup:
        assert rates[:10] == sorted(rates[:10]) and rates[0] < 0.02
        assert max(rates) == pytest.approx(0.1, rel=0.02)
    if name != "constant":
        assert rates[-1] < 0.02


@pytest.mark.parametrize("warmup", [0.0, 0.1])
def test_drops_come_after_their_shares_of_the_training(warmup: float) -> None:
    """Mask2Former's on COCO: a tenth after 327778, a hundredth after 355092 of 368750 steps; here of 1000."""
    optimizer = build_optimizer(torch.nn.Linear(1, 1), config.Optimizer(name="sgd", lr=1.0))
    drops = config.Schedule(name="multistep", at=(0.888889, 0.962963), factor=0.1, warmup=warmup)
    scheduler = build_scheduler(optimizer, drops, 1000)
    rates = []
    for _ in range(1000):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    warm = round(warmup * 1000)
    expected = [1.0] * (889 - warm) + [0.1] * 74 + [0.01] * 37
    np.testing.assert_allclose(rates[warm:], expected)
    assert rates[:warm] == sorted(rates[:warm])


def test_kill_minus_nine_then_the_same_command(demo_clone: Path, experiment: str = PAIRS[0][0]) -> None:
    """A real process, killed without warning: the same command ends with the same checkpoint hash.

    One row stands for all here, which costs three starts; the test above resumes every row.
    """
    command = [
        sys.executable,
        "-m",
        "dejavu",
        "train",
        experiment,
        "--scale",
        "smoke",
        "--checkpoint-seconds",
        "0",
    ]
    weights = demo_clone / "checkpoints" / "smoke" / experiment / "seed0.safetensors"
    checkpoint = demo_clone / "runs" / "smoke" / experiment / "seed0" / "checkpoint.pt"

    subprocess.run(command, cwd=demo_clone, check=True, capture_output=True)
    whole = sha256(weights)
    for folder in ("checkpoints", "runs", "results"):
        subprocess.run(["rm", "-r", folder], cwd=demo_clone, check=True)

    process = subprocess.Popen(command, cwd=demo_clone, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not checkpoint.exists():
        assert process.poll() is None and time.monotonic() < deadline, "no checkpoint was written"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert checkpoint.exists() and not weights.exists()

    subprocess.run(command, cwd=demo_clone, check=True, capture_output=True)
    assert sha256(weights) == whole


@pytest.mark.parametrize("number", signals.SIGNALS, ids=lambda number: signal.Signals(number).name)
def test_asked_to_stop_it_saves_its_step_and_goes_on_from_there(number: int, whole_runs, tmp_path) -> None:
    """Whatever the time since the last save; what comes of it is the uninterrupted run."""
    experiment = PAIRS[0][0]
    run, whole = make_run(experiment), whole_runs(experiment)

    def ask(line: dict) -> None:
        if line["epoch"] == 1:
            os.kill(os.getpid(), number)

    before = [signal.getsignal(one) for one in signals.SIGNALS]
    with pytest.raises(signals.Stopped, match=f"{signal.Signals(number).name} and saved at step 3 of 6"):
        train(tmp_path, run, checkpoint_seconds=1e9, watch=ask)
    assert [signal.getsignal(one) for one in signals.SIGNALS] == before
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 3
    resumed = train(tmp_path, run)
    assert sha256(resumed.weights) == sha256(whole.weights)
    assert resumed.log.read_bytes() == whole.log.read_bytes()


def test_in_the_last_step_there_is_nothing_to_go_on_with(tmp_path) -> None:
    """Asked to stop when all is learnt, it ends as if it had not been asked."""
    run = make_run()

    def ask(line: dict) -> None:
        if line["epoch"] == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    assert train(tmp_path, run, watch=ask).finished()


def test_tensorboard_gets_the_log(tmp_path: Path) -> None:
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    from dejavu.commands.train import watcher

    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "events.out.tfevents.1").write_bytes(b"of an earlier attempt")
    with watcher(tmp_path / "old") as watch:
        train(tmp_path / "run", make_run(epochs=2), watch=watch)
    events = event_accumulator.EventAccumulator(str(tmp_path / "old")).Reload()
    drawn = [(event.step, event.value) for event in events.Scalars("loss_task")]
    expected = [
        (int(line["step"]), float(line["loss_task"]))
        for line in rows(RunFolder(tmp_path / "run", "test", "code"))
    ]
    assert drawn == [(step, pytest.approx(value)) for step, value in expected]
    assert "loss_dejavu" not in events.Tags()["scalars"]
