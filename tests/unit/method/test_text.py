"""Text supervision, against open_clip's own encoders and preprocessing."""

from __future__ import annotations

import ast
import json
import logging
import pickle
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from dejavu.errors import DejavuError
from dejavu.method.frozen import clip
from dejavu.method.text import TextSupervision
from dejavu.tasks.images import MEAN, STD, normalise

TINY = 0.05
TEXTS = ["a photo of a scene with road and car.", "a dog."]


@pytest.fixture
def supervision() -> TextSupervision:
    return TextSupervision(width=TINY, weight=1.0, classes=["road", "car", "person"])


def smooth(height: int = 96, width: int = 128) -> Tensor:
    """Two uint8 images (2, H, W, 3) without the sharp edges at which PIL's clipping would show."""
    coarse = torch.rand(2, 3, 6, 8, generator=torch.Generator().manual_seed(3))
    images = F.interpolate(coarse, (height, width), mode="bilinear") * 180 + 30
    return images.permute(0, 2, 3, 1).to(torch.uint8)


def unit(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=1, keepdim=True)


@pytest.mark.parametrize("size", [(96, 128), (40, 50)])  # CLIP's is 56 x 56: smaller and larger
def test_is_one_minus_the_cosine_of_what_open_clip_says(
    supervision: TextSupervision, size: tuple[int, int]
) -> None:
    images = smooth(*size)
    network = supervision.clip.network
    preprocess = open_clip.image_transform(
        network.visual.image_size, is_train=False, resize_mode="squash", interpolation="bicubic"
    )  # PIL's resize, and the mean and deviation of OpenAI's CLIP
    seen = torch.stack([preprocess(Image.fromarray(np.asarray(image))) for image in images])
    with torch.no_grad():
        tokens = open_clip.get_tokenizer("ViT-B-32")(TEXTS)
        a, b = unit(network.encode_image(seen)), unit(network.encode_text(tokens))
    # PIL rounds to whole grey values: a hundredth of what sets two images apart
    ours = supervision.clip.embed_images(normalise(images), MEAN, STD)
    assert ((ours - a).norm(dim=1) < 0.01 * (a[0] - a[1]).norm()).all()
    for texts, vectors in ((TEXTS, b), (TEXTS[::-1], b.flip(0))):
        expected = (1 - (a * vectors).sum(1)).mean()
        torch.testing.assert_close(supervision(normalise(images), texts), expected, atol=5e-4, rtol=0)


@pytest.mark.parametrize("mode", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [(96, 128), (33, 20), (56, 56)])
def test_resizes_as_torch_does(mode: str, size: tuple[int, int]) -> None:
    images = torch.randn(2, 3, *size)
    expected = F.interpolate(images, (56, 48), mode=mode, antialias=True)
    torch.testing.assert_close(clip._resize(images, (56, 48), mode), expected, atol=1e-5, rtol=0)


def test_the_images_normalisation_makes_no_difference() -> None:
    images = smooth()
    ours = TextSupervision(width=TINY)(normalise(images), TEXTS)
    plain = images.permute(0, 3, 1, 2) / 255
    theirs = TextSupervision(width=TINY, mean=(0, 0, 0), std=(1, 1, 1))(plain, TEXTS)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_gradient_reaches_the_images_and_no_weight(supervision: TextSupervision) -> None:
    images = normalise(smooth()).requires_grad_()
    supervision(images, TEXTS).backward()
    assert images.grad is not None and (images.grad.flatten(1).norm(dim=1) > 0).all()
    assert all(p.grad is None and not p.requires_grad for p in supervision.clip.network.parameters())


def test_following_the_gradient_brings_an_image_nearer_to_its_text(supervision: TextSupervision) -> None:
    images = normalise(smooth()).requires_grad_()
    before = supervision(images, TEXTS)
    (gradient,) = torch.autograd.grad(before, images)
    with torch.no_grad():
        after = supervision(images - 0.5 * gradient / gradient.abs().max(), TEXTS)
    assert after < before - 1e-4


def test_weight_scales_the_term() -> None:
    images = normalise(smooth())
    one, third = (TextSupervision(width=TINY, weight=weight)(images, TEXTS) for weight in (1.0, 0.3))
    torch.testing.assert_close(third, 0.3 * one)


def test_an_empty_text_leaves_its_image_out(supervision: TextSupervision) -> None:
    images = normalise(smooth()).requires_grad_()
    torch.testing.assert_close(
        supervision(images, [TEXTS[0], ""]), supervision(images[:1], TEXTS[:1]), rtol=1e-5, atol=0
    )
    assert supervision(images, ["", " "]) == 0


class Owner(nn.Module):
    def __init__(self, text: TextSupervision) -> None:
        super().__init__()
        self.layer, self.text = nn.Linear(2, 3), text


def test_a_module_that_holds_it_does_not_see_the_clip(supervision: TextSupervision) -> None:
    owner = Owner(supervision).train().double()
    assert set(owner.state_dict()) == {"layer.weight", "layer.bias"}
    assert sum(p.numel() for p in owner.parameters()) == 9 and len(list(owner.modules())) == 2
    network = supervision.clip.network
    assert not network.training and network.logit_scale.dtype == torch.float32


def test_copies_and_pickles_hold_no_weights(supervision: TextSupervision) -> None:
    owner = Owner(supervision)
    assert deepcopy(owner).text.clip is supervision.clip
    assert len(pickle.dumps(owner)) < 10_000
    assert pickle.loads(pickle.dumps(owner)).text.clip is supervision.clip


def test_a_text_is_embedded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    supervision, calls = TextSupervision(width=TINY, seed=123), []  # of a seed that no other test has
    network, images = supervision.clip.network, normalise(smooth())
    encode = network.encode_text
    monkeypatch.setattr(network, "encode_text", lambda tokens: calls.append(len(tokens)) or encode(tokens))
    first = supervision(images, TEXTS)
    assert supervision(images, TEXTS) == first
    supervision(images, [TEXTS[0], TEXTS[0]])
    TextSupervision(width=TINY, seed=123, weight=2)(images, TEXTS)  # shares them
    assert calls == [1, 1]
    supervision(images, ["a cat.", "a cat."])
    assert calls == [1, 1, 1]


def test_embeddings_do_not_depend_on_what_was_embedded_before(supervision: TextSupervision) -> None:
    judge, cpu = supervision.clip, torch.device("cpu")
    texts = [f"a photo of {count} cars." for count in range(5)]
    together = judge.embed_texts(texts, cpu)
    judge._texts.clear()
    alone = torch.cat([judge.embed_texts([text], cpu) for text in reversed(texts)])
    assert torch.equal(together, alone.flip(0))


def test_what_is_remembered_is_bounded_to_the_latest(
    supervision: TextSupervision, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clip, "CACHED_TEXTS", 3)
    judge, cpu = supervision.clip, torch.device("cpu")
    every = judge.embed_texts(list("abcde"), cpu)  # more than fit are all returned
    assert every.shape[0] == 5 and [text for text, _ in judge._texts] == list("cde")
    judge.embed_texts(["c"], cpu)
    judge.embed_texts(["f"], cpu)
    assert [text for text, _ in judge._texts] == list("ecf")


def test_a_look_without_graphs_does_not_spoil_training() -> None:
    supervision, images = TextSupervision(width=TINY, seed=7), normalise(smooth(30, 70))
    with torch.inference_mode():
        supervision(images, TEXTS)
    supervision(images.requires_grad_(), TEXTS).backward()


def test_seed_decides_and_the_global_state_is_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    clip._load.cache_clear()
    first = TextSupervision(width=TINY).clip
    assert torch.equal(torch.rand(3), expected)
    clip._load.cache_clear()
    again, other = TextSupervision(width=TINY).clip, TextSupervision(width=TINY, seed=1).clip
    assert first is not again and again is TextSupervision(width=TINY).clip
    a, b, c = (judge.embed_texts(TEXTS, torch.device("cpu")) for judge in (first, again, other))
    assert torch.equal(a, b) and not torch.allclose(a, c)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".bin"])
def test_weights_of_a_file_give_the_same_embeddings(tmp_path: Path, suffix: str) -> None:
    drawn = TextSupervision(width=TINY, seed=9)
    file = tmp_path / f"clip{suffix}"
    weights = drawn.clip.network.state_dict()
    if suffix == ".safetensors":
        save_file(weights, file)
    else:  # as a training of open_clip saves it
        torch.save({"epoch": 1, "state_dict": {f"module.{k}": v for k, v in weights.items()}}, file)
    read = TextSupervision(pretrained=str(file), width=TINY)
    images, cpu = normalise(smooth()), torch.device("cpu")
    for embed in (
        lambda judge: judge.embed_texts(TEXTS, cpu),
        lambda judge: judge.embed_images(images, MEAN, STD),
    ):
        assert torch.equal(embed(drawn.clip), embed(read.clip))
    assert read.description == f"CLIP ViT-B-32, weights of clip{suffix}, width 0.05"
    assert drawn.description == "CLIP ViT-B-32, random weights, width 0.05"


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    file, embeddings = tmp_path / "clip.pt", []
    for seed in (1, 2):
        torch.save(TextSupervision(width=TINY, seed=seed).clip.network.state_dict(), file)
        judge = TextSupervision(pretrained=str(file), width=TINY).clip
        embeddings.append(judge.embed_texts(TEXTS, torch.device("cpu")))
    assert not torch.allclose(*embeddings)


class Malicious:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (Path("ran"),)


def test_a_pickle_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weights": Malicious()}, "clip.pt")
    with pytest.raises(DejavuError, match="clip.pt cannot be read as weights"):
        TextSupervision(pretrained="clip.pt", width=TINY)
    assert not Path("ran").exists()


def test_a_folder_of_open_clip_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`local-dir:` takes the way of `hf-hub:`, without the download."""
    settings = clip._scaled("ViT-B-32", open_clip.get_model_config("ViT-B-32"), TINY)
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny", settings)
    network, grey = TextSupervision(width=TINY).clip.network, {"mean": [0.5] * 3, "std": [0.5] * 3}
    config = {"model_cfg": settings, "preprocess_cfg": grey}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    save_file(network.state_dict(), tmp_path / "open_clip_model.safetensors")
    read = TextSupervision("tiny", f"local-dir:{tmp_path}").clip.network
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), read.parameters(), strict=True))
    assert read.visual.preprocess_cfg["mean"] == [0.5] * 3  # its own, not OpenAI's
    with pytest.raises(DejavuError, match="is not a ViT-B-32, name its architecture as text.model"):
        TextSupervision("ViT-B-32", f"local-dir:{tmp_path}")


def test_full_width_is_the_published_model() -> None:
    network = clip.architecture("ViT-B-32", device="meta")
    assert type(network) is open_clip.CLIP
    assert sum(p.numel() for p in network.parameters()) == 151_277_313  # open_clip/docs/model_profile.csv


@pytest.mark.parametrize("model", ["ViT-B-32", "ViT-B-16", "ViT-B-32-quickgelu"])
@pytest.mark.parametrize("width", [0.0625, 0.5])
def test_a_narrow_one_is_the_same_class_with_less_of_it(model: str, width: float) -> None:
    full, narrow = (clip.architecture(model, share, "meta") for share in (1, width))
    assert type(narrow) is type(full)
    assert narrow.visual.grid_size == full.visual.grid_size
    assert narrow.context_length == full.context_length and narrow.vocab_size == full.vocab_size
    counts = [sum(p.numel() for p in network.parameters()) for network in (narrow, full)]
    assert counts[0] < width * counts[1]
    assert abs(narrow.visual.conv1.out_channels / full.visual.conv1.out_channels - width) < 0.02
    assert [type(m) for m in narrow.visual.transformer.resblocks[0].modules()] == [
        type(m) for m in full.visual.transformer.resblocks[0].modules()
    ]


def test_prompts_name_classes_by_frequency(supervision: TextSupervision) -> None:
    labels = torch.tensor(
        [
            [[0, 0, 1], [2, 1, 0]],
            [[2, 2, 255], [255, 255, 255]],
            [[1, 0, 1], [0, 255, 255]],  # a tie goes by class id
            [[255, 255, 255], [255, 255, 255]],
        ]
    )
    assert supervision.prompts(labels) == [
        "a photo of a scene with road, car and person.",
        "a photo of a scene with person.",
        "a photo of a scene with road and car.",
        "",
    ]
    assert supervision.prompts(labels[:1], ignore_index=0) == ["a photo of a scene with car and person."]
    with pytest.raises(DejavuError, match="label 255 has no name"):
        supervision.prompts(labels, ignore_index=0)


def test_prompts_take_a_template_and_names_with_underscores() -> None:
    supervision = TextSupervision(width=TINY, template="{} in {{a}} kitchen", classes=["night_stand"])
    assert supervision.prompts(torch.zeros(1, 2, 2, dtype=torch.uint8)) == ["night stand in {{a}} kitchen"]


def test_longer_texts_than_clip_reads_are_cut_off(supervision: TextSupervision) -> None:
    long = "road " * 100
    images = normalise(smooth())
    assert supervision(images, [long, long]) == supervision(images, [long + "car", long + "dog"])


BAD_ARGUMENTS: dict[str, dict[str, Any]] = {
    "text.model: unknown architecture 'ViT-B32', did you mean 'ViT-B-32'": {"model": "ViT-B32"},
    "text.pretrained: 'openay' is neither .* did you mean 'openai'": {"pretrained": "openay"},
    "text.pretrained: nowhere.pt is missing": {"pretrained": "nowhere.pt"},
    "text.width must be 1 with the weights 'openai', not 0.5": {"pretrained": "openai", "width": 0.5},
    "text.width: RN50 exists at width 1 only": {"model": "RN50", "width": 0.5},
    "text.width must be a number above 0 and at most 1, not 2": {"width": 2},
    "text.weight must be a number of at least 0, not -1": {"weight": -1, "width": TINY},
    "text.template must hold {} once": {"template": "a photo", "width": TINY},
    "std must be three numbers above 0": {"std": (1, 0, 1), "width": TINY},
}


@pytest.mark.parametrize("message", BAD_ARGUMENTS)
def test_refuses_arguments_that_cannot_be_right(message: str) -> None:
    with pytest.raises(DejavuError, match=message.replace("{}", r"\{\}")):
        TextSupervision(**BAD_ARGUMENTS[message])


def test_refuses_weights_that_do_not_fit(tmp_path: Path) -> None:
    file = str(tmp_path / "clip.safetensors")
    save_file(TextSupervision(width=TINY).clip.network.state_dict(), file)
    with pytest.raises(DejavuError, match=r"clip.safetensors does not fit ViT-B-32 at width 0.25 \("):
        TextSupervision(pretrained=file, width=0.25)
    Path(file).write_bytes(b"nonsense")
    with pytest.raises(DejavuError, match="clip.safetensors cannot be read as weights"):
        TextSupervision(pretrained=file, width=TINY)
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(DejavuError, match="list.pt holds no weights"):
        TextSupervision(pretrained=str(tmp_path / "list.pt"), width=TINY)


def test_a_download_that_fails_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(open_clip.factory, "download_pretrained", fail)
    monkeypatch.setattr(open_clip.factory, "download_pretrained_from_hf", fail)
    for source in ("laion2b_s34b_b79k", "hf-hub:some/model"):
        with pytest.raises(DejavuError, match=f"{source}' could not be loaded .* name a weights file"):
            TextSupervision(pretrained=source)


def test_refuses_what_it_cannot_compare(supervision: TextSupervision) -> None:
    images = normalise(smooth())
    for bad, texts, message in (
        (images, TEXTS[:1], "1 texts for 2 images"),
        (images, "ab", "texts must be a list of strings"),
        (images, [1, 2], "texts must be a list of strings"),
        (images[0], TEXTS, r"images must be floating \(N, 3, H, W\)"),
        (smooth().permute(0, 3, 1, 2), TEXTS, "images must be floating .* not torch.uint8"),
    ):
        with pytest.raises(DejavuError, match=message):
            supervision(bad, texts)  # type: ignore[arg-type]
    with pytest.raises(DejavuError, match="text.classes is missing"):
        TextSupervision(width=TINY).prompts(torch.zeros(1, 2, 2, dtype=torch.long))
    for labels, message in (
        (torch.full((1, 2, 2), 3), "label 3 has no name: text.classes names 0 to 2, and 255 is ignored"),
        (torch.full((1, 2, 2), -1), "label -1 has no name"),
        (torch.zeros(2, 2, dtype=torch.long), "labels must be whole"),
        (torch.zeros(1, 2, 2), "labels must be whole"),
    ):
        with pytest.raises(DejavuError, match=message):
            supervision.prompts(labels)


def test_open_clip_leaves_the_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    handlers = list(logging.getLogger().handlers)
    clip._load.cache_clear()
    TextSupervision(width=TINY)
    assert not caplog.records and logging.getLogger().handlers == handlers
    assert logging.root.manager.disable == logging.NOTSET


def test_importing_it_does_not_import_open_clip(root: Path) -> None:
    for name in ("text", "frozen/clip", "perceptual", "frozen/network"):
        imports = [
            ast.unparse(node)
            for node in ast.parse((root / "dejavu" / "method" / f"{name}.py").read_text()).body
            if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        assert imports and not [line for line in imports if "open_clip" in line or "torchvision" in line]
