"""Trained weights -> predictions. The loaded network is the plain base network, without DejaVu."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from ..errors import DejavuError
from ..method.wrapper import DejaVu
from ..tasks import channels
from ..tasks.predictions import read_all, tensors
from .build import build_method, build_network

if TYPE_CHECKING:
    from ..config import Run


def load_network(
    run: Run,
    num_channels: int | Mapping[str, int],
    weights: Path,
    classes: Sequence[str] | None = None,
) -> nn.Module:
    """Load exported weights strictly into the plain base network, in evaluation mode.

    `classes`: names of the classes, which some segmentation networks read. Raises DejavuError for a file that
    does not fit. The network raises it if its prediction is not finite.
    """
    network = build_network(run, num_channels, pretrained=False, classes=classes)
    command = f"dejavu train {run.experiment} --scale {run.scale}"
    load_strictly(network, weights, command)
    network.register_forward_hook(_finite(run.tasks, weights, command))
    return network.eval()


def _finite(tasks: Sequence[str], weights: Path, command: str) -> Callable[[nn.Module, Any, Any], None]:
    """Return a hook that refuses predictions that are not finite: an argmax would hide NaN."""

    def check_finite(network: nn.Module, images: Any, prediction: Any) -> None:
        for task, output in read_all(tasks, prediction).items():
            for values in tensors({task: output}):
                # The sum is cheap, and finite only if all values are. A sum of finite values may overflow.
                if not values.sum().isfinite() and not values.isfinite().all():
                    raise DejavuError(
                        f"{weights} holds weights whose {task} prediction is not finite: delete it and run "
                        f"`{command}`, or lower train.optimizer.lr in params.yaml if that has made it"
                    )

    return check_finite


def load_method(run: Run, classes: Sequence[str], weights: Path, regenerator: Path) -> DejaVu:
    """Load the network in its DejaVu wrapper, with the trained regenerator: for figures only."""
    network = load_network(run, channels(run.task, len(classes)), weights, classes)
    method = build_method(run, network, classes)
    load_strictly(method.training_only, regenerator, f"dejavu train {run.experiment} --scale {run.scale}")
    return method.eval()


def load_strictly(module: nn.Module, path: Path, command: str) -> None:
    """Load a safetensors file whose keys, shapes and types must be exactly the module's."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if path.exists() and not path.is_file():  # reading a pipe would block
        raise DejavuError(f"{path} is not a file: delete it and run `{command}`")
    try:
        state = load_file(path)
        _check_types(module, state, path, command)
        module.load_state_dict(state, strict=True)
    except FileNotFoundError:
        raise DejavuError(f"{path} is missing: run `{command}`") from None
    except (SafetensorError, OSError) as error:
        raise DejavuError(
            f"{path} is not a whole safetensors file ({error}): delete it and run `{command}`"
        ) from None
    except RuntimeError:
        raise DejavuError(
            f"{path} was made by another network than {type(module).__name__} with these options: "
            f"delete it and run `{command}`"
        ) from None


def _check_types(module: nn.Module, state: Mapping[str, Tensor], path: Path, command: str) -> None:
    """Raise DejavuError if a tensor has another type than the module's: loading would convert it."""
    own = module.state_dict()
    for name, values in state.items():
        if name in own and values.dtype != own[name].dtype:
            given, needed = (str(one.dtype).removeprefix("torch.") for one in (values, own[name]))
            raise DejavuError(
                f"{path} holds '{name}' as {given}, and {needed} is needed: delete it and run `{command}`"
            )
