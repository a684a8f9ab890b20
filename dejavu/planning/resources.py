"""What each job asks a cluster for: memory, time, processors and GPUs, by stage and by what its row takes.

`dejavu plan --resources` counts the rows of all scales into slurm/resources.json; slurm/cluster.yaml says
what the cluster allows. Without these files jobs ask for a default. Nothing here imports torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field, Strict, ValidationError

from ..config import Run
from ..config.loading import one_sentence
from ..config.values import Count, NotNegative, Positive, Section
from ..config.yaml import read_yaml
from ..errors import DejavuError
from ..system.files import read_json

COUNTED = Path("slurm/resources.json")
CLUSTER = Path("slurm/cluster.yaml")

# MB of main memory and minutes that a job takes whatever it works on; what a row takes comes on top.
# Trainings at smoke scale peaked at 770 to 1040 MB, preparations at 90.
HOST_MB = 2500  # Python, torch and its allocator, the data that are being read
HOST_MB_GPU = 16000  # of each process with a GPU: CUDA's libraries and pinned batches too
START = 10  # minutes
PUBLISH = 5  # minutes of an evaluation that finds all measured
MEASURE = {"open": 30, "paper": 240}  # minutes of one that measures anew
PREPARE = 20  # minutes
READ = 10e6  # bytes of prepared data that are made in a second; real images are decoded and made smaller


class Cluster(Section):
    """slurm/cluster.yaml; each key's comment is there."""

    max_runtime: Count = 1440
    safety: Positive = 2.0
    cpu_scales: tuple[str, ...] = ("smoke", "demo")
    cpus_per_gpu: Count = 2
    gpus_per_node: Count = 8
    max_mem_mb: Count = 480_000


class Row(Section):
    """What the training of all seeds of an experiment takes."""

    minutes: NotNegative
    """of one process, as planned"""
    model_mb: NotNegative
    """weights, gradients and what the optimiser keeps"""
    batch_mb: NotNegative
    """what the forward pass keeps of a batch, in float32"""


Counted = Mapping[str, Mapping[str, Row]]
"""by scale and experiment"""
Sizes = Mapping[str, Mapping[str, Annotated[int, Strict(), Field(ge=0)]]]
"""bytes of prepared data, by scale and dataset"""


UNCOUNTED = Row(minutes=300.0, model_mb=1000.0, batch_mb=1000.0)
"""a row that is not in slurm/resources.json, or whose steps nobody knew"""


class File(Section):
    """slurm/resources.json."""

    rates: dict[str, str] = {}
    """where the minutes of each scale come from, in words"""
    data: Sizes = {}
    rows: Counted = {}


@dataclass(frozen=True)
class Asked:
    """What one job asks for, by the names that Snakemake and its Slurm plugin know."""

    mem_mb: int
    runtime: int
    """minutes"""
    gpu: int = 0
    gpu_mem_mb: int = 0
    """of each GPU, at least: for those who choose a kind of GPU by it; Slurm is not told"""
    cpus_per_task: int = 1
    nodes: int | None = None
    """machines, where one has too few GPUs; memory is that of each"""
    tasks: int | None = None
    tasks_per_gpu: int | None = None
    mpi: str | None = None
    """says to the plugin that the command starts its own processes on all machines (engines/launch.py)"""


class Book:
    """Looks up what a job asks for."""

    def __init__(self, cluster: Cluster | None = None, counted: File | None = None) -> None:
        self.cluster, self.counted = cluster or Cluster(), counted or File()

    def prepare(self, dataset: str, scale: str) -> Asked:
        """Of a dataset: the larger it is prepared, the longer."""
        size = self.counted.data.get(scale, {}).get(dataset, 0)
        return Asked(2 * HOST_MB, self._capped(PREPARE + self.cluster.safety * size / READ / 60))

    def train(self, run: Run) -> Asked:
        """Of all seeds of a row, on as many GPUs as params.yaml says. Its evaluation fits into the job."""
        row = self.counted.rows.get(run.scale, {}).get(run.experiment, UNCOUNTED)
        gpus = self._gpus(run)
        planned = START + self.cluster.safety * row.minutes / max(1, gpus)
        room = self.cluster.max_runtime - self.evaluate(run).runtime
        host = HOST_MB + 2 * (row.model_mb + row.batch_mb)
        nodes = self._nodes(gpus)
        asked = Asked(
            mem_mb=math.ceil(gpus // nodes * (HOST_MB_GPU + row.model_mb) or host),
            runtime=math.ceil(max(1, min(room, planned))),
            gpu=gpus,
            # In bfloat16 the most of what is kept has two bytes.
            gpu_mem_mb=math.ceil(row.model_mb + row.batch_mb / 2 / gpus) if gpus else 0,
            cpus_per_task=max(1, gpus * self.cluster.cpus_per_gpu),
        )
        if nodes == 1:
            return asked
        # Of one machine the command is one task; of several the plugin wants a task for each GPU.
        return replace(
            asked,
            nodes=nodes,
            cpus_per_task=self.cluster.cpus_per_gpu,
            tasks=gpus,
            tasks_per_gpu=1,
            mpi="srun",
        )

    def evaluate(self, run: Run) -> Asked:
        """Of all seeds of a row: time enough to measure anew, on one GPU where it was trained on any."""
        gpu = min(1, self._gpus(run))
        minutes = MEASURE.get(run.scale, PUBLISH)
        return Asked(HOST_MB_GPU if gpu else HOST_MB, self._capped(minutes), gpu)

    def _gpus(self, run: Run) -> int:
        return run.gpus if run.gpus > 1 or run.scale not in self.cluster.cpu_scales else 0

    def _nodes(self, gpus: int) -> int:
        """How many machines have so many GPUs, each the same number of them."""
        most = self.cluster.gpus_per_node
        return next(nodes for nodes in range(1, gpus + 2) if gpus % nodes == 0 and gpus // nodes <= most)

    def _capped(self, minutes: float) -> int:
        return math.ceil(min(self.cluster.max_runtime, minutes))


def read(root: Path = Path()) -> Book:
    """The book of a working directory.

    Raises DejavuError, one sentence that names the file and the key, for a file of another form.
    """
    return Book(_read(Cluster, root / CLUSTER), _read(File, root / COUNTED))


Form = TypeVar("Form", bound=Section)


def _read(form: type[Form], path: Path) -> Form:
    if not path.exists():
        return form()
    try:
        return form.model_validate(read_yaml(path) if path.suffix == ".yaml" else read_json(path))
    except ValidationError as error:
        raise DejavuError(f"{path}: {one_sentence(error)}") from None
