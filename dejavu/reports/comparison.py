"""One pair of rows, in one sentence and on one page: what `dejavu compare` ends with."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import Params
from ..config.loading import load
from ..config.paths import Paths
from ..metrics import METRICS, Metric
from ..system.files import read_json, write_text
from .pairs import Pair, find_pairs
from .statistics import Gain, paired_difference, summary

TEMPLATE = Path(__file__).with_name("comparison.html")
CAPTIONS = {
    "panel": "The same images, their truth and the predictions of both networks, then the redacted and the "
    "regenerated image. The images are evenly spaced, not chosen.",
    "curves": "Learning curves, mean and spread over the seeds. Where validation still improves at the end, "
    "the trainings were short: more minutes may change the verdict.",
    "classes": "Gain of each class.",
}


@dataclass(frozen=True)
class Line:
    """A metric of both rows: its values by seed, and the gain, in its own unit and sign."""

    key: str
    base: Mapping[int, float]
    ours: Mapping[int, float]
    gain: Gain

    @property
    def metric(self) -> Metric:
        return METRICS[self.key]

    def number(self, value: float, signed: bool = False) -> str:
        """Write a value with the metric's digits.

        >>> Line("miou", {}, {}, Gain(0, None, None, 1)).number(0.614, signed=True)
        '+0.61'
        """
        return f"{value:{'+z' if signed else ''}.{self.metric.digits}f}"

    @property
    def interval(self) -> str:
        """The 95 % interval in brackets; '' where there is none."""
        low, high = self.gain.low, self.gain.high
        return "" if low is None or high is None else f"[{self.number(low, True)}, {self.number(high, True)}]"

    @property
    def decided(self) -> int:
        """1 where DejaVu is better with an interval without 0, -1 where it is worse, else 0."""
        low, high = self.gain.low, self.gain.high
        if low is None or high is None or low <= 0 <= high:
            return 0
        return 1 if (low > 0) == self.metric.higher_is_better else -1

    def spread(self, row: str) -> str:
        """Return mean and standard deviation of the row `base` or `ours`."""
        mean, deviation = summary(getattr(self, row).values())
        return self.number(mean) + ("" if deviation is None else f" ± {self.number(deviation)}")


@dataclass(frozen=True)
class Comparison:
    """The measured pair: the first line is the main metric."""

    params: Params
    scale: str
    table: str
    pair: Pair
    lines: list[Line]
    seconds: tuple[float, float]
    """mean training time of a seed, without and with DejaVu"""

    @property
    def verdict(self) -> str:
        """The result in one line: '+0.61 mIoU, 95 % interval [+0.10, +1.12], 5 paired seeds, ...'."""
        main = self.lines[0]
        unit = "" if main.metric.unit in ("%", "") else f" {main.metric.unit}"
        gain = f"{main.number(main.gain.mean, True)}{unit} {main.metric.name}"
        interval = f", 95 % interval {main.interval}" if main.interval else ""
        seeds = f"{main.gain.n} paired seeds" if main.gain.n > 1 else "1 pair"
        return f"{gain}{interval}, {seeds}, {100 * self.more_time:+z.0f} % training time"

    @property
    def more_time(self) -> float:
        """The additional training time, as a share of the baseline's."""
        return self.seconds[1] / self.seconds[0] - 1 if self.seconds[0] else math.nan

    @property
    def judgement(self) -> str:
        """What the interval says."""
        main = self.lines[0]
        if not main.interval:
            return "Not decided: one pair has no interval. Take more --seeds."
        better = "higher" if main.metric.higher_is_better else "lower"
        what = {1: "DejaVu helps", -1: "DejaVu harms"}.get(main.decided)
        if what:
            return f"{what} here: the interval is on one side of 0 ({better} is better)."
        return (
            "Not decided: the interval includes 0, so these trainings show no difference. More seeds or "
            f"minutes would narrow it ({better} is better)."
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return {
            "verdict": self.verdict,
            "decided": {1: "helps", -1: "harms", 0: "not decided"}[self.lines[0].decided],
            "seeds": self.lines[0].gain.n,
            "training_seconds": {"baseline": self.seconds[0], "dejavu": self.seconds[1]},
            "metrics": {
                line.key: {
                    "unit": line.metric.unit,
                    "higher_is_better": line.metric.higher_is_better,
                    "baseline": list(line.base.values()),
                    "dejavu": list(line.ours.values()),
                    "gain": line.gain.mean,
                    "interval": None if line.gain.low is None else [line.gain.low, line.gain.high],
                }
                for line in self.lines
            },
        }


def read(path: str | Path, scale: str, table: str) -> Comparison:
    """Read the metrics of the first pair of a table of params.yaml, in the working directory.

    Raises DejavuError where a file is missing.
    """
    params, paths = load(path), Paths(scale)
    pair = find_pairs(params, table)[0]
    seeds = params.run(pair.base, scale).seeds
    rows = {}
    times = []
    for row in (pair.base, pair.experiment):
        files = {seed: read_json(paths.metrics(row, seed), f"run `dejavu evaluate {row}`") for seed in seeds}
        rows[row] = {seed: content["metrics"] for seed, content in files.items()}
        trained = [read_json(paths.sidecar(row, seed)).get("train") or {} for seed in seeds]
        times.append(sum(float(one.get("seconds", 0.0)) for one in trained) / len(seeds))
    lines = []
    for key in params.get_table(table).metrics:
        base, ours = ({seed: rows[row][seed][key] for seed in seeds} for row in (pair.base, pair.experiment))
        lines.append(Line(key, base, ours, paired_difference(ours, base)))
    return Comparison(params, scale, table, pair, lines, (times[0], times[1]))


def write_page(result: Comparison, chosen: Mapping[str, Any], path: Path) -> Path:
    """Write the page, one file with its pictures inside. What the user has named is escaped."""
    from jinja2 import Environment, StrictUndefined

    paths, table = Paths(result.scale), result.params.get_table(result.table)
    figures = []
    for kind in sorted(table.figures, key=list(CAPTIONS).index):
        picture = paths.figure(result.table, kind).read_bytes()
        figures.append((CAPTIONS[kind], base64.b64encode(picture).decode()))
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    run = result.params.run(result.pair.experiment, result.scale)
    text = template.render(
        result=result,
        title=table.title,
        method=run.dejavu.model_dump(mode="json", exclude_defaults=True) if run.dejavu else {},
        recipe=run.train.model_dump(mode="json", exclude_defaults=True),
        sentences=chosen.get("sentences", ()),
        figures=figures,
        weights=[(row, str(paths.weights(row, "N"))) for row in (result.pair.base, result.pair.experiment)],
    )
    write_text(path, text)
    return path
