"""Checks of the ground truth of a dataset's splits: useless ones are refused, odd ones get a remark.

A task needs ground truth in the split that is learnt from and in those that are measured, and segmentation
needs two classes there: with one, every network is right everywhere. All else may be meant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import DejavuError
from ..dataset import Dataset
from .counts import Counts

if TYPE_CHECKING:
    from ...config.recipe import DepthScoring

MOST = 12
"""names in a sentence"""
ODD = 0.5
"""the share of pixels without ground truth above which a split gets a remark"""
SPARSE = ("depth", "panoptic")
"""arrays without that remark: scanners measure few pixels; labels are ignored where segments are void"""
DEPTHS = (0.1, 1000.0)
"""metres: a split whose largest depth is not between is likely in another unit. Scanners see 250 m far."""
_NONE = {
    "labels": ("class", "every pixel is ignored"),
    "depth": ("depth", "every pixel is 0"),
    "normals": ("normal", "every pixel is the 0-vector"),
    "panoptic": ("segment", "every pixel is void"),
}
"""One piece of ground truth of an array, and how it looks where there is none."""


@dataclass(frozen=True)
class Subject:
    """A dataset at a scale, as sentences name it."""

    dataset: Dataset
    name: str
    """'mine at scale open'"""
    size: str
    """the size of its images, in words"""
    size_key: str
    """the key of params.yaml that sets the size"""
    classes: Sequence[str]
    rendered: bool = False
    """True for scenes: some classes are never rendered"""

    def those(self, chosen: np.ndarray) -> list[str]:
        """Return the names of the classes for which `chosen`, bool (K,), is True."""
        return [name for name, is_one in zip(self.classes, chosen, strict=True) if is_one]

    @property
    def hint(self) -> str:
        """The keys that say how label files are read; '' where the dataset's own file does."""
        keys = self.dataset.settings
        return f"{keys}.values gives the values of each class, {keys}.ignore those of none" if keys else ""


def check(
    subject: Subject, counts: Mapping[str, Counts], label_files: Callable[[str], Sequence[Path]]
) -> list[str]:
    """Return a sentence on each oddity of the splits; `label_files` gives the label files of a split.

    Raises DejavuError, with the key of params.yaml that helps, for a task without ground truth in a split
    that needs it, and for labels of one class.
    """
    dataset = subject.dataset
    kinds = [kind for kind in dataset.targets if kind != "labels" or subject.classes]
    for split in dict.fromkeys(("train", dataset.validate, dataset.evaluate)):
        for kind in reversed(kinds):  # panoptic maps before the labels that are made from them
            if not counts[split].has_truth(kind):
                raise DejavuError(f"{subject.name}: {_nothing(subject, split, counts[split], kind)}")
    measured = {split: counts[split] for split in dict.fromkeys(("train", dataset.evaluate))}
    if len(subject.classes) > 1 and dataset.task == "semantic":
        for split, count in measured.items():
            _check_classes(subject, split, count, partial(label_files, split))
    remarks = [*_absent(subject, measured), *_odd_depths(subject, counts)]
    for split, count in counts.items():
        for kind in kinds:
            remarks += _unknown(subject, split, count, kind)
    return remarks


def check_depth(report: Mapping[str, Any], scoring: DepthScoring | None) -> None:
    """Raise DejavuError if a protocol scores no depth that the measured split of a report has."""
    split = report["evaluate"]
    metres = report["splits"][split].get("depth", {}).get("metres")
    if scoring is None or metres is None:
        return
    low, high, key = metres["min"], metres["max"], ""
    if high <= scoring.minimum:
        key = f"above {scoring.minimum:g} m, the minimum"
    elif scoring.maximum is not None and low >= scoring.maximum:
        key = f"below {scoring.maximum:g} m, the maximum"
    if key:
        raise DejavuError(
            f"the true depth in {split} is from {low:g} to {high:g} m, and the experiment's protocol scores "
            f"depth {key} in its `depth`: are the files in another unit?"
        )


def _nothing(subject: Subject, split: str, count: Counts, kind: str) -> str:
    """Describe a split without ground truth of a kind, and the cause."""
    name, looks = _NONE.get(kind, (kind, "every pixel is unknown"))
    if count.lost[kind]:
        return f"resizing to {subject.size} leaves no {name} in {split}; raise {subject.size_key}"
    if kind == "panoptic" and count.segments["crowds"]:
        return f"every segment in {split} is a crowd, and one that is none is needed"
    hint = f"; {subject.hint}" if kind == "labels" and subject.hint else ""
    return f"there is no {name} in {split}: {looks}{hint}"


def _check_classes(
    subject: Subject, split: str, count: Counts, label_files: Callable[[], Sequence[Path]]
) -> None:
    """Raise DejavuError for a split of one class, and for label files that hold other values than meant."""
    total = len(subject.classes)
    present: list[int] = np.flatnonzero(count.pixels[:total]).tolist()
    if len(present) > 1 and (split != "train" or 2 * len(present) >= total):
        return
    doubt = None if split != "train" or subject.rendered else subject.dataset.doubt
    fault = None if doubt is None else doubt(present, label_files())
    if len(present) > 1 and fault is None:
        return
    if fault is None and count.in_files[:total].sum() > 1:
        fault = f"resizing to {subject.size} loses the others; raise {subject.size_key}"
    ignored = 1 - count.known_share("labels")
    share = f", and {_percent(ignored)} of the pixels are ignored" if ignored else ""
    only = f"only {listed(subject.those(count.pixels[:total] > 0))} of {total} classes"
    reason = fault or subject.hint or "two are needed, or every network is right everywhere"
    raise DejavuError(f"{subject.name}: {only} has a pixel in {split}{share}: {reason}")


def _absent(subject: Subject, counts: Mapping[str, Counts]) -> list[str]:
    """Name the classes without a pixel in the split that is learnt from and in the one that is measured."""
    total = len(subject.classes)
    absent = {split: count.pixels[:total] == 0 for split, count in counts.items()}
    everywhere = np.logical_and.reduce(list(absent.values()))
    groups = {" and ".join(counts): everywhere & (not subject.rendered)}
    groups |= {split: missing & ~everywhere for split, missing in absent.items()}
    lost = np.logical_or.reduce([absent[split] & counts[split].in_files[:total] for split in counts])
    sentences = []
    for splits, chosen in groups.items():
        if chosen.any():
            names = subject.those(chosen)
            verb = "has" if len(names) == 1 else "have"
            sentences.append(f"{len(names)} of {total} classes {verb} no pixel in {splits}: {listed(names)}.")
    if sentences and lost.any():
        sentences.append(f"Resizing to {subject.size} loses all pixels of {listed(subject.those(lost))}.")
    elif sentences and subject.hint:
        sentences.append(f"In params.yaml {subject.hint}.")
    return sentences


def _odd_depths(subject: Subject, counts: Mapping[str, Counts]) -> list[str]:
    """Describe splits whose depth is not in metres, as far as its largest value shows that."""
    low, high = DEPTHS
    odd = {split: count.depths for split, count in counts.items() if count.depths}
    odd = {split: depths for split, depths in odd.items() if not low <= max(depths) <= high}
    if not odd:
        return []
    every = [depth for depths in odd.values() for depth in depths]
    key = f" In params.yaml {subject.dataset.settings}.depth_scale is the metres of a unit." * bool(
        subject.dataset.settings
    )
    return [
        f"The true depth in {' and '.join(odd)} is from {min(every):g} to {max(every):g} m, which is likely "
        f"another unit, or a mark for no depth, which is 0.{key}"
    ]


def _unknown(subject: Subject, split: str, count: Counts, kind: str) -> list[str]:
    """Describe pixels of a split without ground truth of a kind, and images that have lost all of theirs."""
    name, _ = _NONE.get(kind, (kind, ""))
    share, sentences = 1 - count.known_share(kind), []
    if share > ODD and kind not in SPARSE:
        state = "are ignored" if kind == "labels" else f"have no {name}"
        sentences.append(f"{_percent(share)} of the pixels of {split} {state}.")
    if lost := count.lost[kind]:
        sentences.append(
            f"Resizing to {subject.size} leaves no {name} in {lost:,} of {count.images:,} images of {split}."
        )
    return sentences


def listed(names: Sequence[str]) -> str:
    """List names in quotes, the first ones of many.

    >>> listed(["road", "car"])
    "'road', 'car'"
    """
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return ", ".join(f"'{name}'" for name in names[:MOST]) + more


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share > 0.01 else "less than 1 %"
