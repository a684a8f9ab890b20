"""What the readable forms of a table share: its cells, read from the CSV, and its caption."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

from ..errors import DejavuError
from ..schema import Params
from .labels import dataset_name, find

NOT_RUN = "not run"


@dataclass(frozen=True)
class Origin:
    """What a caption says beyond the CSV.

    `dataset` is the paper's, `source` what was really used; sizes are (height, width) in pixels: `size`
    of the images, `input` of those for which GMACs are counted. `split` is '' where nothing was run.
    """

    title: str
    dataset: str
    source: str
    split: str
    scale: str
    size: tuple[int, int]
    width: float
    seeds: tuple[int, ...]
    input: tuple[int, int]

    @classmethod
    def of(cls, params: Params, name: str, scale: str, split: str) -> Origin:
        """That of the named table at a scale; `split` is the part of the data that was measured."""
        table, size = params.get_table(name), params.get_scale(scale)
        part = params.part(table.dataset, scale)
        return cls(
            title=table.title,
            dataset=table.dataset,
            source=part.source,
            split=split,
            scale=scale,
            size=part.size,
            width=size.width,
            seeds=size.seeds,
            input=params.cost_input(table.dataset),
        )

    @property
    def data(self) -> str:
        """The data actually used, e.g. 'CamVid test (stands in for Cityscapes)'."""
        used = " ".join(filter(None, (dataset_name(self.source), self.split)))
        return used if self.real else f"{used} (stands in for {dataset_name(self.dataset)})"

    @property
    def real(self) -> bool:
        """Whether it is the paper's own dataset."""
        return self.source == self.dataset

    @property
    def setting(self) -> str:
        """Scale, data, image size, network width and seeds in one line."""
        seeds = f"{len(self.seeds)} seed{'s' if len(self.seeds) > 1 else ''} ({_listed(self.seeds)})"
        width = "full-width networks" if self.width == 1 else f"width factor {self.width:g}"
        return f"{self.data}, {pixels(self.size)}, {width}, {seeds}"


@dataclass(frozen=True)
class Cell:
    """What one line says of one metric, spelled for readers; '' where there is nothing to say.

    `gain` has its sign; `certain` marks a gain whose interval excludes 0.
    """

    paper: str
    mean: str
    deviation: str
    gain: str
    low: str
    high: str
    certain: bool


def read_lines(path: str | Path) -> tuple[list[str], list[dict[str, str]]]:
    """The metrics (in column order) and the lines of a table's CSV."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            lines = list(reader)
    except FileNotFoundError:
        raise DejavuError(f"{path} is missing: make it with `dejavu tables`") from None
    heads = list(reader.fieldnames or ())
    return [head.removesuffix("_mean") for head in heads if head.endswith("_mean")], lines


def name(line: dict[str, str]) -> str:
    """The method's name: 'HRNet' or 'HRNet + DejaVu'."""
    return line["method"] + (" + DejaVu" if line["dejavu"] == "true" else "")


def cell(line: dict[str, str], metric: str) -> Cell:
    """One metric of one line, at the digits worth printing."""
    digits = find(metric).digits
    low, high = line[f"{metric}_gain_lo"], line[f"{metric}_gain_hi"]
    return Cell(
        paper=line[f"paper_{metric}"],
        mean=NOT_RUN if line["status"] == NOT_RUN else rounded(line[f"{metric}_mean"], digits),
        deviation=rounded(line[f"{metric}_std"], digits),
        gain=rounded(line[f"{metric}_gain"], digits, sign=True),
        low=rounded(low, digits, sign=True),
        high=rounded(high, digits, sign=True),
        certain=bool(low and high) and (Decimal(low) > 0 or Decimal(high) < 0),
    )


def rounded(text: str, digits: int, *, sign: bool = False) -> str:
    """A number of the CSV with fewer decimals, rounded from its decimal spelling.

    >>> rounded("0.3149", 2, sign=True), rounded("", 2)
    ('+0.31', '')
    """
    if not text:
        return ""
    value = Decimal(text).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN)
    return f"{value:+zf}" if sign else f"{value:zf}"


def cost(text: str) -> str:
    """GMACs or millions of parameters of ours: two decimals."""
    return rounded(text, 2)


def pixels(size: tuple[int, int]) -> str:
    """Height × width.

    >>> pixels((96, 128))
    '96×128'
    """
    return f"{size[0]}×{size[1]}"


def caption(origin: Origin) -> list[str]:
    """What a reader must know before comparing numbers, as sentences."""
    sentences = [
        f"Scale {origin.scale}: {origin.setting}.",
        "Ours: mean ± sample standard deviation over seeds.",
        "Gain: the mean difference to the same network without DejaVu, paired by seed, with its 95 % "
        "confidence interval (Student's t); bold where the interval excludes 0.",
        f"Ours GMACs and parameters (millions): the full-size deployed network at {pixels(origin.input)}.",
    ]
    if origin.real and origin.width == 1:
        sentences.append(f"Paper: the value as printed there, on {dataset_name(origin.dataset)}.")
    else:
        sentences.append(
            f"Paper: the value as printed there, on the real {dataset_name(origin.dataset)} with full-size "
            "images and networks, so its level is not comparable with ours."
        )
    return [*sentences, "Not run: only the paper's value is known."]


def _listed(seeds: tuple[int, ...]) -> str:
    """'0-4' for a range, '0, 7' otherwise."""
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]}-{seeds[-1]}"
    return ", ".join(map(str, seeds))
