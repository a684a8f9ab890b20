"""Samples that the tests of figures draw."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure

from dejavu.reports.figures import bands, classes, curves, gains, panel, teaser, tradeoff
from dejavu.reports.figures.bands import BandStudy, level
from dejavu.reports.figures.classes import ClassGains, pair
from dejavu.reports.figures.curves import Curve, Curves, Group
from dejavu.reports.figures.elements.logs import Log, panels
from dejavu.reports.figures.elements.pictures import Block
from dejavu.reports.figures.elements.task_blocks import PANEL, TEASER, TaskBlocks
from dejavu.reports.figures.elements.tasks import PanelRow, TaskImages
from dejavu.reports.figures.gains import Gains
from dejavu.reports.figures.panel import FIRST, Segmentation
from dejavu.reports.figures.tradeoff import TradeOff
from dejavu.reports.tables import columns
from dejavu.reports.tables.cells import Content

PALETTE = np.array([[128, 64, 128], [70, 70, 70], [220, 20, 60]], np.uint8)
CLASSES = ["road", "building", "person"]
NAN = float("nan")


def log(shift: float = 0.0, dejavu: bool = False) -> Log:
    return {
        "epoch": np.array([1.0, 2.0, 3.0]),
        "loss_task": np.array([3.0, 2.0, 1.0]) + shift,
        "loss_dejavu": np.array([0.3, 0.2, 0.1]) + shift if dejavu else np.full(3, NAN),
        "val_miou": np.array([NAN, 40.0, 50.0]) + shift,
    }


def groups(count: int = 1) -> list[Group]:
    base = Curve("HRNet", [log(0.0), log(0.5)])
    ours = Curve("HRNet + DejaVu", [log(1.0, dejavu=True), log(2.0, dejavu=True)])
    return [Group(f"group {i}", [base, ours] if i == 0 else [base]) for i in range(count)]


def curves_figure() -> Figure:
    return curves.draw(Curves(groups(2), "Title", "Scale demo, data"))


def block(height: int = 8, width: int = 300, count: int = 2) -> Block:
    """Pictures of one colour or class each, so that any pixel tells which it is."""

    def flat(*colour: int) -> np.ndarray:
        return np.full((height, width, 3), colour, np.uint8)

    def classes(value: int) -> np.ndarray:
        return np.full((height, width), value, np.uint8)

    rows = [
        [flat(10, 20, i), classes(0), classes(1), classes(255), flat(1, 2, 3), flat(9, 8, 7)]
        for i in range(count)
    ]
    return Block(FIRST, [f"image {i}" for i in range(count)], rows)


def panel_figure() -> Figure:
    return panel.draw(Segmentation([block()], PALETTE, CLASSES, "Title", "Scale demo, data"))


def content(cells: dict[str, dict[str, tuple[float, ...]]]) -> Content:
    """A table's CSV: of each row and metric the gain, and its interval if any; '#' is a row's base."""
    metrics = tuple(dict.fromkeys(metric for row in cells.values() for metric in row))
    lines = {"#": dict.fromkeys(columns(metrics), "") | {"id": "#", "method": "HRNet", "status": "run"}}
    for name, values in cells.items():
        line = lines["#"] | {"id": name, "method": name, "base": "#"}
        for metric, numbers in values.items():
            keys = (f"{metric}_gain", f"{metric}_gain_lo", f"{metric}_gain_hi")
            line |= {key: f"{number:.4f}" for key, number in zip(keys, numbers, strict=False)}
        lines[name] = line
    return Content(metrics, lines)


def gains_figure() -> Figure:
    """Rows with long names in three groups, of two metrics; and rows of another task."""
    cells = {}
    for i in range(7):
        mean = 0.3 * i - 1
        values = (mean, mean - 0.4, mean + 0.4)
        cells[f"{'abc'[i % 3]} change: to something of a longish name, {i}"] = {"miou": values}
        cells[f"{'abc'[i % 3]} change: to something of a longish name, {i}"]["boundary_miou"] = values[:1]
    for i in range(3):
        cells[f"depth: {i}"] = {"depth_aerr": (0.01 * i, -0.02, 0.03)}
    return gains.draw(Gains(content(cells), "Title", "Scale demo, data"))


def costs(rows: dict[str, dict[str, object]]) -> Content:
    """A table's CSV of costs and mIoU."""
    blank = dict.fromkeys(columns(["miou"]), "") | {"status": "run", "method": "HRNet"}
    lines = {
        key: blank | {"id": key} | {name: str(value) for name, value in row.items()}
        for key, row in rows.items()
    }
    return Content(("miou",), lines)


def shared_attention() -> Content:
    """Three widths, DejaVu on the first, and DejaVu-SA, of which the paper prints no cost."""
    plain = {"gmacs": 19.2, "params_m": 3.9, "miou_mean": 30, "miou_std": 1}
    return costs(
        {
            "w18": plain | {"backbone": "W18", "paper_miou": 77.6, "paper_gmacs": 19, "paper_params_m": 4},
            "w20": {"backbone": "W20", "gmacs": 22, "params_m": 4.8, "miou_mean": 32, "miou_std": 2}
            | {"paper_miou": 79.0, "paper_gmacs": 22, "paper_params_m": 4.8},
            "w19": {"backbone": "W19", "gmacs": 20.6, "params_m": 4.4, "miou_mean": 31, "miou_std": 0.5},
            "dv": plain
            | {"base": "w18", "backbone": "W18", "miou_mean": 31.5}
            | {"paper_miou": 78.8, "paper_gmacs": 19, "paper_params_m": 4},
            "sa": {"method": "DejaVu-SA", "base": "w18", "gmacs": 22.4, "params_m": 4.1}
            | {"miou_mean": 33, "paper_miou": 80.1},
        }
    )


def tradeoff_figure() -> Figure:
    return tradeoff.draw(TradeOff(shared_attention(), "Title", "Scale demo, data"))


def class_values(shift: float = 0.0, count: int = 3, seeds: int = 3) -> dict[int, dict[str, float | None]]:
    """IoU of some classes: the more of the shift, the higher a class's number."""
    return {
        seed: {f"class {i}": 40.0 + i + seed * 0.1 * (i % 3) + shift * (i - 1) for i in range(count)}
        for seed in range(seeds)
    }


def classes_figure(count: int = 3, pairs: int = 2) -> Figure:
    panels = [
        pair(f"HRNet + DejaVu {i}\nHRNet18", class_values(1.0 + i, count), class_values(0.0, count))
        for i in range(pairs)
    ]
    return classes.draw(ClassGains(panels, "Title", "Scale demo, data"))


def many_classes_figure() -> Figure:
    return classes_figure(150, 3)


EDGES = {"low": (0.0, 0.25), "middle": (0.25, 0.5), "high": (0.5, 1.0)}


def band_content() -> Content:
    """A band study of three seeds: none, and three bands of which the middle one gains for certain."""
    blank = dict.fromkeys(columns(["depth_aerr"]), "") | {"status": "run", "seeds": "3", "method": "HRNet"}
    rows = {"none": ("0.6000", "0.0100", ""), "high": ("0.6100", "0.0200", "0.0100 -0.0100 0.0300")}
    rows |= {"low": ("0.5900", "", "-0.0100"), "middle": ("0.5500", "0.0300", "-0.0500 -0.0700 -0.0300")}
    lines = {}
    for key, (mean, deviation, gain) in rows.items():
        line = blank | {"id": key, "depth_aerr_mean": mean, "depth_aerr_std": deviation}
        names = ("depth_aerr_gain", "depth_aerr_gain_lo", "depth_aerr_gain_hi")
        lines[key] = line | dict(zip(names, gain.split(), strict=False))
    return Content(("depth_aerr",), lines)


def bands_figure() -> Figure:
    found = band_content()
    plain = level(found.lines["none"], "depth_aerr")
    rows = bands.bands(found, EDGES, "depth_aerr")
    return bands.draw(BandStudy(rows, plain, "depth_aerr", "Title", "Scale demo, data", "the middle band"))


TRUTHS = {
    "semantic": np.array([0, 1, 2, 255], np.uint8),
    "panoptic": np.array([0, 257, 512, 65535], np.uint16),
    "depth": np.array([0, 1.0, 2.0, 5.0], np.float32),
    "normals": np.array([[0, 0, 0], [0, 0, -1], [1, 0, 0], [0, -1, 0]], np.float16),
}


def part(task: str, images: int = 1, height: int = 60, width: int = 300) -> TaskImages:
    """Four columns of one value each; the baseline predicts the last value everywhere, DejaVu the second."""

    def wide(values: np.ndarray) -> np.ndarray:
        return np.repeat(np.broadcast_to(values, (height, *values.shape)), width // 4, axis=1)

    truth = TRUTHS[task]
    maps = [truth, np.broadcast_to(truth[-1:], truth.shape), np.broadcast_to(truth[1:2], truth.shape)]
    pictures = [np.full((height, width, 3), 10 * i, np.uint8) for i in range(3)]
    seen = [
        PanelRow(f"{task} {i}", pictures[0], *(wide(some) for some in maps), *pictures[1:])
        for i in range(images)
    ]
    return TaskImages(task, "MTL + DejaVu", seen)


def tasks_figure() -> Figure:
    parts = [part(task, images=3) for task in TRUTHS]
    return panel.draw(TaskBlocks(parts, PANEL, PALETTE, CLASSES, "Title", "Scale demo, data"))


def teaser_figure() -> Figure:
    parts = [part(task, height=160) for task in ("semantic", "normals")]
    return teaser.draw(TaskBlocks(parts, TEASER, PALETTE, CLASSES, "Title", "Scale demo, data"))


def tasks_curves_figure() -> Figure:
    """Rows of three tasks, and of one task each."""
    more = {"val_depth_aerr": np.array([NAN, 0.7, 0.6]), "val_normal_merr": np.array([NAN, 30.0, 28.0])}
    several = Group("MTL", [Curve("MTL", [log() | more]), Curve("MTL + DejaVu", [log(dejavu=True) | more])])
    plain = {key: value for key, value in log().items() if key != "val_miou"}
    alone = [Curve(key, [plain | {key: value}]) for key, value in more.items()]
    groups = [several, Group("one task each", alone)]
    return curves.draw(Curves(groups, "Title", "Scale demo, data", panels(["semantic", "depth", "normals"])))


def weighed_curves_figure() -> Figure:
    """Rows of depth and normals: two that weigh them and one that does not, and XTC beside its DejaVu row."""
    more = {"val_depth_aerr": np.array([0.8, 0.7, 0.6]), "val_normal_merr": np.array([31.0, 30.0, 28.0])}
    plain = {key: value for key, value in log().items() if key != "val_miou"} | more
    halves = {"weight_depth": np.array([1.0, 0.5, 0.25]), "weight_normals": np.array([1.0, 1.5, 1.75])}
    weighed = [Curve("DWA", [plain | halves]), Curve("MGDA", [plain | halves]), Curve("MTAN", [plain])]
    xtc = plain | {"loss_consistency": np.array([4.0, 3.0, 2.0])}
    pair = [Curve("XTC", [xtc]), Curve("XTC + DejaVu", [xtc | {"loss_dejavu": np.array([0.3, 0.2, 0.1])}])]
    groups = [Group("weighed", weighed), Group("XTC", pair)]
    return curves.draw(Curves(groups, "Title", "Scale demo, data", panels(["depth", "normals"])))


FIGURES: list[Callable[[], Figure]] = [
    *(curves_figure, panel_figure, gains_figure, tradeoff_figure, classes_figure, many_classes_figure),
    *(bands_figure, tasks_figure, teaser_figure, tasks_curves_figure, weighed_curves_figure),
]
