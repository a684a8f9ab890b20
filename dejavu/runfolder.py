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
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .errors import DejavuError
from .files import atomic, read_json, write_json, write_text
from .sidecar import code

HERE = Path(__file__).parent
# The code that a trained weight depends on.
CODE = (
    *("augment.py", "inference.py", "losses.py", "method.py", "networks/*.py", "optimisation.py"),
    *("randomness.py", "redaction.py", "regeneration.py", "tasks.py", "training.py"),
)


@cache
def code_fingerprint() -> str:
    """A hash of the code that trains."""
    digest = hashlib.sha256()
    for pattern in CODE:
        for file in sorted(HERE.glob(pattern)):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def fingerprint(config: dict[str, Any], data: str) -> str:
    """A hash of everything that a run was asked to do: its resolved configuration and its data's checksum."""
    return hashlib.sha256(json.dumps([config, data], sort_keys=True).encode()).hexdigest()


class RunFolder:
    """The working folder of one seed of one experiment."""

    def __init__(self, path: Path, fingerprint: str) -> None:
        self.path, self.fingerprint = path, fingerprint
        self.checkpoint = path / "checkpoint.pt"
        self.weights = path / "weights.safetensors"
        self.regenerator = path / "regenerator.safetensors"
        self.log = path / "log.csv"
        self.summary = path / "train.json"

    def finished(self) -> bool:
        """Whether this very run, by this very code, was carried to its end here."""
        if not self.summary.exists():
            return False
        summary = read_json(self.summary, "delete it")
        return summary.get("fingerprint") == self.fingerprint and summary.get("code") == code_fingerprint()

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The state to go on from, or None to start.

        A checkpoint of another configuration or other data is not this run's: it is left alone and later
        overwritten. Raises DejavuError for one that cannot be read.
        """
        if not self.checkpoint.exists():
            return None
        try:
            state = torch.load(self.checkpoint, map_location=device, weights_only=True)
            same = state["fingerprint"] == self.fingerprint
        except Exception as error:  # torch raises many kinds for a truncated or foreign file
            raise DejavuError(
                f"{self.checkpoint} is not a checkpoint of this project ({type(error).__name__}): "
                "delete it to train from the start"
            ) from None
        if same and state["code"] != code_fingerprint():
            warnings.warn(f"{self.checkpoint}: resuming a run that other code began", stacklevel=2)
        return state if same else None

    def save(self, state: dict[str, Any]) -> None:
        """Write the checkpoint, whole or not at all."""
        with atomic(self.checkpoint) as temporary:
            torch.save(state | {"fingerprint": self.fingerprint, "code": code_fingerprint()}, temporary)

    def finish(
        self,
        *,
        weights: dict[str, Tensor],
        regenerator: dict[str, Tensor] | None,
        log: Sequence[dict[str, Any]],
        columns: Sequence[str],
        seconds: float,
        steps: int,
    ) -> None:
        """Write what the run made; the summary comes last and makes it `finished`."""
        self.summary.unlink(missing_ok=True)
        _write_tensors(self.weights, weights)
        self.regenerator.unlink(missing_ok=True)
        if regenerator is not None:
            _write_tensors(self.regenerator, regenerator)
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
                **code(),
                "seconds": round(seconds, 2),
                "steps": steps,
                "threads": torch.get_num_threads(),
                "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
            },
        )
        self.checkpoint.unlink(missing_ok=True)


def _write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    from safetensors.torch import save_file

    with atomic(path) as temporary:
        # Contiguous, since channels-last strides are no part of the format.
        save_file({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, temporary)
