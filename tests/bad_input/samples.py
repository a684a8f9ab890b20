"""A small params.yaml, and what a finished pipeline leaves, for the tests to spoil."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import ROOT

KEPT = {
    "datasets": ("synthetic", "camvid", "cityscapes", "ade20k", "coco_panoptic"),
    "networks": ("hrnet18",),
    "recipes": ("hrnet_cityscapes",),
    "protocols": ("whole",),
    "experiments": ("hrnet18", "hrnet18_dejavu"),
    "tables": ("pair",),
    "scales": ("smoke", "open"),
}


@cache
def _own() -> str:
    """The project's own params.yaml as JSON, with two rows, two scales and one table."""
    own = yaml.safe_load((ROOT / "params.yaml").read_text())
    small = {section: {name: own[section][name] for name in names} for section, names in KEPT.items()}
    smoke, real = small["scales"]["smoke"], small["scales"]["open"]
    for scale in (smoke, real):
        scale["budget"] = {"all": scale["budget"]["all"]}
        scale["data"] = {"cityscapes": scale["data"]["cityscapes"]}
    smoke["data"]["cityscapes"] = {"source": "synthetic", "size": [32, 64], "train": 4, "val": 2}
    smoke["budget"]["all"] |= {"crop": [32, 64], "batch_size": 2}
    real["data"] |= {
        "ade20k": {"source": "ade20k", "size": {"short": 32, "long": 64}},
        "coco_panoptic": {"source": "coco_panoptic", "size": [32, 64]},
        "mine": {"source": "mine", "size": [32, 64]},
    }
    folder = {"path": "mine", "images": "{split}/{name}.jpg", "labels": "{split}/{name}.png"}
    small["datasets"]["mine"] = {"licence": "mine", "folder": folder | {"classes": ["road", "car"]}}
    small["dejavu"] = own["dejavu"]
    small["experiments"]["hrnet18_dejavu"]["dejavu"] = own["dejavu"]  # `small` has all keys that tests spoil
    small["recipes"]["hrnet_cityscapes"]["schedule"] = {"name": "poly"}
    del small["tables"]["pair"]["paper"]
    claim = {"says": "It helps", "row": "hrnet18_dejavu", "metric": "miou"}
    small["claims"] = {"main": {"helps": claim}}
    small["tables"]["pair"]["rows"] = {"hrnet18": "HRNet", "hrnet18_dejavu": "HRNet"}
    return json.dumps(small)


def params() -> dict[str, Any]:
    """To change as one likes: nothing in it is shared. `write` adds the key `scale`."""
    loaded: dict[str, Any] = json.loads(_own())
    return loaded


def put(value: Any, path: str, new: Any) -> None:
    """Set the value at a path such as 'scales.smoke.seeds.0'."""
    *parents, last = path.split(".")
    for key in parents:
        value = value[int(key)] if isinstance(value, list) else value[key]
    value[int(last) if isinstance(value, list) else last] = new


def drop(value: Any, path: str) -> None:
    """Remove the key at a path."""
    *parents, last = path.split(".")
    for key in parents:
        value = value[int(key)] if isinstance(value, list) else value[key]
    del value[last]


def write(folder: Path, content: dict[str, Any]) -> None:
    """Write params.yaml, with smoke as the scale where it says none."""
    content = copy.copy(content)
    if "scale" not in content:
        scales = content.get("scales")
        content["scale"] = scales["smoke"] if isinstance(scales, dict) else 1  # the very object: an alias
    (folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def make_all() -> None:
    """Data by the project's commands; weights, logs and metrics of both rows as if they had been trained."""
    import torch

    from dejavu.commands import main
    from dejavu.commands.train import _publish
    from dejavu.config import loading
    from dejavu.config.paths import Paths
    from dejavu.datasets.prepared.store import read_report
    from dejavu.models.build import build_method, build_network
    from dejavu.training import measured
    from dejavu.training.checkpoint import run_folder
    from dejavu.training.epoch_log import COLUMNS

    for stage in ("download", "prepare"):
        assert main([stage, "cityscapes", "--scale", "smoke"]) == 0
    loaded, paths = loading.load("params.yaml"), Paths("smoke")
    report = read_report(paths.prepared("cityscapes"))
    torch.manual_seed(0)
    for name in KEPT["experiments"]:
        run = loaded.run(name, "smoke")
        network = build_network(run, len(report["classes"]), classes=report["classes"])
        method = None if run.dejavu is None else build_method(run, network, report["classes"])
        folder = run_folder(run, 0, report)
        folder.finish(
            weights=network.state_dict(),
            regenerator=None if method is None else method.training_only.state_dict(),
            log=[
                {
                    "step": 2,
                    "epoch": 1,
                    "lr": 0.003,
                    "loss": 2.5,
                    "loss_task": 2.5,
                    "loss_dejavu": 0.5,
                    "val_miou": 2.0,
                }
            ],
            columns=(*COLUMNS, "loss_task", "loss_dejavu", "val_miou"),
            seconds=1.0,
            steps=2,
            pretrained={},
        )
        _publish(folder, paths, 0, run)
    with pytest.MonkeyPatch.context() as patch:  # counting takes seconds
        patch.setattr(measured, "cost", lambda *_: {"gmacs": 19.2, "params_m": 3.9, "input": [512, 1024]})
        for name in KEPT["experiments"]:
            measured.keep(loaded, loaded.run(name, "smoke"), 0, report)
            assert main(["evaluate", name, "--scale", "smoke"]) == 0


def finished_in(folder: Path) -> Path:
    """The folder, in which everything was made, without real data."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("DEJAVU_MIRROR", raising=False)
        write(folder, params())
        make_all()
    return folder
