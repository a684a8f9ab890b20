"""The study that `dejavu compare` writes: params.yaml, links to the user's folders, and lists of names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ...config.loading import load
from ...config.yaml import read_yaml
from ...errors import DejavuError, nearest
from ...system.files import write_text
from ...system.own_code import is_own
from .classes import Classes
from .request import Request
from .survey import Survey

SCALE, DATASET, TABLE = "compare", "folder", "compare"
ROWS = ("baseline", "dejavu")
METRICS = {
    "semantic": ["miou", "boundary_miou", "pixel_accuracy"],
    "depth": ["depth_aerr", "rmse", "abs_rel"],
    "normals": ["normal_merr", "normal_median"],
}
FIGURES = {"semantic": ["curves", "panel", "classes"]}
DEFAULTS = Path(__file__).with_name("defaults.yaml")
INPUT = Path("input")
"""the folder of the study that holds the links to the user's folders and the lists of names"""
EVALUATIONS = 10
"""validations for the learning curve, at most"""


def network_of(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a network as params.yaml has it, and the keys of the recipe that it needs.

    It is one of the defaults, a function of the user's, or one of ./params.yaml. Raises DejavuError for
    another name.
    """
    defaults = read_yaml(DEFAULTS)["networks"]
    if is_own(name):
        return {"module": name}, {}
    if name in defaults:
        return defaults[name], {}
    if not Path("params.yaml").exists():
        raise DejavuError(
            f"--network: unknown network '{name}', {nearest(name, defaults)}; others are in the repository's "
            "params.yaml, in whose folder the command is run then, or package.module:function"
        )
    params = load("params.yaml")
    if name not in params.networks:
        raise DejavuError(f"--network: unknown network '{name}', {nearest(name, params.networks)}")
    network = params.networks[name]
    rows = [row for row in params.experiments.values() if row.network == name]
    recipe: dict[str, Any] = {}
    if rows:
        recipe = params.recipes[rows[0].recipe].model_dump(exclude_unset=True, mode="json")
    kept = {key: value for key, value in recipe.items() if key in ("auxiliary", "align_corners")}
    return {"module": network.module, **network.options}, kept


def settings(
    request: Request,
    survey: Survey,
    classes: Classes | None,
    size: Any,
    crop: list[int],
    epochs: int,
    backbone: bool | None = None,
) -> dict[str, Any]:
    """Return the study's params.yaml, by the project's schema.

    `backbone` is whether a network of the user's has one, which the others have if they are pretrained.
    """
    defaults, (network, needed) = read_yaml(DEFAULTS), network_of(request.network)
    usual = defaults["recipes"][request.task]
    optimizer = dict(usual["optimizer"])
    if not (backbone if backbone is not None else "pretrained" in network):
        optimizer.pop("backbone")
    steps = min(usual["batch_size"], len(survey.splits["train"]))
    recipe = usual | needed | {"optimizer": optimizer, "crop": crop, "batch_size": steps}
    recipe |= {"epochs": epochs, "evaluations": min(EVALUATIONS, epochs)}
    module, _, function = request.network.partition(":")
    title = function or module
    row = {"task": request.task, "dataset": DATASET, "network": "network", "recipe": "compare"}
    row["budget"] = "pair"
    scale = {
        "name": SCALE,
        "seeds": list(range(request.seeds)),
        "width": 1.0,
        "pretrained": True,
        "data": {DATASET: {"source": DATASET, "size": size}},
        "budget": {"all": {}, "pair": {}},
    }
    return {
        "scales": {SCALE: scale},
        "scale": scale,  # YAML's alias, which the schema asks for
        "datasets": {
            DATASET: {
                "licence": "the user's own",
                "cost_input": size if isinstance(size, list) else crop,
                "folder": _folder(request, survey, classes),
            }
        },
        "networks": {"network": network},
        "recipes": {"compare": recipe},
        "protocols": {"whole": {}},
        "dejavu": defaults["dejavu"][request.task],
        "experiments": {ROWS[0]: row, ROWS[1]: {**row, "base": ROWS[0], "dejavu": {}}},
        "tables": {
            TABLE: {
                "title": f"{Path(request.images).name}: with and without DejaVu",
                "dataset": DATASET,
                "metrics": METRICS[request.task],
                "figures": FIGURES.get(request.task, ["curves", "panel"]),
                "rows": {ROWS[0]: title, ROWS[1]: f"{title} + DejaVu"},
            }
        },
    }


def _folder(request: Request, survey: Survey, classes: Classes | None) -> dict[str, Any]:
    """Return the section that reads the user's folders through the links in `INPUT`."""
    key = "labels" if request.task == "semantic" else request.task
    entry: dict[str, Any] = {
        "path": str(INPUT),
        "images": f"images/{survey.images}",
        key: f"{key}/{survey.labels}",
        "lists": "{split}.txt",
    }
    if classes is not None:
        entry |= {"classes": classes.names, "values": classes.values, "ignore": classes.ignore}
        if classes.values == list(range(len(classes.values))):
            del entry["values"]
    return entry


def write(folder: Path, request: Request, survey: Survey, content: Mapping[str, Any]) -> None:
    """Write params.yaml, the links and the lists. Raises DejavuError for what the schema refuses."""
    key = "labels" if request.task == "semantic" else request.task
    (folder / INPUT).mkdir(parents=True, exist_ok=True)
    for name, target in (("images", request.images), (key, request.labels)):
        link = folder / INPUT / name
        link.unlink(missing_ok=True)
        link.symlink_to(target, target_is_directory=True)
    for split, names in survey.splits.items():
        write_text(folder / INPUT / f"{split}.txt", "".join(f"{name}\n" for name in names))
    text = "# Written by `dejavu compare`. Commands and Snakemake work in this folder (docs/compare.md).\n"
    text += yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True, width=110)
    write_text(folder / "params.yaml", text)
    load(folder / "params.yaml")
