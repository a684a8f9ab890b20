"""The working folder of a training: its checkpoint, and its results before they are published.

The folder is declared to no engine: Snakemake and DVC delete the declared outputs of a job that failed, and
with them days of work. The checkpoint is here while the run is in progress. The finished weights and log stay
here, and `dejavu train` copies them to the published files.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import registry
from ..config.paths import Paths
from ..config.recipe import BESIDE
from ..datasets.dataset import UNLABELLED
from ..datasets.prepared.captions import has_captions
from ..datasets.prepared.store import checksums
from ..errors import DejavuError, lacks_memory
from ..system.files import atomic, read_json, sha256, write_json, write_text
from ..system.fingerprint import code_hash, json_hash
from ..system.provenance import provenance

if TYPE_CHECKING:  # torch is imported where it is used: evaluation may have nothing to compute
    import torch
    from torch import Tensor

    from ..config import Run


# The content of a checkpoint besides its marks.
STATE = {"step", "seconds", "model", "optimizer", "scheduler", "log", "sums"}


class RunFolder:
    """The working folder of one seed of one experiment.

    Args:
        path: the folder.
        fingerprint: a hash of the requested training (`request_hash`).
        code: a hash of the code that trains (`code_hash`).
    """

    def __init__(self, path: Path, fingerprint: str, code: str) -> None:
        self.path, self.fingerprint, self.code = path, fingerprint, code
        self.checkpoint = path / "checkpoint.pt"
        self.weights = path / "weights.safetensors"
        self.regenerator = path / "regenerator.safetensors"
        self.log = path / "log.csv"
        self.summary = path / "train.json"
        self.metrics = path / "metrics.json"  # measured at the end of the training, for `dejavu evaluate`

    def finished(self) -> bool:
        """Return whether the same run was finished here by the same code, and its files are whole."""
        summary = self.read_summary()
        if (summary.get("fingerprint"), summary.get("code")) != (self.fingerprint, self.code):
            return False
        return all(
            (self.path / name).is_file() and sha256(self.path / name) == checksum
            for name, checksum in summary["files"].items()
        )

    def read_summary(self) -> dict[str, Any]:
        """Return the summary of a finished run; empty where there is none, or none that can be read."""
        try:
            summary = read_json(self.summary)
        except DejavuError:
            return {}
        return summary if isinstance(summary, dict) and isinstance(summary.get("files"), dict) else {}

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """Read the state to resume from; None where there is none.

        A checkpoint of another configuration or of other data is ignored and later overwritten. Raises
        DejavuError for one that cannot be read, and for one of other code: the result would be neither's.
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
        if same and code != self.code:
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
        """Turn errors within it into one about the checkpoint, except that of too little memory."""
        try:
            yield
        except Exception as error:  # torch raises many kinds for a truncated or foreign file
            if lacks_memory(error):
                raise
            raise self.spoilt(type(error).__name__) from None

    def spoilt(self, reason: str) -> DejavuError:
        """Return the error to raise where the run cannot resume from the checkpoint."""
        return DejavuError(
            f"{self.checkpoint} is not a checkpoint of this project ({reason}): delete it to train from the "
            "start"
        )

    def save(self, state: dict[str, Any]) -> None:
        """Write the checkpoint, whole or not at all."""
        import torch

        content = io.BytesIO()  # torch reports a full disk as a RuntimeError, the file system as an OSError
        torch.save(state | {"fingerprint": self.fingerprint, "code": self.code}, content)
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
        """Write the results of the run; the summary is written last and makes the run `finished`."""
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
                "code": self.code,
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

    # Contiguous, since the format has no channels-last strides.
    content = save({key: value.detach().cpu().contiguous() for key, value in tensors.items()})
    with atomic(path) as temporary:
        temporary.write_bytes(content)


def run_folder(run: Run, seed: int, report: dict[str, Any]) -> RunFolder:
    """Return the folder of a seed, with the hashes of its request on the data of `report` and of the code."""
    splits = {key: split for key, split in report["splits"].items() if key in _read(run, report)}
    request = request_hash(run.as_dict(), seed, splits, _meaning(run, report))
    return RunFolder(Paths(run.scale).run(run.experiment, seed), request, code_hash(training_roots(run)))


def _read(run: Run, report: dict[str, Any]) -> set[str]:
    """Return the splits that a training depends on: images without labels only where it has them."""
    without = set() if run.train.labelled == BESIDE else {UNLABELLED}
    return set(report["splits"]) - without


def training_roots(run: Run) -> list[str]:
    """Return the modules from which everything that a training runs is imported.

    The network and the tasks are imported by name, and `config` derives a run from params.yaml.
    """
    tasks = [f"{package}.{task}" for package in ("tasks", "metrics") for task in run.tasks]
    modules = [f"networks.{run.network.module}"]
    if run.dejavu is not None and run.dejavu.perceptual is not None and run.dejavu.perceptual.backbone:
        modules.append(f"networks.{run.dejavu.perceptual.backbone}")
    return ["training.loop", "training.batches", "config", *modules, *tasks]


def request_hash(
    config: dict[str, Any], seed: int, splits: dict[str, Any], meaning: dict[str, Any] | None = None
) -> str:
    """Return a hash of everything that a training depends on, but its code.

    Args:
        config: `Run.as_dict()`. The other seeds, the origin of the data, and the evaluation of the network
            are left out of the hash: they change nothing in this training.
        splits: those of the data's report, with the checksums of its arrays.
        meaning: the other values of the report that the training reads: names of classes, categories,
            captions.
    """
    requested = {key: value for key, value in config.items() if key not in ("seeds", "source", "protocol")}
    return json_hash([requested, seed, checksums(splits), *([meaning] if meaning else [])])


def _meaning(run: Run, report: dict[str, Any]) -> dict[str, Any]:
    """Return what a training reads beside the arrays: names of classes, categories, captions."""
    read = {}
    if run.train.coarse:
        read["categories"] = report.get("categories")
    if registry.takes_class_names(run.network.module) or run.reads_text:
        read["classes"] = report["classes"]
    if run.reads_text and has_captions(report):
        read["captions"] = report["splits"]["train"]["captions"]["sha256"]
    return read
