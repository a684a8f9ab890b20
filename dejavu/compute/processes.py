"""The processes of one training: who they are, and what they tell each other. One process is a group, too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple

import torch
from torch import Tensor, distributed, nn

from ..errors import DejavuError
from . import gpus
from .rank import LOST, Member, address_of_step, member, port_of_step

# The others wait while the lead measures a validation split, which may take an hour; to meet, less.
PATIENCE, MEETING = timedelta(hours=6), timedelta(minutes=10)


class Place(NamedTuple):
    """Which process of how many."""

    rank: int
    world: int

    def part(self, count: int) -> slice:
        """This process' part of a batch in which each has `count` images."""
        return slice(self.rank * count, (self.rank + 1) * count)


ALONE = Place(0, 1)


class LostProcess(DejavuError):
    """Another process of the group has gone."""

    status = LOST


_ours = False  # whether the group was made here, and every process of it runs this training


def place() -> Place:
    """This process' place in torch's default group, whoever made that."""
    if distributed.is_available() and distributed.is_initialized():
        return Place(distributed.get_rank(), distributed.get_world_size())
    return ALONE


def is_lead() -> bool:
    """Whether this process is the one that measures, saves and writes."""
    return place().rank == 0


@contextmanager
def joined(count: int) -> Iterator[None]:
    """Be one of `count` processes; nothing at all where that is 1.

    Raises DejavuError where the launcher started another number, and LostProcess.
    """
    global _ours
    if count == 1:
        yield
        return
    _join(member(), count)
    _ours = True
    try:
        yield
        distributed.barrier()  # nobody leaves while others still ask
    except RuntimeError as error:
        if not _of_the_group(error):
            raise
        raise LostProcess(
            f"another of the {count} processes of this training has ended, which it cannot go on without: "
            "the same command goes on from what was saved last"
        ) from None
    finally:
        _ours = False
        distributed.destroy_process_group()


def _join(who: Member | None, count: int) -> None:
    if who is None or who.world != count:
        found = "none" if who is None else str(who.world)
        raise DejavuError(f"this row asks for {count} processes (gpus in params.yaml), and there are {found}")
    backend = "gloo"
    if torch.cuda.is_available():
        _take_gpu(who, torch.cuda.device_count())
        backend = "cpu:gloo,cuda:nccl"  # gloo for words between processors, which wait for no GPU
    # torchrun has made the place where they meet; elsewhere the first process does.
    address, port = who.address or address_of_step(), who.port or port_of_step()
    makes = who.rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    try:
        meeting = distributed.TCPStore(address, port, who.world, is_master=makes, timeout=MEETING)
        distributed.init_process_group(
            backend, store=meeting, rank=who.rank, world_size=who.world, timeout=PATIENCE
        )
    except RuntimeError as error:
        raise DejavuError(
            f"the {who.world} processes of this training have not met at {address}, port {port} "
            f"({str(error).splitlines()[0]}): MASTER_ADDR and MASTER_PORT name another place"
        ) from None


def _take_gpu(who: Member, seen: int) -> None:
    """Have a process compute on a GPU of its own. Raises DejavuError where there are too few."""
    own = 0 if seen == 1 and who.bound else who.local_rank
    if own >= seen:
        raise DejavuError(
            f"this row asks for {who.world} GPUs, and process {who.local_rank} of this machine finds {seen}: "
            "lower gpus in params.yaml"
        )
    gpus.settle(own)


def _of_the_group(error: RuntimeError) -> bool:
    """Whether an error says that another process cannot be reached."""
    words = str(error).lower()
    return isinstance(error, distributed.DistError) or "gloo" in words or "connection" in words


def across(count: Tensor, least: float = 1) -> Tensor:
    """What a loss is divided by, where `count` is what this process' part of the batch has.

    Such losses of all processes have the mean that the loss of the whole batch has: the sum of all counts,
    at least `least`, divided by the number of processes. Alone: count, at least `least`.
    """
    if not _ours:
        return count.clamp(min=least)
    total = count.detach().clone()
    distributed.all_reduce(total)
    return total.clamp(min=least) / place().world


def mean(values: Tensor) -> Tensor:
    """The mean over all processes; without a graph."""
    if not _ours:
        return values
    found = values.clone()
    distributed.all_reduce(found)
    return found / place().world


def agree(number: int | None) -> int | None:
    """The largest number that any process has, which then all have; None where none has one."""
    if not _ours:
        return number
    found = torch.tensor(0 if number is None else number)
    distributed.all_reduce(found, distributed.ReduceOp.MAX)
    return int(found) or None


def from_lead(said: bool) -> bool:
    """What the lead says."""
    if not _ours:
        return said
    found = torch.tensor(int(said))
    distributed.broadcast(found, 0)
    return bool(found)


def wrapped(module: nn.Module) -> nn.Module:
    """The module itself, or one that averages its gradients over all processes at every backward pass."""
    if not _ours:
        return module
    # Some networks have parameters that their losses never reach: a static graph finds them once.
    return nn.parallel.DistributedDataParallel(module, static_graph=True)
