"""DejaVu-TS: CLIP compares the regenerated image with a description of the scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import DejavuError
from ..tasks import describe as describe_task
from ..tasks import load
from ..tasks.images import MEAN, STD
from .frozen import clip
from .frozen.network import check_numbers, check_rgb, check_triple, describe


class TextSupervision:
    """The loss weight * mean(1 - cos(E_I(I_G), E_T(text))), with the two encoders of a frozen CLIP.

    The CLIP belongs to no module that holds this: neither to its parameters nor to its state or cost. It is
    shared by all objects with the same model, weights, width and seed, and follows the images' device.

    Args:
        model: an architecture of open_clip, such as "ViT-B-32".
        pretrained: its weights: a tag of open_clip ("laion2b_s34b_b79k"), "hf-hub:ORG/NAME", which is
            downloaded, "local-dir:FOLDER", or a .safetensors, .pt, .pth or .bin file, which is never
            unpickled. None draws them at random, to try the code without a download.
            OpenAI's and other weights trained with QuickGELU need "ViT-B-32-quickgelu" as a file; a tag
            sees to that itself.
        weight: factor of the term.
        template: a description with {} where the classes go.
        classes: names by class id, for `prompts`.
        width: below 1 the same model with fewer channels, layers and pixels.
        mean: with std, what images were normalised with; ImageNet's by default.
        std: see mean.
        seed: of random weights; the global random state is left alone.

    Raises:
        DejavuError: an argument that cannot be right; weights that are missing, unreadable or do not fit.

    >>> supervision = TextSupervision(width=0.05, classes=["road", "car"])
    >>> supervision.description
    'CLIP ViT-B-32, random weights, width 0.05'
    >>> supervision.prompts(torch.tensor([[[1, 0, 0, 255]]]))
    ['a photo of a scene with road and car.']
    >>> loss = supervision(torch.randn(2, 3, 48, 64), ["a street.", "a kitchen."])
    """

    def __init__(
        self,
        model: str = "ViT-B-32",
        pretrained: str | None = None,
        *,
        weight: float = 0.1,
        template: str = "a photo of a scene with {}.",
        classes: Sequence[str] | None = None,
        width: float = 1.0,
        mean: Sequence[float] = MEAN,
        std: Sequence[float] = STD,
        seed: int = 0,
    ) -> None:
        check_numbers("text", weight, width, seed)
        if template.count("{}") != 1:
            raise DejavuError(f"text.template must hold {{}} once, where the classes go, not {template!r}")
        self.weight, self.template = weight, template
        self.classes = None if classes is None else [name.replace("_", " ") for name in classes]
        self.mean = check_triple("mean", mean, -float("inf"))
        self.std = check_triple("std", std, 0)
        self.description = describe(f"CLIP {model}", pretrained, width)
        """The CLIP for a table's note: its architecture, the source of its weights, its width."""
        self.clip = clip.load(model, pretrained, width, seed)

    def __call__(self, images: Tensor, texts: Sequence[str]) -> Tensor:
        """Compare images with their texts: a scalar, with a graph to the images only.

        Args:
            images: (N, 3, H, W), normalised with mean and std; any H and W.
            texts: N descriptions, cut off at CLIP's 77 tokens. The image of an empty one is left out of
                the mean.

        Raises DejavuError for other images or texts.
        """
        check_rgb("images", images)
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise DejavuError("texts must be a list of strings, one an image")
        if len(texts) != len(images):
            raise DejavuError(f"there are {len(texts)} texts for {len(images)} images: give one an image")
        described = [i for i, text in enumerate(texts) if text.strip()]
        if not described:
            return torch.zeros((), device=images.device)
        if len(described) < len(texts):
            images = images[described]
        wanted = self.clip.embed_texts([texts[i] for i in described], images.device)  # (n, D)
        embedded = self.clip.embed_images(images, self.mean, self.std)  # (n, D)
        return self.weight * (1 - (embedded * wanted).sum(1)).mean()

    def prompts(self, labels: Tensor, ignore_index: int = 255) -> list[str]:
        """Describe each label map (N, H, W): its classes in the template, most frequent first.

        So CLIP cuts off the rarest classes. A map in which all is ignored gives "".
        Raises DejavuError when the names of the classes are not known, or a label has no name.
        """
        if self.classes is None:
            raise DejavuError("text.classes is missing: prompts are made of the names of the classes")
        if labels.ndim != 3 or labels.is_floating_point():
            raise DejavuError(f"labels must be whole (N, H, W), not {labels.dtype} {tuple(labels.shape)}")
        return [self._prompt(counts) for counts in self._counts(labels.long(), ignore_index)]

    def _counts(self, labels: Tensor, ignore_index: int) -> list[list[int]]:
        """Count the pixels of each class in each map: (N, K)."""
        assert self.classes is not None
        known = len(self.classes)
        ignored = labels == ignore_index
        nameless = labels[~ignored & ((labels < 0) | (labels >= known))]
        if len(nameless):
            raise DejavuError(
                f"label {int(nameless[0])} has no name: text.classes names 0 to {known - 1}, and "
                f"{ignore_index} is ignored"
            )
        bins = torch.where(ignored, known, labels)
        maps = torch.arange(len(bins), device=bins.device).view(-1, 1, 1) * (known + 1)
        counts = torch.bincount((bins + maps).flatten(), minlength=len(bins) * (known + 1))
        return counts.view(len(bins), known + 1)[:, :known].tolist()

    def _prompt(self, counts: list[int]) -> str:
        assert self.classes is not None
        order = sorted(range(len(counts)), key=lambda label: -counts[label])
        names = [self.classes[label] for label in order if counts[label]]
        if not names:
            return ""
        listed = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
        return self.template.replace("{}", listed)


def describe_images(
    text: TextSupervision, tasks: Sequence[str], labels: Any, captions: Sequence[str] | None
) -> list[str]:
    """Return the captions, or else prompts that are made of the labels of the task that has classes.

    labels: class ids (N, H, W), the codes of a panoptic task, or a mapping from task to labels.

    Raises DejavuError where there is neither.
    """
    if captions is not None:
        if isinstance(captions, str) or not isinstance(captions, Sequence):
            raise DejavuError(f"captions must be a list of strings, one an image, not {captions!r}")
        return list(captions)
    task = next((task for task in tasks if describe_task(task).has_classes), None)
    if isinstance(labels, Mapping):
        labels = labels.get(task)
    if not isinstance(labels, Tensor):
        raise DejavuError(
            "text supervision needs captions, or labels (N, H, W) whose classes make the prompts: give "
            "regeneration_loss one of them"
        )
    return text.prompts(labels if task is None else load(task).class_ids(labels))
