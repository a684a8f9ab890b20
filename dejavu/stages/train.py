"""`dejavu train EXPERIMENT`: every seed of a row, resumed where it was killed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import DejavuError
from ..files import atomic, sha256
from ..paths import Paths, drop_other_seeds
from ..schema import Params


def run(
    params: Params,
    name: str,
    scale: str,
    seed: int | None = None,
    checkpoint_seconds: float = 60.0,
    tensorboard: bool = False,
) -> None:
    """Train the experiment's seeds (or the one given) and publish their weights and logs.

    A seed that was finished earlier by the same configuration, data and code is published again without
    training; a seed that was killed goes on from its checkpoint.
    """
    run = params.run(name, scale)
    from ..datasets.store import read_report
    from ..runfolder import RunFolder, fingerprint
    from ..training import read_data, train

    paths = Paths(scale)
    report = read_report(paths.prepared(run.dataset), run.data.source)
    data = read_data(paths.prepared(run.dataset), report)
    checksum = sha256(paths.report(run.dataset))
    for chosen in run.seeds if seed is None else (seed,):
        config = run.as_dict() | {"seeds": [chosen]}
        folder = RunFolder(paths.run(name, chosen), fingerprint(config, checksum))
        if not folder.finished():
            with watcher(folder.path / "tensorboard" if tensorboard else None) as watch:
                train(run, chosen, data, folder, checkpoint_seconds, watch)
        _publish(folder.weights, paths.weights(name, chosen))
        _publish(folder.log, paths.log(name, chosen))
        if folder.regenerator.exists():
            _publish(folder.regenerator, paths.regenerator(name, chosen))
    if seed is None:
        drop_other_seeds(paths.weights(name, 0).parent, run.seeds)
        drop_other_seeds(paths.log(name, 0).parent, run.seeds)
    print(f"{name} at scale {scale}: {len(run.seeds) if seed is None else 1} seeds trained")


@contextmanager
def watcher(folder: Path | None) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A receiver of log lines that draws them in TensorBoard, or does nothing without a folder."""
    if folder is None:
        yield lambda line: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise DejavuError(
            "--tensorboard needs the package tensorboard: pip install 'dejavu[tensorboard]'"
        ) from None
    shutil.rmtree(folder, ignore_errors=True)  # a resumed run tells its earlier lines again
    with SummaryWriter(str(folder)) as writer:

        def watch(line: dict[str, Any]) -> None:
            for key, value in line.items():
                if key not in ("step", "epoch") and value is not None:
                    writer.add_scalar(key, value, line["step"])

        yield watch


def _publish(source: Path, target: Path) -> None:
    with atomic(target) as temporary:
        shutil.copyfile(source, temporary)
