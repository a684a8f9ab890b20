"""Memory that autograd keeps for the backward pass, counted on the meta device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

NORMS = ("batch_norm", "group_norm", "layer_norm", "instance_norm")


class ActivationCounter:
    """Counts the storages that autograd keeps for the backward pass, except those of `own` tensors."""

    def __init__(self, own: Sequence[Tensor]) -> None:
        self._own = {_storage_id(tensor) for tensor in own}
        self._kept: dict[int, torch.UntypedStorage] = {}  # references, so that no address is used twice

    def continued(self, own: Sequence[Tensor]) -> ActivationCounter:
        """Return another counter that begins with the storages of this one."""
        counter = ActivationCounter(own)
        counter._kept |= self._kept
        return counter

    @property
    def bytes(self) -> int:
        """Bytes of all counted storages."""
        return sum(storage.nbytes() for storage in self._kept.values())

    def add(self, tensor: Tensor) -> Tensor:
        """Count a tensor's storage once, and return the tensor."""
        key = _storage_id(tensor)
        if key not in self._own:
            self._kept[key] = tensor.untyped_storage()
        return tensor

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count saved tensors in this context: attention as one fused kernel, norms without computation."""
        with ExitStack() as stack:
            stack.enter_context(torch.autograd.graph.saved_tensors_hooks(self.add, lambda tensor: tensor))
            stack.enter_context(
                patch.object(F, "scaled_dot_product_attention", self._fused(F.scaled_dot_product_attention))
            )
            for name in NORMS:
                stack.enter_context(patch.object(F, name, _norm(getattr(F, name))))
            stack.enter_context(patch.object(torch, "autocast", _autocast(torch.autocast)))
            yield

    def _fused(self, attend: Any) -> Any:
        """Return attention that keeps the tensors of a fused kernel, without the attention map."""

        def fused(query: Tensor, key: Tensor, value: Tensor, *arguments: Any, **options: Any) -> Tensor:
            with torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor):
                out = attend(query, key, value, *arguments, **options)
            for tensor in (query, key, value, out):
                self.add(tensor)
            return out

        return fused


class Uninitialised(TorchFunctionMode):
    """Skips functions that fill tensors of the meta device, which have no values."""

    FILLING = frozenset(("normal_", "uniform_", "fill_", "zero_", "erfinv_", "clamp_", "trunc_normal_"))

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        filled = args[0] if args else None
        if getattr(func, "__name__", "") in self.FILLING and isinstance(filled, Tensor) and filled.is_meta:
            return filled
        return func(*args, **(kwargs or {}))


class _Norm(torch.autograd.Function):
    """A norm that keeps its input, as real ones do, and computes nothing.

    Operations of norms are not counted, and torch's norms take most of a step's time on the meta device.
    """

    @staticmethod
    def forward(context: Any, images: Tensor, *parameters: Tensor | None) -> Tensor:
        context.save_for_backward(images, *parameters)
        return torch.empty_like(images)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Any:
        images, *parameters = context.saved_tensors
        return torch.empty_like(images), *(
            None if parameter is None else torch.empty_like(parameter) for parameter in parameters
        )


def _norm(real: Any) -> Any:
    """Return a replacement of a norm of torch.nn.functional; parameters may be positional or named."""

    def norm(images: Tensor, *arguments: Any, **options: Any) -> Tensor:
        if not images.is_meta:
            return real(images, *arguments, **options)
        given = [*arguments, *options.values()]
        learning = [value for value in given if isinstance(value, Tensor) and value.requires_grad]
        return _Norm.apply(images, *learning)

    return norm


def _autocast(real: Any) -> Any:
    """Return a replacement of torch.autocast, which does not support the meta device."""

    def autocast(device_type: str, *arguments: Any, **options: Any) -> Any:
        return nullcontext() if device_type == "meta" else real(device_type, *arguments, **options)

    return autocast


def tensors_of(module: nn.Module) -> list[Tensor]:
    """Return a module's parameters and buffers, each storage once."""
    tensors = {_storage_id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    return list(tensors.values())


def size_of(tensor: Tensor) -> int:
    """Return the bytes of a tensor's storage."""
    return tensor.untyped_storage().nbytes()


def _storage_id(tensor: Tensor) -> int:
    """Return a number that differs between storages, which have no address on the meta device."""
    return tensor.untyped_storage()._cdata
