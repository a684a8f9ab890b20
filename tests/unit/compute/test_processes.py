"""Several processes that share every batch learn what one process learns of it."""

from __future__ import annotations

import csv
import importlib
import inspect
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from helpers import ROOT, copy_params
from helpers.parallel_worker import WORLD
from helpers.waits import until
from safetensors.torch import load_file
from timm.layers import BatchNormAct2d
from torch import nn
from torch.nn import functional as F

from dejavu import config
from dejavu.compute import processes, random
from dejavu.compute.rank import launched
from dejavu.compute.sync_norm import synchronised
from dejavu.config import loading
from dejavu.engines import launch
from dejavu.errors import DejavuError
from dejavu.method.redaction import base, build, names
from dejavu.system.files import sha256
from unit.training.test_loop import EXPERIMENTS, MAIN, make_run

# Relative, of an epoch's losses in double precision; of nearly all it is below 1e-13. What stays in single
# precision are the frozen judges, CLIP and VGG.
TOLERANCE, EPOCHS = 1e-7, 6
# Of networks of masks, which know single precision alone: transformers' losses compare random points, of
# which each process draws its own, and divide the classes' by the weights of its own queries.
OWN = 1e-2


def runs() -> dict[str, config.Run]:
    """One experiment of each kind, by plain SGD, which does not magnify rounding, and without drop path."""
    found = {}
    for name in EXPERIMENTS:
        epochs = EPOCHS if name in MAIN else 1
        run = make_run(name, batch_size=4, sync_norm=True, scale_range=(0.8, 1.5), epochs=epochs)
        if run.balance is not None or run.consistency is not None or run.train.labelled != "full":
            continue
        optimizer = run.train.optimizer.model_copy(update={"name": "sgd", "lr": 0.001})
        train = run.train.model_copy(update={"optimizer": optimizer})
        build = importlib.import_module(f"dejavu.networks.{run.network.module}").build
        without = {"drop_path": 0.0} if "drop_path" in inspect.signature(build).parameters else {}
        options = run.network.options | without
        network = run.network.model_copy(update={"options": options})
        found[name] = run.model_copy(update={"train": train, "network": network})
    return found


NAMES = list(runs())


def of_masks(run: config.Run) -> bool:
    return run.network.module.startswith(("mask", "semask", "vit_adapter", "knet"))


def environment(rank: int, port: int) -> dict[str, str]:
    return {
        **os.environ,
        **{"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(WORLD)},
        **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}"},
    }


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes made together, in `two`, and one process alone, in `one`."""
    folder = tmp_path_factory.mktemp("parallel")
    port = launch.free_port()
    command = [sys.executable, str(ROOT / "tests/helpers/parallel_worker.py"), str(folder)]
    pair = [
        subprocess.Popen(command, env=environment(rank, port), stderr=subprocess.PIPE, text=True)
        for rank in range(WORLD)
    ]
    said = [process.communicate(timeout=1500)[1] for process in pair]
    assert [process.returncode for process in pair] == [0, 0], said
    alone = [sys.executable, str(ROOT / "tests/helpers/parallel_worker.py"), str(folder), "alone"]
    subprocess.run(alone, env=environment(0, port), check=True, timeout=1500)
    return folder


def log(work: Path) -> list[dict[str, float]]:
    with open(work / "log.csv", newline="") as file:
        return [{key: float(value) for key, value in line.items() if value} for line in csv.DictReader(file)]


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_learn_what_one_learns(both: Path, name: str) -> None:
    alone, together = log(both / "one" / name), log(both / "two" / name)
    assert len(alone) == len(together) == (EPOCHS if name in MAIN else 1)
    for one, two in zip(alone, together, strict=True):
        tolerance = OWN if of_masks(runs()[name]) else TOLERANCE
        losses = [key for key in one if key.startswith("loss")]
        assert [two[key] for key in losses] == pytest.approx([one[key] for key in losses], rel=tolerance)
    # One of them writes, and what it writes is a plain network's.
    expected, found = (load_file(both / part / name / "weights.safetensors") for part in ("one", "two"))
    assert expected.keys() == found.keys()


def test_they_agree(both: Path) -> None:
    told = [json.loads((both / f"told{rank}.json").read_text()) for rank in range(WORLD)]
    assert told[0] == told[1]
    # Losses that are divided by `across` average to that of the whole: (a / 4 + b / 4) / 2 is (a + b) / 8.
    assert told[0] == {"across": 4.0, "mean": [1.5, 4.0], "agree": 15, "nothing": None, "lead": True}


def test_norm_of_parts_is_the_norm_of_the_whole(both: Path) -> None:
    torch.manual_seed(0)
    images, weights = torch.randn(6, 5, 4, 3) * 2 + 1, torch.randn(6, 5, 4, 3)
    norm = nn.BatchNorm2d(5)
    nn.init.normal_(norm.weight)
    images.requires_grad_()
    seen = norm(images)
    F.mse_loss(seen, weights, reduction="sum").backward()
    first, second = (torch.load(both / f"norm{rank}.pt", weights_only=True) for rank in range(WORLD))
    close = dict(rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(torch.cat([first["out"], second["out"]]), seen.detach(), **close)
    # Of each process' own loss, which the other's images change, too: their sum is the whole's.
    torch.testing.assert_close(torch.cat([first["images"], second["images"]]), images.grad, **close)
    for key in ("weight", "bias"):
        torch.testing.assert_close(first[key] + second[key], getattr(norm, key).grad, **close)
    for key, value in norm.named_buffers():
        torch.testing.assert_close(first[key], value, **close)
        torch.testing.assert_close(second[key], value, **close)


def test_norms_of_timm_keep_their_activation_and_others_are_refused() -> None:
    cpu, images = torch.device("cpu"), torch.randn(2, 3, 4, 5)
    norm = BatchNormAct2d(3, act_layer=nn.ReLU6, inplace=False).eval()
    expected = norm(images)
    torch.testing.assert_close(synchronised(norm, cpu)(images), expected, rtol=0, atol=0)
    with pytest.raises(DejavuError, match="sync_norm: BatchNorm3d cannot be synchronised"):
        synchronised(nn.Sequential(nn.BatchNorm3d(3)), cpu)


@pytest.mark.parametrize("name", names())
def test_each_process_has_its_part_of_the_redactions(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    redaction, images = build(name), torch.randn(4, 3, 160, 192)  # enough pixels to be drawn one by one
    whole = redaction(images, random.generator(0, "redact")).mask
    for rank in range(WORLD):
        here = processes.Rank(rank, WORLD)
        for module in (random, base):
            monkeypatch.setattr(module, "rank", lambda here=here: here)
        mine = redaction(images[here.share(2)], random.generator(0, "redact")).mask
        expected = whole if len(whole) == 1 else whole[here.share(2)]
        assert torch.equal(mine, expected)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        ({"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}, (3, 8, 1)),  # torchrun
        ({"SLURM_PROCID": "5", "SLURM_STEP_NUM_TASKS": "8", "SLURM_LOCALID": "1"}, (5, 8, 1)),  # srun
        ({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1", "SLURM_LOCALID": "0"}, None),  # Snakemake's step
    ],
)
def test_who_a_process_is(
    variables: dict[str, str], expected: tuple[int, int, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(key, raising=False)
    for key, value in ({"SLURM_JOB_ID": "70"} | variables).items():
        monkeypatch.setenv(key, value)
    found = launched()
    assert (found and found[:3]) == expected
    assert launch.wants_launch(8) == (expected is None) and not launch.wants_launch(1)


@pytest.mark.parametrize(
    ("recipe", "gpus", "message"),
    [
        ("hrnet_cityscapes", 3, "gpus: 3 cannot share batch_size 4 evenly"),
        ("segnet_nyud", 2, "gpus: must be 1, since '(dwa|gradnorm|mgda|xtc|mtl_onelabel)' has"),
        ("hrnet_cityscapes", 0, "gpus: .* greater than or equal to 1"),
    ],
)
def test_what_several_cannot_share(tmp_path: Path, recipe: str, gpus: int, message: str) -> None:
    file = shared_by(tmp_path, recipe, gpus)
    with pytest.raises(DejavuError, match=message):
        loading.load(file)


def shared_by(folder: Path, recipe: str, gpus: int, epochs: int = 1) -> Path:
    """params.yaml, with a recipe that so many processes share at smoke scale."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for row in params["experiments"].values():
        if row["recipe"] == recipe:
            row["budget"] = "shared"
    for scale in params["scales"].values():
        scale["budget"]["shared"] = {}
    params["scales"]["smoke"]["budget"]["shared"] = {"gpus": gpus, "sync_norm": True, "epochs": epochs}
    params["scale"] = params["scales"]["smoke"]
    file = copy_params(folder)
    file.write_text(yaml.safe_dump(params, sort_keys=False))
    return file


# The command line. A baseline with 40 epochs of two steps is long enough to be hit.


@pytest.fixture
def clone(demo_clone: Path) -> Path:
    shared_by(demo_clone, "hrnet_cityscapes", WORLD, epochs=40)
    return demo_clone


def begin(folder: Path, *command: str) -> subprocess.Popen[str]:
    env = {key: value for key, value in os.environ.items() if key not in ("RANK", "WORLD_SIZE")}
    return subprocess.Popen(
        [sys.executable, "-m", *command, "train", "hrnet18", "--checkpoint-seconds", "0"],
        cwd=folder,
        env=env | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )


def results(folder: Path) -> dict[str, str]:
    found = [*folder.glob("checkpoints/**/*.safetensors"), *folder.glob("results/smoke/logs/**/*.csv")]
    assert len(found) == 2
    return {str(file.relative_to(folder)): sha256(file) for file in found}


def members(process: subprocess.Popen[str]) -> list[int]:
    listed = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True)
    return sorted(map(int, listed.stdout.split()))


def until_saved(process: subprocess.Popen[str], folder: Path) -> None:
    checkpoint = folder / "runs/smoke/hrnet18/seed0/checkpoint.pt"
    until(checkpoint.exists, process=process, what="checkpoint")


# The lead alone hears of it, as it begins to validate, which the other one waits for.
STOPS = """
import os, signal
from dejavu.commands import main
from dejavu.evaluation.predictor import Predictor
whole = Predictor.predict
def struck(*arguments, **options):
    os.kill(os.getpid(), signal.SIGTERM)
    yield from whole(*arguments, **options)
Predictor.predict = struck
raise SystemExit(main(["train", "hrnet18"]))
"""


def test_stopped_while_the_lead_validates_all_end(clone: Path) -> None:
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(launch.free_port()), "WORLD_SIZE": str(WORLD)}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", STOPS],
            cwd=clone,
            env=os.environ | meeting | {"RANK": str(rank), "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(WORLD)
    ]
    try:
        said = [process.communicate(timeout=240)[1] for process in both]
    finally:
        for process in both:
            process.kill()
    assert [process.returncode for process in both] == [128 + signal.SIGTERM] * WORLD, said
    assert all("stopped by SIGTERM while it validated" in one for one in said), said
    assert not (clone / "results").exists()


@pytest.mark.slow
def test_stopped_killed_and_launched_otherwise_it_ends_alike(clone: Path) -> None:
    whole = begin(clone, "dejavu")
    said = whole.communicate(timeout=400)[1]
    assert whole.returncode == 0, said
    assert said.count("hrnet18 seed 0: epoch 40/40") == 1  # one of them speaks
    expected = results(clone)
    for made in ("runs/smoke/hrnet18", "checkpoints", "results"):
        shutil.rmtree(clone / made)

    asked = begin(clone, "dejavu")
    until_saved(asked, clone)
    asked.send_signal(signal.SIGTERM)
    said = asked.communicate(timeout=120)[1]
    assert asked.returncode == 128 + signal.SIGTERM, said
    assert said.count("stopped by SIGTERM and saved at step") == 1 and "Traceback" not in said

    checkpoint = clone / "runs/smoke/hrnet18/seed0/checkpoint.pt"
    saved = checkpoint.stat().st_mtime_ns
    killed = begin(clone, "dejavu")
    until(lambda: checkpoint.stat().st_mtime_ns > saved, 240)
    second = members(killed)[1]
    os.kill(second, signal.SIGKILL)
    said = killed.communicate(timeout=120)[1]
    assert killed.returncode == 128 + signal.SIGKILL and "Traceback" not in said, said
    assert not (clone / "results").exists()

    torchrun = begin(
        clone, "torch.distributed.run", "--standalone", "--nproc-per-node", str(WORLD), "-m", "dejavu"
    )
    said = torchrun.communicate(timeout=400)[1]
    assert torchrun.returncode == 0, said
    assert results(clone) == expected
