"""`dejavu evaluate`: exported weights and prepared data in, one metrics file a seed out."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import ROOT
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex
from torchmetrics.regression import MeanAbsoluteError

from dejavu import config, networks
from dejavu.commands.evaluate import evaluate_experiment, try_protocol
from dejavu.config import loading
from dejavu.config.paths import Paths
from dejavu.datasets import find
from dejavu.errors import DejavuError
from dejavu.evaluation import measure
from dejavu.metrics import METRICS
from dejavu.system import provenance
from dejavu.system.files import read_json, sha256, write_json
from dejavu.training import measured
from dejavu.training.checkpoint import run_folder

SCALE, NAME, SEEDS, SIZE = "smoke", "hrnet18", (0, 3), (34, 50)
CLASSES = ("sky", "road", "car", "tram", "never seen")
PATHS = Paths(SCALE)
# A row of every other task: the same network with other outputs, on the same images.
OTHERS = {"depth": "hrnet18_depth", "normals": "hrnet18_normals"}
CHANNELS = {NAME: len(CLASSES), "hrnet18_depth": 1, "hrnet18_normals": 3}


def make_params() -> config.Params:
    """The project's own, with two seeds at smoke scale and a row for every task."""
    params = loading.load(ROOT / "params.yaml")
    smoke = params.scales[SCALE]
    part = smoke.data["cityscapes"].model_copy(update={"size": SIZE})
    smoke = smoke.model_copy(update={"seeds": SEEDS, "data": {"cityscapes": part}})
    row = params.experiments[NAME]
    others = {name: row.model_copy(update={"task": task}) for task, name in OTHERS.items()}
    experiments = {**params.experiments, **others}
    return params.model_copy(update={"scales": {**params.scales, SCALE: smoke}, "experiments": experiments})


def make_prepared(folder: Path, sizes: tuple[int, int] = SIZE) -> None:
    """What `prepare` writes, by hand: eleven images of a test split."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 226, (11, 5, 6, 3), np.uint8)
    images = np.kron(coarse, np.ones((1, 8, 9, 1), np.uint8))[:, : sizes[0], : sizes[1]]
    images += rng.integers(0, 30, images.shape, np.uint8)
    labels = rng.choice([0, 1, 2, 3, 255], (11, *sizes)).astype(np.uint8)
    hole = rng.random(labels.shape) < 0.2
    depth = np.where(hole, 0, rng.uniform(0.5, 10, labels.shape)).astype(np.float32)
    normals = rng.standard_normal((*labels.shape, 3))
    normals[hole] = 0
    normals = normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)
    arrays = {"images": images, "labels": labels, "depth": depth, "normals": normals.astype(np.float16)}
    folder.mkdir(parents=True)
    for kind, values in arrays.items():
        np.save(folder / f"test_{kind}.npy", values)
    (folder / "test.txt").write_text("".join(f"image{i:02}\n" for i in range(11)))
    report = {
        "dataset": "cityscapes",
        "source": "synthetic",
        "size": list(sizes),
        "classes": list(CLASSES),
        "palette": [[i, i, i] for i in range(len(CLASSES))],
        "ignore_index": 255,
        "evaluate": "test",
        "targets": ["labels", *OTHERS],
        "splits": {
            "test": {
                "count": 11,
                **{
                    kind: {"shape": list(values.shape), "dtype": str(values.dtype), "sha256": f"of {kind}"}
                    for kind, values in arrays.items()
                },
            }
        },
    }
    write_json(folder / "report.json", report)


def make_weights(params: config.Params, seed: int, name: str = NAME, channels: int | None = None) -> None:
    run = params.run(name, SCALE)
    torch.manual_seed(seed)
    outputs = channels or CHANNELS[name]
    network = networks.build(
        run.network.module, outputs, run.network.width, run.network.depth, **run.network.options
    )
    # Batch norm that has seen some images, or one class wins everywhere.
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    network(torch.randn(4, 3, 64, 64))
    path = PATHS.weights(name, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(network.state_dict(), path)


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory in which everything is ready to be evaluated."""
    folder = tmp_path_factory.mktemp("ready")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_prepared(PATHS.prepared("cityscapes"))
        for name in CHANNELS:
            for seed in SEEDS:
                make_weights(make_params(), seed, name)
    return folder


@pytest.fixture
def params(ready: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> config.Params:
    """A copy of that directory, and the parameters. Counting the cost takes seconds: one test does."""
    monkeypatch.chdir(shutil.copytree(ready, tmp_path / "work"))
    monkeypatch.setattr(measured, "cost", lambda *_: {"gmacs": 1.0, "params_m": 2.0, "input": [3, 4]})
    return make_params()


def outputs(params: config.Params, seed: int, name: str = NAME) -> torch.Tensor:
    """What the network says of the test split at full size, written out without the project's inference."""
    run = params.run(name, SCALE)
    network = networks.build(
        run.network.module, CHANNELS[name], run.network.width, run.network.depth, **run.network.options
    )
    network.load_state_dict(load_file(PATHS.weights(name, seed)))
    images = torch.from_numpy(np.load(PATHS.prepared("cityscapes") / "test_images.npy")).permute(0, 3, 1, 2)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    images = (images / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    with torch.no_grad():
        logits = network.eval()(images)
    return F.interpolate(logits, images.shape[-2:], mode="bilinear", align_corners=False)


def written(name: str = NAME) -> dict[str, bytes]:
    folder = PATHS.metrics(name, 0).parent
    return {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.endswith(".run.json")}


def test_equals_torchmetrics_on_predictions_made_independently(params: config.Params) -> None:
    evaluate_experiment(params, NAME, SCALE)
    labels = torch.from_numpy(np.load(PATHS.prepared("cityscapes") / "test_labels.npy")).long()
    seen = set()
    for seed in SEEDS:
        guess = outputs(params, seed).argmax(1)
        assert len(guess.unique()) > 2
        metrics = read_json(PATHS.metrics(NAME, seed))["metrics"]
        for key, reference in {
            "miou": MulticlassJaccardIndex(len(CLASSES), ignore_index=255),
            "pixel_accuracy": MulticlassAccuracy(len(CLASSES), average="micro", ignore_index=255),
        }.items():
            # A rounding error may turn a tie between two classes: one pixel in 17 000 or so.
            assert metrics[key] == pytest.approx(100 * reference(guess, labels).item(), abs=0.05)
        seen.add(metrics["miou"])
    assert len(seen) == len(SEEDS)  # each seed's own weights


def test_depth_equals_torchmetrics(params: config.Params) -> None:
    evaluate_experiment(params, OTHERS["depth"], SCALE)
    truth = torch.from_numpy(np.load(PATHS.prepared("cityscapes") / "test_depth.npy"))
    for seed in SEEDS:
        guess = outputs(params, seed, OTHERS["depth"])[:, 0]
        metrics = read_json(PATHS.metrics(OTHERS["depth"], seed))["metrics"]
        error = MeanAbsoluteError()
        error.update(guess[truth > 0], truth[truth > 0])
        assert metrics["depth_aerr"] == pytest.approx(error.compute().item(), rel=1e-4)
        squares = torch.stack([(g - t)[t > 0].square().mean() for g, t in zip(guess, truth, strict=True)])
        assert metrics["rmse"] == pytest.approx(squares.sqrt().mean().item(), rel=1e-4)


def test_normals_equal_torchs_cosine(params: config.Params) -> None:
    evaluate_experiment(params, OTHERS["normals"], SCALE)
    truth = torch.from_numpy(np.load(PATHS.prepared("cityscapes") / "test_normals.npy")).double()
    valid = truth.abs().sum(-1) > 0
    for seed in SEEDS:
        guess = outputs(params, seed, OTHERS["normals"]).permute(0, 2, 3, 1).double()
        angle = F.cosine_similarity(guess, truth, dim=-1).clamp(-1, 1).acos().rad2deg()[valid]
        metrics = read_json(PATHS.metrics(OTHERS["normals"], seed))["metrics"]
        assert metrics["normal_merr"] == pytest.approx(angle.mean().item(), rel=1e-4)
        assert metrics["normal_median"] == pytest.approx(angle.quantile(0.5).item(), abs=0.01)
        assert metrics["normal_within_30"] == pytest.approx(
            100 * (angle < 30).double().mean().item(), abs=0.1
        )


@pytest.mark.parametrize(
    ("name", "key", "says"),
    [
        (NAME, "miou", "2 seeds measured on 11 images, mIoU {:.2f} {:.2f} %"),
        (OTHERS["depth"], "depth_aerr", "2 seeds measured on 11 images, depth error {:.4f} {:.4f} m"),
        (OTHERS["normals"], "normal_merr", "2 seeds measured on 11 images, normals error {:.2f} {:.2f} °"),
    ],
)
def test_prints_the_main_metric_and_writes_those_of_the_task(
    params: config.Params, name: str, key: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate_experiment(params, name, SCALE)
    files = [read_json(PATHS.metrics(name, seed)) for seed in SEEDS]
    numbers = [file["metrics"][key] for file in files]
    assert capsys.readouterr().out == f"{name} at scale {SCALE}: {says.format(*numbers)}\n"
    task = files[0]["config"]["task"]
    known = {metric for metric, entry in METRICS.items() if entry.task == task}
    assert set(files[0]["metrics"]) - {"iou", "classes"} == known


@pytest.mark.parametrize("task", OTHERS)
def test_a_dataset_without_the_ground_truth_is_named(params: config.Params, task: str) -> None:
    path = PATHS.report("cityscapes")
    write_json(path, read_json(path) | {"targets": ["labels"]})
    with pytest.raises(DejavuError, match=f"'cityscapes' has no {task}, .*'{OTHERS[task]}'.*'synthetic'"):
        evaluate_experiment(params, OTHERS[task], SCALE)


@pytest.mark.parametrize("task", OTHERS)
def test_a_prediction_that_is_no_number_is_refused(params: config.Params, task: str) -> None:
    file = PATHS.weights(OTHERS[task], 0)
    spoilt = {key: values.clone().fill_(torch.nan) for key, values in load_file(file).items() if values.dim()}
    save_file(load_file(file) | spoilt, file)
    with pytest.raises(DejavuError, match=f"^{file} .* {task} prediction is not finite") as raised:
        evaluate_experiment(params, OTHERS[task], SCALE)
    assert "\n" not in str(raised.value)


def test_the_file_says_what_was_measured(params: config.Params) -> None:
    evaluate_experiment(params, NAME, SCALE)
    content = read_json(PATHS.metrics(NAME, 3))
    assert {key: content[key] for key in ("experiment", "scale", "dataset", "stands_in_for")} == {
        "experiment": NAME,
        "scale": SCALE,
        "dataset": "synthetic",
        "stands_in_for": "cityscapes",
    }
    assert (content["split"], content["count"], content["seed"]) == ("test", 11, 3)
    assert content["config"] == params.run(NAME, SCALE).as_dict()
    assert list(content["metrics"]["iou"]) == sorted(CLASSES)


def test_the_cost_is_the_full_size_networks() -> None:
    # The reference values of "HRNet18" at 512x1024 with Cityscapes' 19 classes, whatever the scale.
    assert len(find("cityscapes").classes) == 19
    params = make_params()
    cost = measure.cost(params, params.run(NAME, SCALE))
    assert cost["input"] == [512, 1024]
    assert cost["gmacs"] == pytest.approx(19.2, abs=0.05)
    assert cost["params_m"] == pytest.approx(3.94, abs=0.005)
    # Another task has another number of outputs: the last layer is 1x1 with 270 inputs at stride 4.
    for task, outputs in (("depth", 1), ("normals", 3)):
        other = measure.cost(params, params.run(OTHERS[task], SCALE))
        assert 1e6 * (cost["params_m"] - other["params_m"]) == pytest.approx((19 - outputs) * 271)
        assert 1e9 * (cost["gmacs"] - other["gmacs"]) == pytest.approx((19 - outputs) * 270 * 128 * 256)


def test_the_cost_goes_into_every_file(params: config.Params) -> None:
    evaluate_experiment(params, NAME, SCALE)
    expected = measured.cost(params, params.run(NAME, SCALE))
    assert [read_json(PATHS.metrics(NAME, seed))["cost"] for seed in SEEDS] == [expected, expected]


@pytest.mark.parametrize("name", CHANNELS)
def test_a_repetition_is_the_same_bytes(params: config.Params, name: str) -> None:
    evaluate_experiment(params, name, SCALE)
    first = written(name)
    assert set(first) == {"seed0.json", "seed3.json"}
    evaluate_experiment(params, name, SCALE)
    assert written(name) == first


def test_what_the_training_measured_is_published(params: config.Params, monkeypatch) -> None:
    run, report = params.run(NAME, SCALE), read_json(PATHS.report("cityscapes"))
    for seed in SEEDS:
        measured.keep(params, run, seed, report)
    expected = {seed: measured.measured(params, run, seed, report)["metrics"] for seed in SEEDS}
    monkeypatch.setattr(measured, "measure", lambda *_: pytest.fail("measured again"))
    evaluate_experiment(params, NAME, SCALE)
    assert {seed: read_json(PATHS.metrics(NAME, seed))["metrics"] for seed in SEEDS} == expected


def change_weights(params: config.Params) -> None:
    make_weights(params, 3)
    shutil.copy(PATHS.weights(NAME, 3), PATHS.weights(NAME, 0))


def change_data(params: config.Params) -> None:
    path = PATHS.report("cityscapes")
    report = read_json(path)
    report["splits"]["test"]["labels"]["sha256"] = "of others"
    write_json(path, report)


@pytest.mark.parametrize("change", [change_weights, change_data], ids=["weights", "data"])
def test_what_was_measured_of_something_else_is_not(params: config.Params, change) -> None:
    run, path = params.run(NAME, SCALE), PATHS.report("cityscapes")
    measured.keep(params, run, 0, read_json(path))
    assert measured.kept(params, run, 0, read_json(path)) is not None
    flipped = run.model_copy(update={"protocol": config.Protocol(flip=True)})
    assert measured.kept(params, flipped, 0, read_json(path)) is None
    change(params)
    assert measured.kept(params, run, 0, read_json(path)) is None


def test_another_protocol_is_printed_and_nothing_written(params: config.Params, capsys) -> None:
    try_protocol(params, NAME, SCALE, "whole_ms_flip")
    said = json.loads(capsys.readouterr().out)
    assert (said["experiment"], said["protocol"]) == (NAME, "whole_ms_flip")
    evaluate_experiment(params, NAME, SCALE)
    whole = read_json(PATHS.metrics(NAME, 0))["metrics"]
    assert said["seeds"]["0"]["miou"] != whole["miou"]
    with pytest.raises(DejavuError, match="unknown protocol 'whol', did you mean 'whole'"):
        try_protocol(params, NAME, SCALE, "whol")
    with pytest.raises(DejavuError, match="average scores is for logits that are logarithms of class scores"):
        try_protocol(params, NAME, SCALE, "slide_scores")


def test_another_protocol_of_stale_weights_is_refused(params: config.Params) -> None:
    write_json(PATHS.run(NAME, 0) / "train.json", {"fingerprint": "of another gamma"})
    with pytest.raises(DejavuError, match="was trained by another configuration"):
        try_protocol(params, NAME, SCALE, "whole")


def test_seeds_that_are_gone_leave_nothing(params: config.Params) -> None:
    folder = PATHS.metrics(NAME, 0).parent
    folder.mkdir(parents=True)
    for name in ("seed1.json", "seed1.run.json", "seed12.json", "notes.md", "seeds.json"):
        (folder / name).write_text("{}")
    evaluate_experiment(params, NAME, SCALE)
    kept = {f"seed{seed}{end}" for seed in SEEDS for end in (".json", ".run.json")}
    assert {file.name for file in folder.iterdir()} == kept | {"notes.md", "seeds.json"}


def fault_missing(params: config.Params) -> None:
    PATHS.weights(NAME, 0).unlink()


def fault_truncated(params: config.Params) -> None:
    path = PATHS.weights(NAME, 0)
    path.write_bytes(path.read_bytes()[:-100])


def fault_not_safetensors(params: config.Params) -> None:
    PATHS.weights(NAME, 0).write_text("version https://git-lfs.github.com/spec/v1")


def fault_empty(params: config.Params) -> None:
    PATHS.weights(NAME, 0).write_bytes(b"")


def fault_other_classes(params: config.Params) -> None:
    make_weights(params, 0, channels=4)


def fault_key_missing(params: config.Params) -> None:
    weights = load_file(PATHS.weights(NAME, 0))
    weights.pop(sorted(weights)[0])
    save_file(weights, PATHS.weights(NAME, 0))


def fault_key_extra(params: config.Params) -> None:
    weights = load_file(PATHS.weights(NAME, 0))
    save_file(weights | {"regenerator.0.weight": torch.zeros(1)}, PATHS.weights(NAME, 0))


FAULTS = [
    fault_missing,
    fault_truncated,
    fault_not_safetensors,
    fault_empty,
    fault_other_classes,
    fault_key_missing,
    fault_key_extra,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_wrong_weights_are_named_with_what_to_run(params: config.Params, fault) -> None:
    fault(params)
    with pytest.raises(DejavuError) as raised:
        evaluate_experiment(params, NAME, SCALE)
    assert str(PATHS.weights(NAME, 0)) in str(raised.value)
    assert f"dejavu train {NAME} --scale {SCALE}" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_missing_data_are_named(params: config.Params) -> None:
    PATHS.report("cityscapes").unlink()
    with pytest.raises(DejavuError, match="report.json"):
        evaluate_experiment(params, NAME, SCALE)


def test_data_of_another_source_are_refused(params: config.Params) -> None:
    path = PATHS.report("cityscapes")
    write_json(path, read_json(path) | {"source": "camvid"})
    with pytest.raises(DejavuError, match="camvid.*synthetic.*dejavu download cityscapes"):
        evaluate_experiment(params, NAME, SCALE)


def test_weights_of_another_configuration_are_refused(params: config.Params) -> None:
    write_json(PATHS.run(NAME, 0) / "train.json", {"fingerprint": "of another gamma"})
    with pytest.raises(DejavuError, match=r"seed0\.safetensors was trained by another configuration.*train"):
        evaluate_experiment(params, NAME, SCALE)


def test_the_sidecar_says_what_may_differ(params: config.Params) -> None:
    report = read_json(PATHS.report("cityscapes"))
    asked = run_folder(params.run(NAME, SCALE), 3, report).fingerprint
    files = {"weights.safetensors": sha256(PATHS.weights(NAME, 3))}
    trained = {"seconds": 12.5, "steps": 7, "fingerprint": asked, "files": files}
    write_json(PATHS.run(NAME, 3) / "train.json", trained)
    evaluate_experiment(params, NAME, SCALE)
    first, second = (read_json(PATHS.sidecar(NAME, seed)) for seed in SEEDS)
    assert first["versions"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert first["machine"]["threads"] == torch.get_num_threads()
    assert first["date"].endswith("+00:00") and first["seconds"] > 0
    assert first["train"] is None and second["train"] == trained


def test_weights_of_another_training_are_refused(params: config.Params) -> None:
    asked = run_folder(params.run(NAME, SCALE), 0, read_json(PATHS.report("cityscapes"))).fingerprint
    files = {"weights.safetensors": sha256(PATHS.weights(NAME, 3))}
    write_json(PATHS.run(NAME, 0) / "train.json", {"fingerprint": asked, "files": files})
    with pytest.raises(DejavuError, match=r"seed0\.safetensors is not what the training in .* made.*train"):
        evaluate_experiment(params, NAME, SCALE)


@pytest.fixture
def fresh_code():
    provenance.code.cache_clear()
    yield
    provenance.code.cache_clear()


def test_without_git_the_commit_is_null(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_code) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    provenance.write_sidecar(tmp_path / "x.run.json", seconds=1)
    content = json.loads((tmp_path / "x.run.json").read_text())
    assert (content["commit"], content["dirty"], content["seconds"]) == (None, None, 1)


def test_the_commit_and_whether_the_code_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_code
) -> None:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    package = tmp_path / "repository" / "dejavu"
    package.mkdir(parents=True)
    for name in ("__init__.py", "module.py"):
        (package / name).write_text("")

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        command = ["git", "-C", str(package), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    monkeypatch.setattr(provenance, "__file__", str(package / "system" / "provenance.py"))

    def found() -> dict:
        provenance.code.cache_clear()
        provenance.write_sidecar(tmp_path / "x.run.json")
        content = read_json(tmp_path / "x.run.json")
        return {key: content[key] for key in ("commit", "dirty")}

    git("init", "-q")
    assert found() == {"commit": None, "dirty": None}  # inside a repository, but not of it
    git("add", ".")
    git("commit", "-q", "-m", "first")
    assert found() == {"commit": git("rev-parse", "HEAD"), "dirty": False}
    (package.parent / "result.csv").write_text("1")  # beside the code: what the pipeline itself writes
    assert found()["dirty"] is False
    (package / "module.py").write_text("x = 1")
    assert found()["dirty"] is True
