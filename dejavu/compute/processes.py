"""The processes of one training, of which there may be one: their ranks, and the values they exchange."""

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
from .rank import LOST, Launched, address_of_step, launched, port_of_step

# The others wait while the main process measures a validation split, which may take an hour.
PATIENCE, MEETING = timedelta(hours=6), timedelta(minutes=10)


class Rank(NamedTuple):
    """One of `world_size` processes."""

    number: int
    world_size: int

    def share(self, count: int) -> slice:
        """Return this process' share of a batch in which each has `count` images."""
        return slice(self.number * count, (self.number + 1) * count)


ALONE = Rank(0, 1)


class LostProcess(DejavuError):
    """Another process of the group has gone."""

    status = LOST


_joined = False  # whether this process is within `joined`: the others of torch's group train the same


def rank() -> Rank:
    """Return this process' rank in torch's default group, whoever made that."""
    if distributed.is_available() and distributed.is_initialized():
        return Rank(distributed.get_rank(), distributed.get_world_size())
    return ALONE


def is_main() -> bool:
    """Return whether this process is the one that measures, saves and writes."""
    return rank().number == 0


@contextmanager
def joined(count: int) -> Iterator[None]:
    """Be one of `count` processes; nothing at all where that is 1.

    Raises DejavuError where the launcher started another number, and LostProcess.
    """
    global _joined
    if count == 1:
        yield
        return
    _join(launched(), count)
    _joined = True
    try:
        yield
        distributed.barrier()  # no process leaves while others still exchange values
    except RuntimeError as error:
        if not _is_of_group(error):
            raise
        raise LostProcess(
            f"another of the {count} processes of this training has ended, which it cannot go on without: "
            "the same command goes on from what was saved last"
        ) from None
    finally:
        _joined = False
        distributed.destroy_process_group()


def _join(who: Launched | None, count: int) -> None:
    if who is None or who.world != count:
        started = "none" if who is None else str(who.world)
        raise DejavuError(
            f"this row asks for {count} processes (gpus in params.yaml), and there are {started}"
        )
    backend = "gloo"
    if torch.cuda.is_available():
        _take_gpu(who, torch.cuda.device_count())
        backend = "cpu:gloo,cuda:nccl"  # gloo for values on processors, which wait for no GPU
    # torchrun has opened the store where they meet; elsewhere the first process does.
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


def _take_gpu(who: Launched, count: int) -> None:
    """Give a process a GPU of its own. Raises DejavuError where there are too few."""
    own = 0 if count == 1 and who.bound else who.local_rank
    if own >= count:
        raise DejavuError(
            f"this row asks for {who.world} GPUs, and process {who.local_rank} of this machine finds {count}"
            ": lower gpus in params.yaml"
        )
    gpus.settle(own)


def _is_of_group(error: RuntimeError) -> bool:
    """Return whether an error means that another process cannot be reached."""
    words = str(error).lower()
    return isinstance(error, distributed.DistError) or "gloo" in words or "connection" in words


def across(count: Tensor, least: float = 1) -> Tensor:
    """Return what a loss is divided by, where `count` is that of this process' share of the batch.

    Such losses of all processes have the mean that the loss of the whole batch has: the sum of all counts,
    at least `least`, divided by the number of processes. Alone: count, at least `least`.
    """
    if not _joined:
        return count.clamp(min=least)
    total = count.detach().clone()
    distributed.all_reduce(total)
    return total.clamp(min=least) / rank().world_size


def mean(values: Tensor) -> Tensor:
    """Return the mean over all processes, without a graph."""
    if not _joined:
        return values
    total = values.clone()
    distributed.all_reduce(total)
    return total / rank().world_size


def agree(number: int | None) -> int | None:
    """Return the largest number that any process has, to all processes; None where none has one."""
    if not _joined:
        return number
    largest = torch.tensor(0 if number is None else number)
    distributed.all_reduce(largest, distributed.ReduceOp.MAX)
    return int(largest) or None


def from_main(value: bool) -> bool:
    """Return the main process' value to all processes."""
    if not _joined:
        return value
    sent = torch.tensor(int(value))
    distributed.broadcast(sent, 0)
    return bool(sent)


def wrapped(module: nn.Module) -> nn.Module:
    """Return the module itself, or one that averages gradients over all processes in a backward pass."""
    if not _joined:
        return module
    # Some networks have parameters that their losses never reach: a static graph finds them once.
    return nn.parallel.DistributedDataParallel(module, static_graph=True)
