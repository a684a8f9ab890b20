"""ViT-Adapter: published sizes, BEiT as timm has it, relative positions at other grids, layers.

The properties of every network are in test_networks.py.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from timm.models.beit import Beit
from torch import Tensor, nn

from dejavu import networks
from dejavu.errors import DejavuError
from dejavu.networks.backbones.beit import GridBeit, RelativePositions, load_beit, position_index
from dejavu.networks.backbones.vit_adapter import BeitAdapter
from dejavu.networks.cost import measure

HEADS, BLOCKS, SIDE = 2, 4, 64  # of a small BEiT: heads, blocks, pixels a side


def test_it_has_the_published_size() -> None:
    """568 and 571 M in the authors' tables; 1089 GMACs in DejaVu's, which is an image of 512x512."""
    cost = measure(lambda: networks.build("vit_adapter", 19), (512, 512))
    assert cost.params_m == pytest.approx(570.4, abs=0.05)
    assert cost.gmacs == pytest.approx(1087.4, abs=0.2)
    with torch.device("meta"):
        smaller = networks.build("vit_adapter", 19, image_size=640)
    assert sum(p.numel() for p in smaller.parameters()) / 1e6 == pytest.approx(568.1, abs=0.05)


def timms(image: int = SIDE) -> Beit:
    """timm's classifier of the same size, whose tables and scales are not those that it starts with."""
    torch.manual_seed(0)
    model = Beit(
        img_size=image,
        patch_size=16,
        embed_dim=64 * HEADS,
        depth=BLOCKS,
        num_heads=HEADS,
        num_classes=5,
        init_values=1e-6,
        use_abs_pos_emb=False,
        use_rel_pos_bias=True,
    ).eval()
    for name, parameter in model.named_parameters():
        if name.endswith(("bias_table", "gamma_1", "gamma_2", "q_bias", "v_bias")):
            nn.init.normal_(parameter, std=0.5)
    return model


def ours(image: int = SIDE) -> GridBeit:
    return GridBeit(image, HEADS, BLOCKS, 0.0).eval()


def shown(model: GridBeit, images: Tensor) -> Tensor:
    """Class token and patches after all blocks."""
    patches, grid = model.tokens(images)
    tokens = torch.cat([model.cls_token.expand(len(images), -1, -1), patches], 1)
    for number in range(BLOCKS):
        tokens = model.block(number, tokens, position_index(grid, images), grid)
    return tokens


@pytest.mark.parametrize("old", [False, True], ids=["timm's file", "with indices, as older releases"])
def test_with_timms_weights_it_is_timms_network(old: bool, tmp_path: Path) -> None:
    classifier, model = timms(), ours()
    weights = classifier.state_dict()
    if old:
        weights |= {"blocks.0.attn.relative_position_index": torch.zeros(17, 17, dtype=torch.long)}
    save_file(weights, path := str(tmp_path / "beit.safetensors"))
    load_beit(model, path)
    images = torch.randn(2, 3, SIDE, SIDE)
    with torch.no_grad():
        expected = classifier.forward_intermediates(
            images, indices=[BLOCKS - 1], intermediates_only=True, output_fmt="NLC"
        )
        assert torch.equal(shown(model, images)[:, 1:], expected[0])
    assert model.pretrained_sha256


def test_tables_are_resized_by_beits_rule(tmp_path: Path) -> None:
    """From a grid of 4 to one of 5: the distances 1, 2, 3 become 1, 1 + q, 1 + q + q^2 = 4; linear."""
    classifier, model = timms(), ours(80)
    save_file(classifier.state_dict(), path := str(tmp_path / "beit.safetensors"))
    load_beit(model, path)
    q = (13**0.5 - 1) / 2
    known, wanted = np.array([-4, -1 - q, -1, 0, 1, 1 + q, 4]), np.arange(-4, 5)
    for number, positions in enumerate(model.positions):
        given = classifier.blocks[number].attn.relative_position_bias_table.detach().numpy()
        resized = positions.bias_table.detach().numpy()
        np.testing.assert_array_equal(resized[-3:], given[-3:])
        for head in range(HEADS):
            rows = [np.interp(wanted, known, row) for row in given[:-3, head].reshape(7, 7)]
            table = np.stack([np.interp(wanted, known, column) for column in np.transpose(rows)], 1)
            np.testing.assert_allclose(resized[:-3, head].reshape(9, 9), table, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda weights: weights.pop("blocks.1.attn.relative_position_bias_table"), "lacks 1 of"),
        (lambda weights: weights.pop("patch_embed.proj.weight"), "lacks 1 of"),
        (lambda weights: weights.update({"blocks.9.norm1.weight": torch.zeros(3)}), "1 others"),
        (lambda weights: weights.update({"cls_token": torch.zeros(1, 1, 3)}), "needs width 1"),
        (
            lambda weights: weights.update({"blocks.0.attn.relative_position_bias_table": torch.zeros(9, 2)}),
            "needs width 1",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused(change, expected: str, tmp_path: Path) -> None:
    weights = timms().state_dict()
    change(weights)
    save_file(weights, path := str(tmp_path / "beit.safetensors"))
    with pytest.raises(DejavuError, match=expected):
        load_beit(ours(), path)


def test_images_are_of_whole_patches() -> None:
    with pytest.raises(DejavuError, match=r"network\.image_size must be a multiple of 16, not 100"):
        networks.build("vit_adapter", 3, 0.1, 0.1, image_size=100)


def positions(side: int) -> RelativePositions:
    torch.manual_seed(1)
    module = RelativePositions(side, HEADS)
    nn.init.normal_(module.bias_table)
    return module


def bias(module: RelativePositions, grid: tuple[int, int]) -> Tensor:
    """(heads, 1 + h * w, 1 + h * w)"""
    return module(position_index(grid, module.bias_table), grid)[0]


def test_a_larger_grid_stretches_the_table_as_transformers_does() -> None:
    from transformers import BeitConfig
    from transformers.models.beit.modeling_beit import BeitRelativePositionBias

    module = positions(4)
    theirs = BeitRelativePositionBias(BeitConfig(num_attention_heads=HEADS, image_size=64, patch_size=16))
    theirs.relative_position_bias_table.data = module.bias_table.data
    with torch.no_grad():
        torch.testing.assert_close(bias(module, (6, 6)), theirs((6, 6))[0])


@pytest.mark.parametrize("grid", [(2, 6), (3, 2), (5, 4)])
def test_other_grids_keep_the_order_of_directions(grid: tuple[int, int]) -> None:
    """A table that rises to the right and downwards does so at any grid, and its middle stays."""
    module = positions(4)
    steps = torch.arange(-3.0, 4)
    for head, table in enumerate((steps.expand(7, 7), steps[:, None].expand(7, 7))):
        module.bias_table.data[:-3, head] = table.flatten()
    found = bias(module, grid)[:, 1:, 1:].unflatten(2, grid).unflatten(1, grid)  # head, from, to
    rightwards, downwards = found.detach()
    assert rightwards[0, 0].diff(dim=0).abs().max() < 1e-5 and (rightwards[0, 0].diff(dim=1) < 0).all()
    assert downwards[0, 0].diff(dim=1).abs().max() < 1e-5 and (downwards[0, 0].diff(dim=0) < 0).all()
    assert found[:, 0, 0, 0, 0].abs().max() < 1e-5


@pytest.mark.parametrize("grid", [(2, 2), (2, 4), (4, 4), (7, 3)])
def test_every_entry_learns_at_every_grid(grid: tuple[int, int]) -> None:
    """A smaller grid averages entries: those between the ones that it shows would stay as they began."""
    module = positions(4)
    bias(module, grid).square().sum().backward()
    assert module.bias_table.grad.abs().gt(0).all()


def test_the_adapter_leaves_beit_alone_where_it_injects_nothing() -> None:
    """And what the patches are changes the pyramid."""
    beit = ours()
    for name, value in beit.state_dict().items():
        if name.endswith(("gamma_1", "gamma_2")):
            value.fill_(0.5)
    adapter = BeitAdapter(beit, 8, 0.0).eval()
    images = torch.randn(1, 3, SIDE, SIDE)
    cells = torch.randn(1, 8 * 8 + 4 * 4 + 2 * 2, 64 * HEADS)
    sizes = [(8, 8), (4, 4), (2, 2)]
    with torch.no_grad():
        for injector in adapter.injectors:
            injector.gamma.zero_()
        pyramid, stages = adapter._interact(images, cells, sizes)
        expected = shown(beit, images)[:, 1:]
        torch.testing.assert_close(stages[-1].flatten(2).transpose(1, 2), expected)
        other, _ = adapter._interact(images + 1, cells, sizes)
        assert not torch.allclose(pyramid, other)
        adapter.injectors[0].gamma.fill_(0.5)
        _, moved = adapter._interact(images, cells, sizes)
        assert not any(map(torch.allclose, stages, moved))


def test_layers_are_those_of_the_published_decay() -> None:
    """The public code has 26 steps: the embedding and what predicts, 24 blocks, and all else."""
    with torch.device("meta"):
        network = networks.build("vit_adapter", 19)
    names = {parameter: name for name, parameter in network.named_parameters()}
    layers = [{names[parameter] for parameter in layer} for layer in network.decayed_layers()]
    assert len(layers) == 25
    encoder = "model.model.pixel_level_module.encoder.beit"
    for number, layer in enumerate(layers[1:]):
        own = (f"{encoder}.blocks.{number}.", f"{encoder}.positions.{number}.")
        assert all(name.startswith(own) for name in layer) and len(layer) == 16
    decoder = "model.model.transformer_module"
    slow = (
        f"{encoder}.patch_embed.",
        f"{encoder}.cls_token",
        f"{decoder}.queries_features.",
        f"{decoder}.queries_embedder.",
        f"{decoder}.level_embed.",
        f"{decoder}.decoder.mask_predictor.mask_embedder.",
        "model.class_predictor.",
    )
    assert layers[0] == {name for name in names.values() if name.startswith(slow)} and len(layers[0]) == 14
