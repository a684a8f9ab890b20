"""Gains in a table's CSV: rows, their groups, and the sign of each interval."""

from __future__ import annotations

from dataclasses import dataclass

from ...tables.cells import Content, cell
from .style import COLOURS


@dataclass(frozen=True)
class Gain:
    """One row: its group and name, the gain, its interval (None for one seed), and both as text."""

    group: str
    name: str
    mean: float
    interval: tuple[float, float] | None
    text: str
    certain: bool

    @property
    def ends(self) -> tuple[float, ...]:
        """Ends of the row: its interval, or the gain alone."""
        return self.interval or (self.mean,)


@dataclass(frozen=True)
class Sign:
    """Colour and marker of a gain; both show its sign, for print in grey."""

    label: str
    colour: str
    marker: str
    filled: bool


BETTER = Sign("better, interval excludes 0", COLOURS[0], "o", True)
WORSE = Sign("worse, interval excludes 0", COLOURS[1], "s", True)
OPEN = Sign("interval holds 0", "#777777", "o", False)
SINGLE = Sign("one seed: no interval", "#777777", "D", False)


def gains(content: Content, metric: str) -> list[Gain]:
    """Return the rows with a gain in this metric, sorted by group, else in the table's order.

    The group of a row is the text before the colon: 'ratio' of 'ratio: 0.25'. Rows without a group come
    first.
    """
    groups: dict[str, list[Gain]] = {"": []}
    for line in content.ran:
        printed = cell(line, metric)
        if not printed.gain:
            continue
        group, _, rest = content.name(line).partition(":")
        group, rest = (group.strip(), rest.strip()) if rest else ("", group)
        low, high = line[f"{metric}_gain_lo"], line[f"{metric}_gain_hi"]
        interval = f" [{printed.low}, {printed.high}]" if low else ""
        gain = Gain(
            group=group,
            name=rest,
            mean=float(line[f"{metric}_gain"]),
            interval=(float(low), float(high)) if low else None,
            text=f"{printed.gain}{interval}".replace("-", "−"),
            certain=printed.certain,
        )
        groups.setdefault(group, []).append(gain)
    return [gain for group in groups.values() for gain in group]


def sign_of(gain: Gain, higher_is_better: bool) -> Sign:
    """Return the sign of a gain, by its interval."""
    if gain.interval is None:
        return SINGLE
    if not gain.certain:
        return OPEN
    return BETTER if (gain.mean > 0) == higher_is_better else WORSE
