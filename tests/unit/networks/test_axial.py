"""Axial attention and the dual-path layer against loops over positions, and what must not change them."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from dejavu.networks.layers.axial import HEADS, SPAN, AxialAttention, AxialAttention2d, positions
from dejavu.networks.layers.dual_path import DualPath, SlotAttention

CHANNELS, KEYS, VALUES = 5, 16, 24
every_mode = pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])


def shaken(module: nn.Module) -> nn.Module:
    """All parameters and statistics are random, so that nothing is left out by a zero or a one."""
    torch.manual_seed(1)
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        if value.is_floating_point():
            value.data.uniform_(0.5, 1.5) if name.endswith(("weight", "var")) and value.ndim == 1 else (
                value.data.normal_(0, 0.5)
            )
    return module


def normed(x: Tensor, norm: nn.Module, training: bool) -> Tensor:
    """BatchNorm of (N, C, ...) by its definition."""
    rest = [axis for axis in range(x.ndim) if axis != 1]
    shape = [1, -1, *[1] * (x.ndim - 2)]
    mean, variance = norm.running_mean, norm.running_var
    if training:
        mean, variance = x.mean(rest), x.var(rest, unbiased=False)
    x = (x - mean.view(shape)) / (variance.view(shape) + norm.eps).sqrt()
    return x * norm.weight.view(shape) + norm.bias.view(shape)


def softmax(row: list[Tensor]) -> list[Tensor]:
    exponentials = [torch.exp(value - max(row)) for value in row]
    return [value / sum(exponentials) for value in exponentials]


def slow_axial(layer: AxialAttention, x: Tensor, training: bool) -> Tensor:
    """One query, key and head at a time."""
    count, _, length, lines = x.shape
    projected = torch.einsum("dc,nclw->ndlw", layer.project.weight[:, :, 0, 0], x)
    projected = normed(projected, layer.project_norm, training)
    key_depth, value_depth = KEYS // HEADS, VALUES // HEADS
    logits = torch.zeros(count, lines, 3 * HEADS, length, length)
    everything = list(itertools.product(range(count), range(lines), range(HEADS), range(length)))
    for n, w, head, i in everything:
        query = projected[n, head * key_depth : (head + 1) * key_depth, i, w]
        for j in range(length):
            key = projected[n, KEYS + head * key_depth : KEYS + (head + 1) * key_depth, j, w]
            row = j - i + SPAN - 1
            terms = query @ key, query @ layer.query_table[row], key @ layer.key_table[row]
            for term, value in enumerate(terms):
                logits[n, w, term * HEADS + head, i, j] = value
    logits = normed(logits.flatten(0, 1), layer.logit_norm, training).view_as(logits)
    out = torch.zeros(count, lines, 2 * VALUES, length)
    for n, w, head, i in everything:
        summed = [sum(logits[n, w, term * HEADS + head, i, j] for term in range(3)) for j in range(length)]
        first = head * value_depth
        for j, weight in enumerate(softmax(summed)):
            value = projected[n, 2 * KEYS + first : 2 * KEYS + first + value_depth, j, w]
            out[n, w, first : first + value_depth, i] += weight * value
            position = layer.value_table[j - i + SPAN - 1]
            out[n, w, VALUES + first : VALUES + first + value_depth, i] += weight * position
    out = normed(out.flatten(0, 1), layer.value_norm, training).view_as(out)
    return (out[:, :, :VALUES] + out[:, :, VALUES:]).permute(0, 2, 3, 1)


@every_mode
@torch.no_grad()
def test_axial_attention_is_its_definition(training: bool) -> None:
    layer = shaken(AxialAttention(CHANNELS, KEYS, VALUES)).train(training)
    x = torch.randn(2, CHANNELS, 3, 2)
    expected = slow_axial(layer, x, training)
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-4)
    assert expected.std() > 0.1


@torch.no_grad()
def test_both_axes_are_the_height_and_then_the_width() -> None:
    layer = shaken(AxialAttention2d(CHANNELS, KEYS, VALUES)).eval()
    x = torch.randn(1, CHANNELS, 3, 2)
    columns = slow_axial(layer.height, x, False)
    rows = slow_axial(layer.width, columns.transpose(2, 3), False).transpose(2, 3)
    torch.testing.assert_close(layer(x), rows, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_columns_do_not_see_one_another() -> None:
    layer = shaken(AxialAttention(CHANNELS, KEYS, VALUES)).eval()
    x = torch.randn(2, CHANNELS, 6, 4)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(layer(x[..., order]), layer(x)[..., order])
    changed = x.clone()
    changed[..., 0] += 1
    torch.testing.assert_close(layer(changed)[..., 1:], layer(x)[..., 1:])
    assert not torch.allclose(layer(changed)[..., 0], layer(x)[..., 0])


@torch.no_grad()
def test_order_matters_along_the_axis_through_the_tables_alone() -> None:
    layer = shaken(AxialAttention(CHANNELS, KEYS, VALUES)).eval()
    x = torch.randn(1, CHANNELS, 5, 2)
    order = torch.tensor([3, 1, 4, 0, 2])
    assert not torch.allclose(layer(x[:, :, order]), layer(x)[:, :, order], atol=1e-3)
    upside_down = layer(x.flip(2))
    for table in (layer.query_table, layer.key_table, layer.value_table):
        table.copy_(table.flip(0))
    torch.testing.assert_close(upside_down, layer(x).flip(2))  # a mirrored axis is a mirrored table
    for table in (layer.query_table, layer.key_table, layer.value_table):
        table.copy_(table[:1].expand_as(table))
    torch.testing.assert_close(layer(x[:, :, order]), layer(x)[:, :, order])


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (9, 2)])
def test_any_size_is_kept(size: tuple[int, int]) -> None:
    layer = AxialAttention2d(CHANNELS, KEYS, VALUES).eval()
    assert layer(torch.randn(2, CHANNELS, *size)).shape == (2, VALUES, *size)


def test_positions_beyond_the_tables_share_the_outermost() -> None:
    rows = positions(SPAN + 3)
    assert rows[0, 0] == SPAN - 1 and rows[0, 5] == SPAN + 4 and rows[5, 0] == SPAN - 6
    assert rows.min() == 0 and rows.max() == 2 * SPAN - 2
    assert (rows[0, SPAN - 1 :] == 2 * SPAN - 2).all() and (rows[SPAN - 1 :, 0] == 0).all()


MEMORY, PIXELS, FILTERS, HIDDEN = 7, 6, 8, 12


def dual() -> DualPath:
    return shaken(DualPath(PIXELS, MEMORY, FILTERS, HIDDEN))


def slow_attention(layer: SlotAttention, q: Tensor, k: Tensor, v: Tensor, training: bool) -> Tensor:
    """Attention of (N, K, L) to (N, K, M) and (N, V, M), one query, key and head at a time."""
    count, _, length = q.shape
    depth, values = q.shape[1] // HEADS, v.shape[1] // HEADS
    logits = torch.zeros(count, HEADS, length, k.shape[2])
    for n, head, i, j in itertools.product(range(count), range(HEADS), range(length), range(k.shape[2])):
        part = slice(head * depth, (head + 1) * depth)
        logits[n, head, i, j] = q[n, part, i] @ k[n, part, j]
    logits = normed(logits, layer.logit_norm, training)
    out = torch.zeros(count, v.shape[1], length)
    for n, head, i in itertools.product(range(count), range(HEADS), range(length)):
        part = slice(head * values, (head + 1) * values)
        for j, weight in enumerate(softmax(list(logits[n, head, i]))):
            out[n, part, i] += weight * v[n, part, j]
    return normed(out, layer.value_norm, training).relu()


def slow_dual(layer: DualPath, pixels: Tensor, memory: Tensor, training: bool) -> tuple[Tensor, Tensor]:
    """The layer in the order of its paper's figure, on flat pixels."""

    def linear(branch: nn.Module, x: Tensor) -> Tensor:
        return normed(torch.einsum("dc,ncl->ndl", branch.conv.weight[:, :, 0], x), branch.norm, training)

    flat = pixels.flatten(2)
    m = linear(layer.memory_project, linear(layer.memory_in, memory).relu())
    p = linear(layer.pixel_project, linear(layer.pixel_in, flat.relu()).relu())
    (mq, mk, mv), (pq, pk, pv) = m.split(layer.sizes, 1), p.split(layer.sizes, 1)
    attended = slow_attention(
        layer.memory_attention, mq, torch.cat([pk, mk], 2), torch.cat([pv, mv], 2), training
    )
    memory = (memory + linear(layer.memory_out, attended)).relu()
    memory = (memory + linear(layer.hidden_out, linear(layer.hidden, memory).relu())).relu()
    to_memory = slow_attention(layer.pixel_attention, pq, mk, mv, training)
    return (flat + linear(layer.pixel_out, to_memory)).view_as(pixels), memory


@every_mode
@torch.no_grad()
def test_the_dual_path_layer_is_its_definition(training: bool) -> None:
    """In evaluation mode through torch's fused attention."""
    layer, pixels, memory = dual().train(training), torch.randn(2, PIXELS, 3, 2), torch.randn(2, MEMORY, 4)
    expected = slow_dual(layer, pixels, memory, training)
    for found, other in zip(layer(pixels, memory), expected, strict=True):
        torch.testing.assert_close(found, other, rtol=1e-4, atol=1e-4)


@every_mode
@torch.no_grad()
def test_slots_and_pixels_have_no_order(training: bool) -> None:
    layer, pixels, memory = dual().train(training), torch.randn(2, PIXELS, 3, 4), torch.randn(2, MEMORY, 5)
    after, slots = layer(pixels, memory)
    order = torch.tensor([4, 2, 0, 1, 3])
    for found, expected in zip(layer(pixels, memory[..., order]), (after, slots[..., order]), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    flipped = layer(pixels.flip(2, 3), memory)
    for found, expected in zip(flipped, (after.flip(2, 3), slots), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_pixels_attend_the_memory_as_it_was() -> None:
    """What the layer does to the memory does not reach its pixels."""
    layer, pixels, memory = dual().eval(), torch.randn(1, PIXELS, 3, 4), torch.randn(1, MEMORY, 5)
    before = layer(pixels, memory)
    layer.hidden_out.norm.weight.mul_(3)
    after = layer(pixels, memory)
    assert torch.equal(before[0], after[0]) and not torch.allclose(before[1], after[1])


@torch.no_grad()
def test_the_dual_path_layer_begins_as_its_shortcuts() -> None:
    layer = DualPath(PIXELS, MEMORY, FILTERS, HIDDEN).train()
    pixels, memory = torch.randn(2, PIXELS, 3, 4), torch.randn(2, MEMORY, 5)
    after, slots = layer(pixels, memory)
    assert torch.equal(after, pixels) and torch.equal(slots, memory.relu())


@torch.no_grad()
def test_branches_are_dropped_for_images_in_training_alone() -> None:
    layer = shaken(DualPath(PIXELS, MEMORY, FILTERS, HIDDEN, drop=0.5))
    pixels, memory = torch.randn(64, PIXELS, 2, 2), torch.randn(64, MEMORY, 3)
    after, _ = layer.train()(pixels, memory)
    kept = (after != pixels).flatten(1).any(1)
    assert 10 < kept.sum() < 54
    after, _ = layer.eval()(pixels, memory)
    assert (after != pixels).flatten(1).any(1).all()
