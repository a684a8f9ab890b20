"""Resource requests of cluster jobs: memory, time, processors and GPUs, by stage and row.

`dejavu plan --resources` counts the rows of the scales that are trained on GPUs into slurm/resources.csv;
slurm/cluster.yaml sets the limits of the cluster. Rows that are not in the file, such as all rows of the
small scales, request a default. Nothing here imports torch.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from ..config import Run
from ..config.loading import one_sentence
from ..config.values import Count, NotNegative, Positive, Section
from ..config.yaml import read_yaml
from ..errors import DejavuError
from ..system.files import read_text

COUNTED = Path("slurm/resources.csv")
CLUSTER = Path("slurm/cluster.yaml")

# Main memory (MB) and minutes that every job takes; the needs of a row are added.
# Trainings at smoke scale peaked at 770 to 1040 MB, preparations at 90.
HOST_MB = 2500  # Python, torch and its allocator, the input data
HOST_MB_GPU = 16000  # for each process with a GPU: includes CUDA's libraries and pinned batches
START = 10  # minutes
PUBLISH = 5  # minutes of an evaluation after a training that measured all metrics
MEASURE = {"open": 30, "paper": 240}  # minutes of an evaluation that measures again
PREPARE = 20  # minutes
READ = 10e6  # bytes of prepared data per second; real images are decoded and resized


class Cluster(Section):
    """Content of slurm/cluster.yaml, where comments explain the keys."""

    max_runtime: Count = 1440
    safety: Positive = 2.0
    cpu_scales: tuple[str, ...] = ("smoke", "demo")
    cpus_per_gpu: Count = 2
    gpus_per_node: Count = 8
    max_mem_mb: Count = 480_000


class Row(Section):
    """Needs of the training of all seeds of an experiment."""

    minutes: NotNegative
    """planned minutes of one process"""
    model_mb: NotNegative
    """MB of weights, gradients and optimizer state"""
    batch_mb: NotNegative
    """MB of the activations of a batch that the forward pass keeps, in float32"""


class Preparation(Section):
    """Needs of the preparation of a dataset, without its start."""

    minutes: NotNegative


UNCOUNTED = Row(minutes=300.0, model_mb=1000.0, batch_mb=1000.0)
"""a row of a scale on GPUs that is not in slurm/resources.csv, or whose number of steps is unknown"""
SMALL = Row(minutes=5.0, model_mb=350.0, batch_mb=400.0)
"""
every row of a scale on processors. Such rows take seconds to minutes and at most 1.2 GB. A short request lets
Slurm fit the job in between others; a training that needs more time is saved and its job is run again
"""


@dataclass(frozen=True)
class Counted:
    """Content of slurm/resources.csv."""

    trainings: Mapping[tuple[str, str], Row]
    """by scale and experiment"""
    preparations: Mapping[tuple[str, str], Preparation]
    """by scale and dataset"""
    rates: Mapping[str, str]
    """source of the minutes of each scale: a device, or an assumed rate"""


NOTHING = Counted({}, {}, {})
COLUMNS = ("scale", "stage", "names", *Row.model_fields, "rate")


@dataclass(frozen=True)
class JobResources:
    """Request of one job, by the names of Snakemake and its Slurm plugin."""

    mem_mb: int
    runtime: int
    """minutes"""
    gpu: int = 0
    gpu_mem_mb: int = 0
    """minimum MB of each GPU, for users who choose a GPU type; Slurm does not receive it"""
    cpus_per_task: int = 1
    nodes: int | None = None
    """machines, if one has too few GPUs; `mem_mb` is then the memory of each"""
    tasks: int | None = None
    tasks_per_gpu: int | None = None
    mpi: str | None = None
    """setting of the plugin: the command starts its own processes on all machines (engines/launch.py)"""


class ResourceTable:
    """Resource requests of all jobs."""

    def __init__(self, cluster: Cluster | None = None, counted: Counted = NOTHING) -> None:
        self.cluster, self.counted = cluster or Cluster(), counted

    def prepare(self, dataset: str, scale: str) -> JobResources:
        """Return the resources to prepare a dataset; a larger one gets more time."""
        counted = self.counted.preparations.get((scale, dataset))
        minutes = 0.0 if counted is None else counted.minutes
        return JobResources(2 * HOST_MB, self._capped(PREPARE + self.cluster.safety * minutes))

    def train(self, run: Run) -> JobResources:
        """Return the resources to train and evaluate all seeds of a row on its GPUs of params.yaml."""
        default = SMALL if run.scale in self.cluster.cpu_scales else UNCOUNTED
        row = self.counted.trainings.get((run.scale, run.experiment), default)
        gpus = self._gpus(run)
        planned = START + self.cluster.safety * row.minutes / max(1, gpus)
        room = self.cluster.max_runtime - self.evaluate(run).runtime
        host = HOST_MB + 2 * (row.model_mb + row.batch_mb)
        nodes = self._nodes(gpus)
        resources = JobResources(
            mem_mb=math.ceil(gpus // nodes * (HOST_MB_GPU + row.model_mb) or host),
            runtime=math.ceil(max(1, min(room, planned))),
            gpu=gpus,
            # In bfloat16 most activations have two bytes per value.
            gpu_mem_mb=math.ceil(row.model_mb + row.batch_mb / 2 / gpus) if gpus else 0,
            cpus_per_task=max(1, gpus * self.cluster.cpus_per_gpu),
        )
        if nodes == 1:
            return resources
        # On one machine the command is one task; on more machines the plugin needs a task for each GPU.
        return replace(
            resources,
            nodes=nodes,
            cpus_per_task=self.cluster.cpus_per_gpu,
            tasks=gpus,
            tasks_per_gpu=1,
            mpi="srun",
        )

    def evaluate(self, run: Run) -> JobResources:
        """Return the resources to measure all seeds of a row again, on one GPU if the row needs GPUs."""
        gpu = min(1, self._gpus(run))
        minutes = MEASURE.get(run.scale, PUBLISH)
        return JobResources(HOST_MB_GPU if gpu else HOST_MB, self._capped(minutes), gpu)

    def _gpus(self, run: Run) -> int:
        return run.gpus if run.gpus > 1 or run.scale not in self.cluster.cpu_scales else 0

    def _nodes(self, gpus: int) -> int:
        """Return the smallest number of machines that share the GPUs evenly."""
        most = self.cluster.gpus_per_node
        return next(nodes for nodes in range(1, gpus + 2) if gpus % nodes == 0 and gpus // nodes <= most)

    def _capped(self, minutes: float) -> int:
        return math.ceil(min(self.cluster.max_runtime, minutes))


def read(root: Path = Path()) -> ResourceTable:
    """Read the resource table of a working directory.

    Raises DejavuError, one sentence that names the file and the key, for a file of another form.
    """
    return ResourceTable(_cluster(root / CLUSTER), _counted(root / COUNTED))


def _cluster(path: Path) -> Cluster:
    if not path.exists():
        return Cluster()
    try:
        return Cluster.model_validate(read_yaml(path))
    except ValidationError as error:
        raise DejavuError(f"{path}: {one_sentence(error)}") from None


def _counted(path: Path) -> Counted:
    if not path.exists():
        return NOTHING
    try:
        header, *lines = list(csv.reader(read_text(path).splitlines())) or [[]]
    except csv.Error as error:
        raise DejavuError(f"{path} is not valid CSV: {error}") from None
    if header != list(COLUMNS):
        raise DejavuError(
            f"{path}: the first line must be {','.join(COLUMNS)}: run `dejavu plan --resources`"
        )
    trainings: dict[tuple[str, str], Row] = {}
    preparations: dict[tuple[str, str], Preparation] = {}
    rates: dict[str, str] = {}
    for number, cells in enumerate(lines, start=2):
        try:
            scale, stage, names, *numbers, rate = cells
            if stage not in ("prepare", "train"):
                raise ValueError
            values = [float(cell or "nan") for cell in numbers[: 3 if stage == "train" else 1]]
            for name in names.split():
                if stage == "train":
                    trainings[scale, name] = Row(**dict(zip(Row.model_fields, values, strict=True)))
                    rates[scale] = rate
                else:
                    preparations[scale, name] = Preparation(minutes=values[0])
        except ValidationError as error:
            raise DejavuError(f"{path}, line {number}: {one_sentence(error)}") from None
        except (ValueError, IndexError):
            raise DejavuError(
                f"{path}, line {number}: the stage, a name or a number is wrong: "
                "run `dejavu plan --resources`"
            ) from None
    return Counted(trainings, preparations, rates)


def csv_text(counted: Counted) -> str:
    """Return the text of slurm/resources.csv: rows of a scale with the same needs share a line."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for scale, rate in counted.rates.items():
        for (of, dataset), preparation in counted.preparations.items():
            if of == scale:
                writer.writerow([scale, "prepare", dataset, f"{preparation.minutes:g}", "", "", ""])
        alike: dict[Row, list[str]] = {}
        for (of, experiment), row in counted.trainings.items():
            if of == scale:
                alike.setdefault(row, []).append(experiment)
        for row, names in alike.items():
            numbers = [f"{value:g}" for value in row.model_dump().values()]
            writer.writerow([scale, "train", " ".join(names), *numbers, rate])
    return file.getvalue()
