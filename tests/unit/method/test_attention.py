"""Shared attention: one map by hand for both uses, whom each use's gradient reaches, and what it costs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from dejavu import networks
from dejavu.errors import DejavuError
from dejavu.method.attention import Shared, SharedAttention, SharedRegeneration, attend
from dejavu.networks.cost import measure

C = 12  # channels of features


def build(**options: int) -> SharedAttention:
    """An attention that does something: its last projection is 0 at first."""
    torch.manual_seed(0)
    attention = SharedAttention(C, **options)
    with torch.no_grad():
        attention.out.weight.normal_()
        for projection in (attention.query, attention.key):
            projection.weight.mul_(15)  # a map that is far from uniform
    return attention


def map_of(shared: Shared) -> Tensor:
    """(N, heads, T, T): the attention map, written down."""
    scores = torch.einsum("nhtd,nhsd->nhts", shared.query, shared.key) / shared.query.shape[-1] ** 0.5
    return scores.exp() / scores.exp().sum(-1, keepdim=True)


def weighted(attention_map: Tensor, values: Tensor) -> Tensor:
    """Values (N, C, h, w), of which each head has its share of channels, under the map."""
    heads = values.unflatten(1, (attention_map.shape[1], -1)).flatten(3)  # (N, heads, v, T)
    return torch.einsum("nhts,nhvs->nhvt", attention_map, heads).reshape(values.shape)


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize(("dim", "value_dim", "channels"), [(8, 8, 24), (4, 8, 6), (8, 4, 60)])
def test_both_uses_share_one_map(heads: int, dim: int, value_dim: int, channels: int) -> None:
    attention = build(dim=dim, value_dim=value_dim, heads=heads, width=10).eval()
    regeneration = SharedRegeneration(channels, heads=heads)
    features, redacted = torch.randn(2, C, 6, 8), torch.randn(2, 3, 24, 32)
    with torch.no_grad():
        refined, shared = attention(features)
        regenerated = regeneration(redacted, shared)
        one = map_of(shared)
        pooled = features.unflatten(2, (3, 2)).unflatten(4, (4, 2)).mean((3, 5))
        context = weighted(one, attention.value(attention.reduce(pooled)))
        added = F.interpolate(attention.out(context), scale_factor=2, mode="bilinear", align_corners=False)
        patches = redacted.unflatten(2, (3, 8)).unflatten(4, (4, 8))  # (N, 3, h', s, w', s)
        folded = patches.permute(0, 1, 3, 5, 2, 4).flatten(1, 3)  # (N, 3 s^2, h', w')
        by_hand = weighted(one, regeneration.value(folded))
    assert shared.size == (3, 4)
    assert one.amax(-1).mean() > 2 / 12  # a uniform map would show nothing
    torch.testing.assert_close(refined, features + added)
    torch.testing.assert_close(regenerated, by_hand)


@pytest.mark.parametrize("dim", [4, 16])
def test_an_attention_on_itself_alone_gives_the_values_back(dim: int) -> None:
    """Orthogonal and long queries and keys: the map is the identity."""
    tokens = 50 * torch.eye(dim).expand(1, 1, dim, dim)
    value = torch.randn(1, 1, dim, 7)
    torch.testing.assert_close(attend(Shared(tokens, tokens, (1, dim)), value), value)


def test_regenerating_reaches_what_made_the_map_and_nothing_else() -> None:
    attention, regeneration = build(), SharedRegeneration()
    features = torch.randn(2, C, 8, 8, requires_grad=True)
    regeneration(torch.randn(2, 3, 32, 32), attention(features)[1]).square().sum().backward()
    reached = {name for name, p in attention.named_parameters() if p.grad is not None and p.grad.any()}
    assert reached == {"query.weight", "key.weight", "reduce.0.weight", "reduce.1.weight", "reduce.1.bias"}
    assert all(p.grad is not None and p.grad.any() for p in regeneration.parameters())
    assert features.grad is not None and features.grad.any()  # and so the backbone


def test_detached_the_map_is_the_same_and_learns_nothing() -> None:
    attention, regeneration = build().eval(), SharedRegeneration()
    redacted = torch.randn(2, 3, 32, 32)
    shared = attention(torch.randn(2, C, 8, 8))[1]
    detached = regeneration(redacted, shared.detach())
    assert torch.equal(detached, regeneration(redacted, shared))
    detached.sum().backward()
    assert all(p.grad is None for p in attention.parameters())


@pytest.mark.parametrize("size", [(1, 1), (33, 70), (64, 96), (61, 5)])
@pytest.mark.parametrize(("stride", "feature_stride"), [(8, 4), (4, 4), (12, 4), (16, 2)])
def test_any_size(size: tuple[int, int], stride: int, feature_stride: int) -> None:
    attention = build(stride=stride, feature_stride=feature_stride).eval()
    regeneration = SharedRegeneration(5, stride=stride)
    features = torch.randn(1, C, *(-(-side // feature_stride) for side in size))
    refined, shared = attention(features)
    cells = tuple(-(-side // stride) for side in size)
    assert refined.shape == features.shape and not torch.equal(refined, features)
    assert shared.size == cells and shared.query.shape[2] == cells[0] * cells[1]
    assert regeneration(torch.randn(1, 3, *size), shared).shape == (1, 5, *cells)


def test_the_networks_padding_is_cut_off() -> None:
    """The attention's grid of a padded image: the image alone gives what its continuation gives."""
    shared = build()(torch.randn(1, C, 16, 24))[1]  # stride 4 of 64 x 96
    regeneration = SharedRegeneration()
    image = torch.randn(1, 3, 33, 70)
    with torch.no_grad():
        whole = regeneration(F.pad(image, (0, 26, 0, 31), mode="replicate"), shared)
        alone = regeneration(image, shared)
    assert whole.shape[2:] == (8, 12) and alone.shape[2:] == (5, 9)
    assert torch.equal(alone, whole[..., :5, :9])


def test_starts_as_nothing_and_learns_everything_from_the_second_step_on() -> None:
    torch.manual_seed(0)
    attention = SharedAttention(C)
    features, wanted = torch.randn(2, C, 8, 8), torch.randn(2, C, 8, 8)
    optimizer = torch.optim.SGD(attention.parameters(), lr=0.1)
    for step in range(2):
        refined, _ = attention(features)
        assert torch.equal(refined, features) == (step == 0)
        optimizer.zero_grad()
        F.mse_loss(refined, wanted).backward()
        learns = {name for name, p in attention.named_parameters() if p.grad is not None and p.grad.any()}
        assert learns == ({"out.weight"} if step == 0 else {name for name, _ in attention.named_parameters()})
        optimizer.step()


@pytest.mark.parametrize("channels", [16, 32])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_map_is_never_written_down(channels: int, layout: torch.memory_format) -> None:
    """Only the fused kernel is allowed: it refuses what it cannot do, in place of falling back."""
    attention, regeneration = build(), SharedRegeneration(channels)
    features = torch.randn(2, C, 8, 8).to(memory_format=layout)
    redacted = torch.randn(2, 3, 32, 32).to(memory_format=layout)
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        refined, shared = attention(features)
        (refined.sum() + regeneration(redacted, shared).square().sum()).backward()


def test_the_cost_by_hand() -> None:
    """Both products of the attention are counted, 2 T^2 d, beside the convolutions."""
    height, width, heads, dim, reduced = 16, 24, 2, 4, 10
    cells = height // 2 * width // 2

    class OnFeatures(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = SharedAttention(3, dim=dim, heads=heads, width=reduced)

        def forward(self, features: Tensor) -> Tensor:
            return self.attention(features)[0]

    expected = cells * (9 * 3 * reduced + 3 * reduced * heads * dim + heads * dim * 3)
    expected += 2 * cells**2 * heads * dim
    for device in ("meta", "cpu"):
        assert measure(OnFeatures, (height, width), device).gmacs == pytest.approx(expected / 1e9), device


def test_the_wrapper_gets_the_map_of_its_own_network() -> None:
    """Through HRNet, odd sides and all: the sizes fit, and the regenerating half alone teaches the map."""
    network = networks.build("hrnet", 5, width=0.25, attention=True, attention_heads=2).train()
    assert isinstance(network.attention, SharedAttention)
    regeneration = SharedRegeneration(8, stride=network.attention.stride, heads=network.attention.heads)
    images = torch.randn(2, 3, 33, 70)
    regeneration(images, network(images)["attention"]).square().sum().backward()
    reached = {name for name, p in network.named_parameters() if p.grad is not None and p.grad.any()}
    assert {"attention.query.weight", "attention.key.weight", "backbone.conv1.weight"} <= reached
    assert not any(name.startswith(("head.", "attention.value", "attention.out")) for name in reached)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: SharedAttention(C, heads=0), "attention: heads must be .* at least 1"),
        (lambda: SharedAttention(C, stride=6), "attention_stride: must be a multiple of 4, not 6"),
        (lambda: SharedRegeneration(0), "shared attention: channels must be .* at least 1"),
        (lambda: SharedRegeneration(16, heads=3), "multiple of the 3 heads, not 16"),
        (lambda: _regenerate(torch.zeros(2, 1, 32, 32)), "3 channels"),
        (lambda: _regenerate(torch.zeros(1, 3, 32, 32)), "1 images and 1 heads, not 2 and 1"),
        (lambda: _regenerate(torch.zeros(2, 3, 32, 33)), "4 x 4 cells, too few at stride 8 .* 32 x 33"),
    ],
)
def test_what_cannot_be_right_is_named(call, expected: str) -> None:
    with pytest.raises(DejavuError, match=expected):
        call()


def _regenerate(redacted: Tensor) -> Tensor:
    return SharedRegeneration()(redacted, build()(torch.randn(2, C, 8, 8))[1])
