"""Pretrained weights of transformers' models, under the names that the installed release gives them.

transformers renames modules between releases and keeps the table that old files need. That table is used, so
that a file of the hub fits as well as one that was written here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Weights = Mapping[str, Tensor]


def transformers_hub(model: type[PreTrainedModel]) -> Callable[[str], Weights]:
    """Make a function that downloads the weights of such a model by its name on the Hugging Face hub."""
    return lambda name: _load(model, name)[0].state_dict()


def under_today_s_names(
    model: type[PreTrainedModel], config: Any, prefix: str, leave: tuple[str, ...]
) -> Callable[[dict[str, Tensor]], Weights]:
    """Make a function that renames the weights of a whole `model` to those of its submodule under `prefix`.

    Weights that the model lacks or does not know stay missing or foreign, so that strict loading finds them.

    Args:
        config: of the model, at the width that is built.
        prefix: of the names of the submodule, such as "swin.".
        leave: beginnings of the names of weights that are not of the submodule.
    """

    def adapt(given: dict[str, Tensor]) -> Weights:
        loaded, report = _load(model, None, config=config, state_dict=dict(given))
        weights = loaded.state_dict()
        for name in report["missing_keys"]:
            weights.pop(name, None)
        for name, shape, _ in report["mismatched_keys"]:
            weights[name] = torch.empty(shape)
        weights |= {name: given[name] for name in report["unexpected_keys"] if name in given}
        return {
            name.removeprefix(prefix): value for name, value in weights.items() if not name.startswith(leave)
        }

    return adapt


def _load(model: type[PreTrainedModel], name: str | None, **options: Any) -> tuple[Any, dict[str, Any]]:
    load: Any = model.from_pretrained  # typed as if there were no report
    return load(name, output_loading_info=True, ignore_mismatched_sizes=True, dtype=torch.float32, **options)
