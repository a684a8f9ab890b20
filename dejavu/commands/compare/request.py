"""The arguments of `dejavu compare`, and whether a folder was begun by the same ones."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...errors import DejavuError
from ...system.files import read_json, write_json

STATE = "compare.json"
"""the file in the folder of a study: the arguments, and what was chosen by them"""
LOCK = ".lock"


@dataclass(frozen=True)
class Request:
    """The arguments; paths are absolute."""

    images: str
    labels: str
    task: str
    classes: str | None
    ignore: str
    network: str
    seeds: int
    minutes: float
    epochs: int | None
    """the length in epochs, in place of the one that `minutes` allows"""
    short_side: int | None
    """pixels, in place of the usual one"""
    out: str

    @classmethod
    def from_arguments(cls, args: argparse.Namespace) -> Request:
        """Read the parsed command line."""
        images, labels = args.images.resolve(), args.labels.resolve()
        out = args.out if args.out is not None else Path(f"compare-{images.name or 'images'}")
        given = {key: getattr(args, key) for key in ("task", "classes", "ignore", "network", "seeds")}
        given |= {key: getattr(args, key) for key in ("minutes", "epochs", "short_side")}
        return cls(images=str(images), labels=str(labels), out=str(out.resolve()), **given)

    @property
    def folder(self) -> Path:
        """The folder of the study."""
        return Path(self.out)

    def arguments(self) -> dict[str, Any]:
        """Return what the results depend on: everything but the folder's own name."""
        return {key: value for key, value in asdict(self).items() if key != "out"}

    def begun(self) -> dict[str, Any] | None:
        """Return what an earlier run in the folder has chosen; None where it has not come so far.

        Raises DejavuError where that run had other arguments, and where the folder holds something else.
        """
        path = self.folder / STATE
        if not path.exists():
            if self.folder.exists() and not self.folder.is_dir() or self._holds_something():
                raise DejavuError(
                    f"{self.folder} exists, and is no folder of `dejavu compare`: name a new one with --out"
                )
            return None
        state = read_json(path, "remove the folder, or name another one with --out")
        state = state if isinstance(state, dict) else {}
        chosen, earlier = state.get("chosen"), state.get("arguments")
        if not isinstance(chosen, dict) or not isinstance(earlier, dict):
            return None
        for key, value in self.arguments().items():
            if earlier.get(key) != value:
                option = f"--{key.replace('_', '-')}"
                raise DejavuError(
                    f"{self.folder} was begun with {option} {_shown(earlier.get(key))}, not {_shown(value)}: "
                    "give that, or name another folder with --out"
                )
        return chosen

    def _holds_something(self) -> bool:
        return self.folder.is_dir() and any(path.name != LOCK for path in self.folder.iterdir())

    def write(self, chosen: dict[str, Any] | None) -> None:
        """Write the arguments with what was chosen by them; None: nothing yet."""
        write_json(self.folder / STATE, {"arguments": self.arguments(), "chosen": chosen})


def _shown(value: Any) -> str:
    return "its default" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
