"""CLIP (Radford et al. 2021) of open_clip, frozen: images and texts as unit vectors of one space."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...compute.random import seeded
from ...compute.weights import is_file_name, read_weights, version
from ...errors import DejavuError, nearest
from ...system.extras import extra
from .network import Frozen

CACHED_TEXTS = 4096  # 8 MB of ViT-B-32's embeddings
SCHEMES = ("hf-hub:", "local-dir:")  # bring their own architecture along
HEAD = 16  # channels of an attention head below full width


class Clip(Frozen):
    """A CLIP model with its tokenizer and the cached embeddings of texts."""

    def __init__(self, network: nn.Module, tokenizer: Callable[[list[str]], Tensor], *made_by: Any) -> None:
        super().__init__(network, *made_by)
        self.tokenizer = tokenizer
        self._texts: OrderedDict[tuple[str, torch.device], Tensor] = OrderedDict()

    def embed_images(self, images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
        """Return unit vectors (N, D) of images (N, 3, H, W), any H and W, normalised with mean and std.

        The whole image is brought to CLIP's square, as open_clip's "squash" does: a crop of its middle, the
        other custom, would leave out what the description names.
        """
        network: Any = self.on(images.device)
        settings = network.visual.preprocess_cfg
        mode = "bilinear" if settings["interpolation"] == "bilinear" else "bicubic"
        with torch.autocast(images.device.type, enabled=False):
            images = _resize(images.float(), _pair(settings["size"]), mode)  # (N, 3, h, w)
            given_mean, given_std, own_mean, own_std = (
                torch.tensor(values, device=images.device).view(3, 1, 1)
                for values in (mean, std, settings["mean"], settings["std"])
            )
            images = (images * given_std + given_mean - own_mean) / own_std
        return F.normalize(network.encode_image(images).float(), dim=-1)

    def embed_texts(self, texts: Sequence[str], device: torch.device) -> Tensor:
        """Return unit vectors (N, D) of texts, without a graph. Each text is embedded once and cached.

        On CPU they are embedded one by one: a vector's last bits depend on its neighbours in the batch, and
        a killed run that goes on has other texts to embed at a time.
        """
        missing = [text for text in dict.fromkeys(texts) if (text, device) not in self._texts]
        known = {text: self._texts[text, device] for text in texts if (text, device) in self._texts}
        batches = [[text] for text in missing] if device.type == "cpu" else [missing] * bool(missing)
        for batch in batches:
            known |= zip(batch, self._encode(batch, device), strict=True)
        for text in known:
            self._texts[text, device] = known[text]
            self._texts.move_to_end((text, device))
        while len(self._texts) > CACHED_TEXTS:
            self._texts.popitem(last=False)
        return torch.stack([known[text] for text in texts])

    @torch.inference_mode(False)  # the cached vectors must serve in training too
    @torch.no_grad()
    def _encode(self, texts: list[str], device: torch.device) -> Tensor:
        network: Any = self.on(device)
        with torch.autocast(device.type, enabled=False):
            return F.normalize(network.encode_text(self.tokenizer(texts).to(device)).float(), dim=-1)


def load(model: str, pretrained: str | None, width: float, seed: int) -> Clip:
    """Load a CLIP, the same object for the same arguments, which are those of `dejavu.text.TextSupervision`.

    Raises DejavuError for an unknown architecture, a width that it cannot have, and weights that are
    missing, cannot be read or do not fit.
    """
    with extra("text", "text supervision"):
        import open_clip  # noqa: F401
    if pretrained is None:
        return _load(model, None, width, seed, None)
    _check_source(model, pretrained, width)
    return _load(model, pretrained, width, 0, _version(pretrained))


@lru_cache(maxsize=4)  # of a full CLIP takes 0.6 GB
def _load(model: str, pretrained: str | None, width: float, seed: int, _: object) -> Clip:
    name = model
    with _quiet(), seeded(seed):
        if pretrained is None:
            network = architecture(model, width)
        elif is_file_name(pretrained):
            network = architecture(model, width)
            _load_file(network, pretrained, f"{model} at width {width:g}")
        else:
            name = pretrained if pretrained.startswith(SCHEMES) else model
            network = _fetch(model, pretrained)
    return Clip(network, _tokenizer(name), load, model, pretrained, width, seed)


@lru_cache(maxsize=4)
def _tokenizer(name: str) -> Callable[[list[str]], Tensor]:
    import open_clip

    try:
        with _quiet():
            return open_clip.get_tokenizer(name)
    except Exception as error:  # of the hub and its client, in many ways
        raise DejavuError(
            f"text.model: the tokenizer of {name} could not be fetched ({type(error).__name__})"
        ) from error


def architecture(model: str, width: float = 1.0, device: str = "cpu") -> nn.Module:
    """Build open_clip's model of this name with random weights; on "meta" without any.

    Below width 1 it is the same class with fewer channels and layers and smaller patches: of a ViT-B-32 the
    image is still 7 x 7 patches and the text 77 tokens.
    """
    import open_clip

    known = open_clip.list_models()
    if model not in known:
        raise DejavuError(f"text.model: unknown architecture {model!r}, {nearest(model, known)}")
    settings = {} if width == 1 else _scaled(model, open_clip.get_model_config(model), width)
    try:
        with _quiet(), torch.device(device):
            return open_clip.create_model(model, device=device, pretrained_text=False, **settings)
    except Exception as error:  # some download files from the hub
        raise DejavuError(
            f"text.model: {model} could not be built ({type(error).__name__}: {error})"
        ) from error


def _scaled(model: str, settings: dict[str, Any], width: float) -> dict[str, Any]:
    """Return keyword arguments of open_clip.CLIP for a share of its width."""
    vision, text = settings["vision_cfg"], settings["text_cfg"]
    other = {"timm_model_name", "hf_model_name", "multimodal_cfg"} & {*vision, *text, *settings}
    if other or not vision.get("patch_size"):
        raise DejavuError(
            f"text.width: {model} exists at width 1 only, below it must be a plain ViT such as ViT-B-32"
        )

    def channels(full: int) -> int:
        return max(2 * HEAD, round(full * width / HEAD) * HEAD)

    def layers(full: int) -> int:
        return max(2, round(full * width))

    patch = max(8, round(vision["patch_size"] * width))
    height, wide = (side // vision["patch_size"] * patch for side in _pair(vision["image_size"]))
    vision |= {"width": channels(vision["width"]), "layers": layers(vision["layers"]), "head_width": HEAD}
    vision |= {"patch_size": patch, "image_size": (height, wide)}
    text |= {"width": channels(text["width"]), "layers": layers(text["layers"])}
    text |= {"heads": text["width"] // HEAD}
    return {"embed_dim": channels(settings["embed_dim"]), "vision_cfg": vision, "text_cfg": text}


def _check_source(model: str, pretrained: str, width: float) -> None:
    if is_file_name(pretrained):
        return
    if width != 1:
        raise DejavuError(f"text.width must be 1 with the weights {pretrained!r}, not {width:g}")
    if pretrained.startswith(SCHEMES):
        return
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(model)
    if not open_clip.is_pretrained_cfg(model, pretrained) and model in open_clip.list_models():
        raise DejavuError(
            f"text.pretrained: {pretrained!r} is neither a weights file nor {SCHEMES[0]}NAME nor a tag of "
            f"{model}, {nearest(pretrained, tags)}"
        )


def _version(pretrained: str) -> object:
    return version(pretrained, "text.pretrained") if is_file_name(pretrained) else None


def _load_file(network: nn.Module, source: str, name: str) -> None:
    import open_clip

    read_weights(source, "text.pretrained")  # names what is wrong with the file; open_clip would not
    try:
        open_clip.load_checkpoint(network, source, strict=True, weights_only=True)
    except Exception as error:
        raise DejavuError(
            f"text.pretrained: {source} does not fit {name} ({' '.join(str(error).split())[:160]})"
        ) from error


def _fetch(model: str, source: str) -> nn.Module:
    """Return the model with the weights of a tag, the hub or a folder, downloaded if they are missing."""
    import open_clip

    known = architecture(model, device="meta").state_dict()
    try:
        if source.startswith(SCHEMES):
            network = open_clip.create_model(source, require_pretrained=True)
        else:
            # Weights that were trained with QuickGELU are others with GELU, and fit all the same.
            quick = bool(open_clip.get_pretrained_cfg(model, source).get("quick_gelu"))
            network = open_clip.create_model(
                model, source, require_pretrained=True, **({"force_quick_gelu": True} if quick else {})
            )
    except Exception as error:  # the hub, its cache and its client fail in many ways
        raise DejavuError(
            f"text.pretrained: {source!r} could not be loaded ({type(error).__name__}), name a weights file "
            "of it instead"
        ) from error
    if {key: value.shape for key, value in network.state_dict().items()} != {
        key: value.shape for key, value in known.items()
    }:
        raise DejavuError(
            f"text.pretrained: {source!r} is not a {model}, name its architecture as text.model"
        )
    return network


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence open_clip, which writes to the root logger, and remove the handler that this adds."""
    root, before = logging.getLogger(), logging.root.manager.disable
    handlers = list(root.handlers)
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
        for handler in set(root.handlers) - set(handlers):
            root.removeHandler(handler)


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def _resize(images: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """Resize (N, 3, H, W) to (N, 3, h, w) by antialiased interpolation, as two matrix products.

    F.interpolate gives the same numbers, at 4 times the cost on CPU and with a gradient that is not
    deterministic on a GPU.
    """
    rows, columns = (
        _interpolation(full, wanted, mode, images.device)
        for full, wanted in zip(images.shape[-2:], size, strict=True)
    )
    return rows @ images @ columns.T  # (h, H) (N, 3, H, W) (W, w)


@lru_cache(maxsize=32)
@torch.inference_mode(False)
def _interpolation(full: int, wanted: int, mode: str, device: torch.device) -> Tensor:
    """Return the matrix (wanted, full) that interpolates one axis."""
    identity = torch.eye(full)[None, None]
    return F.interpolate(identity, (wanted, full), mode=mode, antialias=True)[0, 0].to(device)
