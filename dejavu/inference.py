"""Trained weights -> predictions. DejaVu leaves no trace here: the network is the plain base network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from . import networks
from .augment import denormalise, normalise
from .cycle import CyclicConsistency
from .errors import DejavuError
from .method import DejaVu
from .perceptual import Perceptual
from .predictions import read_all, tensors
from .protocols import predict
from .tasks import channels
from .text import TextSupervision

if TYPE_CHECKING:
    from .schema import Method, Run

__all__ = [
    "build_method",
    "build_network",
    "denormalise",
    "load_method",
    "load_network",
    "normalise",
    "predict",
]


def build_network(
    run: Run,
    num_channels: int | Mapping[str, int],
    pretrained: bool = True,
    classes: Sequence[str] | None = None,
) -> nn.Module:
    """The run's base network with so many output channels at its scale's width, initialised as the run says.

    `num_channels`, here and below: of one task, or of each of several by their names (`tasks.channels`).

    `pretrained=False` leaves pretrained weights aside: others will be loaded over them.
    """
    network = run.network
    options = {key: value for key, value in network.options.items() if pretrained or key != "pretrained"}
    return networks.build(
        network.module, num_channels, width=network.width, depth=network.depth, classes=classes, **options
    )


def build_method(run: Run, network: nn.Module, classes: Sequence[str], seed: int = 0) -> DejaVu:
    """The run's network wrapped in its redaction, regenerator and losses; `classes` are the dataset's."""
    method = run.dejavu
    if method is None:
        raise DejavuError(f"experiment '{run.experiment}' is a baseline: it has no 'dejavu' in params.yaml")
    return DejaVu(
        network,
        task=run.tasks,
        num_classes=len(classes),
        redaction=[redaction.model_dump() for redaction in method.redactions],
        regenerator=method.regenerator.model_dump(),
        stride=method.stride,
        condition=method.condition,
        loss=method.loss,
        pixels=method.pixels,
        perceptual=_perceptual(run, method),
        gamma=method.gamma,
        warmup=method.warmup,
        detach=method.detach,
        text=_text(run, method, classes),
        cycle=None if method.cycle is None else CyclicConsistency(**method.cycle.model_dump()),
        share_attention=method.share_attention is not False,
        seed=seed,
    )


def _perceptual(run: Run, method: Method) -> Perceptual | None:
    if method.perceptual is None:
        return None
    options = method.perceptual.model_dump(exclude=set() if run.pretrained else {"weights"})
    return Perceptual(width=run.frozen_width, **options)


def _text(run: Run, method: Method, classes: Sequence[str]) -> TextSupervision | None:
    if method.text is None:
        return None
    options = method.text.model_dump(exclude=set() if run.pretrained else {"pretrained"})
    return TextSupervision(classes=classes, width=run.frozen_width, **options)


def load_network(
    run: Run,
    num_channels: int | Mapping[str, int],
    weights: Path,
    classes: Sequence[str] | None = None,
) -> nn.Module:
    """The plain base network with exported weights, strictly loaded, in evaluation mode.

    `classes` are the names of what a segmentation network was trained on: some of them read these.
    Raises DejavuError for a file that does not fit, and the network does where it predicts no finite numbers.
    """
    network = build_network(run, num_channels, pretrained=False, classes=classes)
    command = f"dejavu train {run.experiment} --scale {run.scale}"
    load_strictly(network, weights, command)
    network.register_forward_hook(_finite(run.tasks, weights, command))
    return network.eval()


def _finite(tasks: Sequence[str], weights: Path, command: str) -> Callable[[nn.Module, Any, Any], None]:
    """A hook that refuses predictions that are not finite: a class is the likeliest of NaN, too."""

    def look(network: nn.Module, images: Any, prediction: Any) -> None:
        for task, found in read_all(tasks, prediction).items():
            for values in tensors({task: found}):
                # The sum costs the least, and is finite only if all are; that of finite ones may overflow.
                if not values.sum().isfinite() and not values.isfinite().all():
                    raise DejavuError(
                        f"{weights} holds weights whose {task} prediction is not finite: delete it and run "
                        f"`{command}`, or lower train.optimizer.lr in params.yaml if that has made it"
                    )

    return look


def load_method(run: Run, classes: Sequence[str], weights: Path, regenerator: Path) -> DejaVu:
    """The network in its DejaVu wrapper, with the regenerator as trained: for figures only."""
    network = load_network(run, channels(run.task, len(classes)), weights, classes)
    method = build_method(run, network, classes)
    load_strictly(method.training_only, regenerator, f"dejavu train {run.experiment} --scale {run.scale}")
    return method.eval()


def load_strictly(module: nn.Module, path: Path, command: str) -> None:
    """Load a safetensors file whose keys, shapes and types must be exactly the module's."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise DejavuError(f"{path} is not a file: delete it and run `{command}`")
    try:
        found = load_file(path)
        _check_types(module, found, path, command)
        module.load_state_dict(found, strict=True)
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


def _check_types(module: nn.Module, found: Mapping[str, Tensor], path: Path, command: str) -> None:
    """Raise DejavuError where a tensor is of another type than the module's: loading would convert it."""
    own = module.state_dict()
    for name, values in found.items():
        if name in own and values.dtype != own[name].dtype:
            given, needed = (str(one.dtype).removeprefix("torch.") for one in (values, own[name]))
            raise DejavuError(
                f"{path} holds '{name}' as {given}, and {needed} is needed: delete it and run `{command}`"
            )
