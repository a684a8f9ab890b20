"""What a training leaves behind, between its first step and its published weights.

The folder is declared to no engine: Snakemake and DVC delete the declared outputs of a job that failed, and
with them days of work. A checkpoint lives here while the run is under way, and the finished weights and log
stay here, from where the stage publishes them.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import DejavuError, lacks_memory
from .files import atomic, read_json, sha256, write_json, write_text
from .sidecar import provenance

if TYPE_CHECKING:  # torch is imported where it is used: evaluation may have nothing to compute
    import torch
    from torch import Tensor

HERE = Path(__file__).parent
# The code that a trained weight depends on.
CODE = (
    *("arguments.py", "attention.py", "augment.py", "balancing/*.py", "batches.py", "checks.py", "clip.py"),
    *("conditioning.py", "consistency/*.py"),
    *("cycle.py", "datasets/ragged.py", "datasets/store.py", "frozen.py", "fusion.py", "inference.py"),
    *("losses.py", "method.py", "networks/**/*.py"),
    *("objective.py", "optimisation.py", "parallel/group.py", "parallel/sync_norm.py"),
    *("partial_labels.py", "perceptual.py", "photometric.py", "predictions.py", "protocols.py"),
    *("randomness.py", "redaction/*.py", "regeneration.py", "sampling.py", "segments.py", "sliding.py"),
    *("supervision/*.py", "tasks.py", "text.py", "training.py", "validation.py", "weights.py", "windows.py"),
)

# A dataset's arrays (datasets/store.py), in the order of their checksums.
KINDS = ("images", "labels", "panoptic", "depth", "normals")

# What a checkpoint holds beside its marks.
STATE = {"step", "seconds", "model", "optimizer", "scheduler", "log", "sums"}


@cache
def code_fingerprint() -> str:
    """A hash of the code that trains, and of the versions of what computes for it."""
    digest = hashlib.sha256()
    for package in ("torch", "scipy", "timm", "torchvision", "open_clip_torch", "transformers", "torchjd"):
        digest.update(metadata.version(package).encode())
    for pattern in CODE:
        for file in sorted(HERE.glob(pattern)):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def fingerprint(
    config: dict[str, Any], seed: int, splits: dict[str, Any], meaning: dict[str, Any] | None = None
) -> str:
    """A hash of all that a training was asked to do.

    `config` is `Run.as_dict()`, `splits` those of the data's report, with the checksums of its arrays, and
    `meaning` what else of the report the training reads: names of classes, categories. The other seeds, where
    the data came from, and how the network is evaluated are left out: they change nothing in this training.
    """
    asked = {key: value for key, value in config.items() if key not in ("seeds", "source", "protocol")}
    data = checksums(splits)
    parts = [asked, seed, data, *([meaning] if meaning else [])]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def checksums(splits: dict[str, Any]) -> dict[str, list[str]]:
    """Of the arrays of each split, and of the sizes of images where these differ."""
    found = {}
    for name, split in splits.items():
        arrays = [split[kind] for kind in KINDS if kind in split]
        found[name] = [array["sha256"] for array in arrays]
        found[name] += [array["sizes"]["sha256"] for array in arrays if "sizes" in array]
    return found


class RunFolder:
    """The working folder of one seed of one experiment."""

    def __init__(self, path: Path, fingerprint: str) -> None:
        self.path, self.fingerprint = path, fingerprint
        self.checkpoint = path / "checkpoint.pt"
        self.weights = path / "weights.safetensors"
        self.regenerator = path / "regenerator.safetensors"
        self.log = path / "log.csv"
        self.summary = path / "train.json"
        self.metrics = path / "metrics.json"  # measured at the end of the training, for `dejavu evaluate`

    def finished(self) -> bool:
        """Whether this very run, by this very code, was carried to its end here, and its files are whole."""
        said = self.read_summary()
        if (said.get("fingerprint"), said.get("code")) != (self.fingerprint, code_fingerprint()):
            return False
        return all(
            (self.path / name).is_file() and sha256(self.path / name) == checksum
            for name, checksum in said["files"].items()
        )

    def read_summary(self) -> dict[str, Any]:
        """What a finished run wrote of itself; empty where there is nothing, or nothing of use."""
        try:
            said = read_json(self.summary)
        except DejavuError:
            return {}
        return said if isinstance(said, dict) and isinstance(said.get("files"), dict) else {}

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The state to go on from, or None to start.

        A checkpoint of another configuration or other data is not this run's: it is left alone and later
        overwritten. Raises DejavuError for one that cannot be read, and for one that other code began: what
        comes of both together could not be told from either.
        """
        if not self.checkpoint.exists():
            return None
        import torch

        with self.restoring():
            state = torch.load(self.checkpoint, map_location=device, weights_only=True)
            if not isinstance(state, dict):
                raise TypeError
            same, code = state["fingerprint"] == self.fingerprint, state["code"]
            missing = STATE - state.keys()
        if same and code != code_fingerprint():
            raise DejavuError(
                f"{self.checkpoint} was begun by other code or another torch: go back to that to finish "
                "the run, or delete the file to start over"
            )
        if same and missing:
            raise DejavuError(
                f"{self.checkpoint} lacks {', '.join(sorted(missing))}: delete it to train from the start"
            )
        return state if same else None

    @contextmanager
    def restoring(self) -> Iterator[None]:
        """Within it errors are the checkpoint's fault, but that of too little memory."""
        try:
            yield
        except Exception as error:  # torch raises many kinds for a truncated or foreign file
            if lacks_memory(error):
                raise
            raise self.spoilt(type(error).__name__) from None

    def spoilt(self, reason: str) -> DejavuError:
        """What to raise where the checkpoint cannot be gone on from."""
        return DejavuError(
            f"{self.checkpoint} is not a checkpoint of this project ({reason}): delete it to train from the "
            "start"
        )

    def save(self, state: dict[str, Any]) -> None:
        """Write the checkpoint, whole or not at all."""
        import torch

        content = io.BytesIO()  # torch reports a full disk as a RuntimeError, the file system as what it is
        torch.save(state | {"fingerprint": self.fingerprint, "code": code_fingerprint()}, content)
        with atomic(self.checkpoint) as temporary:
            temporary.write_bytes(content.getbuffer())

    def finish(
        self,
        *,
        weights: dict[str, Tensor],
        regenerator: dict[str, Tensor] | None,
        log: Sequence[dict[str, Any]],
        columns: Sequence[str],
        seconds: float,
        steps: int,
        pretrained: dict[str, str],
    ) -> None:
        """Write what the run made; the summary comes last and makes it `finished`."""
        self.summary.unlink(missing_ok=True)
        _write_tensors(self.weights, weights)
        files = [self.weights, self.log]
        self.regenerator.unlink(missing_ok=True)
        if regenerator is not None:
            _write_tensors(self.regenerator, regenerator)
            files.append(self.regenerator)
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(log)
        write_text(self.log, text.getvalue())
        write_json(
            self.summary,
            {
                "fingerprint": self.fingerprint,
                "code": code_fingerprint(),
                "files": {file.name: sha256(file) for file in files},
                **provenance(),
                "seconds": round(seconds, 2),
                "steps": steps,
                "pretrained": pretrained,
            },
        )
        self.checkpoint.unlink(missing_ok=True)


def _write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    from safetensors.torch import save

    # Contiguous, since channels-last strides are no part of the format.
    content = save({key: value.detach().cpu().contiguous() for key, value in tensors.items()})
    with atomic(path) as temporary:
        temporary.write_bytes(content)
