"""K-Net: its published size, and its layers, matching and losses against slow code from their definitions.

The properties of every network are in test_networks.py.
"""

from __future__ import annotations

import math
from itertools import permutations
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dejavu import networks
from dejavu.networks.cost import measure
from dejavu.networks.knet import class_logits
from dejavu.networks.layers.kernel_losses import (
    Owners,
    Truth,
    class_loss,
    mask_loss,
    match,
    matching_cost,
    segmentation_loss,
    truths,
    with_stuff,
)
from dejavu.networks.layers.kernels import KernelHead, KernelUpdate, PixelFeatures, gathered
from dejavu.tasks.predictions import Queries
from dejavu.tasks.segments import CROWD, VOID

K, THINGS = 7, 4
CLASSES, MASKS = "class_queries_logits", "masks_queries_logits"


def build(**options: Any) -> nn.Module:
    torch.manual_seed(0)
    return networks.build("knet", K, **({"width": 0.25, "depth": 0.5, "things": THINGS} | options))


def maps(side: int = 64) -> Tensor:
    """Codes of two images: squares of things and stuff, a crowd, and a stripe of void."""
    torch.manual_seed(1)
    kinds = torch.randint(0, K, (2, 4, 4))
    codes = kinds * 256 + torch.where(kinds < THINGS, torch.randint(0, 2, (2, 4, 4)), 0)
    codes = codes.repeat_interleave(side // 4, 1).repeat_interleave(side // 4, 2)
    codes[:, :, : side // 8] = VOID
    codes[0, side // 2 : side // 2 + 8, :8] = 3 * 256 + CROWD
    return codes


def test_has_the_published_size() -> None:
    """208.8 M parameters; the skeleton of the public code that was counted for 800x1344 has 882.7 GMACs."""
    cost = measure(lambda: networks.build("knet", 133), (800, 1344))
    assert cost.params_m == pytest.approx(208.78, abs=0.005)
    assert cost.gmacs == pytest.approx(882.7, abs=0.05)


@pytest.mark.parametrize(("classes", "things"), [(133, 80), (7, 6), (1, 1)])
def test_things_come_first_and_leave_a_class_of_stuff(classes: int, things: int) -> None:
    network = networks.build("knet", classes, 0.25, 0.25)
    assert (network.things, network.queries) == (things, 25)
    assert network.allowed.shape == (25 + classes - things, classes)
    assert network.allowed[:25].sum() == 25 * things
    assert torch.equal(network.allowed[25:].int().argmax(1), torch.arange(things, classes))
    with torch.no_grad():
        prediction = network.eval()(torch.randn(1, 3, 32, 32))
    assert prediction[CLASSES].shape == (1, len(network.allowed), classes + 1)


class TestLayers:
    def test_features_under_a_mask_are_a_sum_over_its_pixels(self) -> None:
        masks, features = torch.randn(2, 3, 4, 5), torch.randn(2, 6, 4, 5)
        result = gathered(masks, features)
        for image in range(2):
            for query in range(3):
                expected = torch.zeros(6)
                for y in range(4):
                    for x in range(5):
                        if masks[image, query, y, x].sigmoid() > 0.5:
                            expected += features[image, :, y, x]
                torch.testing.assert_close(result[image, query], expected)

    def test_an_update_is_the_papers_equations(self) -> None:
        """Zhang et al., section 3.2: gates of the product, and a sum of both sides behind them."""
        torch.manual_seed(2)
        update, pixels, kernels = KernelUpdate(32), torch.randn(1, 3, 32) * 50, torch.randn(1, 3, 32)

        def normed(x: Tensor) -> Tensor:
            return (x - x.mean()) / (x.var(unbiased=False) + 1e-5).sqrt()

        for query in range(3):
            pair = pixels[0, query], kernels[0, query]
            sides = [
                layer.weight @ side + layer.bias
                for layer, side in zip((update.of_pixels, update.of_kernel), pair, strict=True)
            ]
            product = sides[0][:32] * sides[1][:32]
            gates = [
                normed(gate[0].weight @ product + gate[0].bias).sigmoid()
                for gate in (update.pixels_gate, update.kernel_gate)
            ]
            mixed = gates[0] * normed(sides[0][32:]) + gates[1] * normed(sides[1][32:])
            expected = normed(update.out[0].weight @ mixed + update.out[0].bias).relu()
            torch.testing.assert_close(update(pixels, kernels)[0, query], expected, rtol=1e-4, atol=1e-5)

    def test_the_head_appends_the_kernels_of_stuff(self) -> None:
        head, things, stuff = KernelHead(16, 5, K, THINGS), torch.randn(2, 16, 4, 6), torch.randn(2, 16, 4, 6)
        result = head(things, stuff)
        assert result.kernels.shape == (2, 5 + K - THINGS, 16) and result.masks.shape == (2, 8, 4, 6)
        assert torch.equal(result.masks[:, 5:], result.classes[:, THINGS:])
        weights = head.classes.weight[THINGS:, :, 0, 0]
        assert all(torch.equal(image[5:], weights) for image in result.kernels)
        learnt = head.instances.weight[:, :, 0, 0]
        expected = learnt + gathered(result.masks[:, :5], result.features)
        torch.testing.assert_close(result.kernels[:, :5], expected)
        assert torch.equal(result.features, things + stuff)

    def test_pixel_features_lie_at_stride_8_and_know_positions(self) -> None:
        pixels = PixelFeatures(32)
        even = [torch.ones(1, 32, 32 // stride, 48 // stride) for stride in (1, 2, 4, 8)]
        for branch in pixels(even):
            assert branch.shape == (1, 32, 16, 24)
        with torch.no_grad():
            one, other = pixels(even), pixels([*even[:3], 0 * even[3]])
        assert not any(map(torch.equal, one, other))
        convs = [module.weight for module in pixels.modules() if isinstance(module, nn.Conv2d)]
        assert len(convs) == 1 + 1 + 2 + 3 + 4
        assert all(weight.std().item() == pytest.approx(0.01, rel=0.1) for weight in convs)


class TestScores:
    def test_logits_come_back_from_log_scores(self) -> None:
        network, logits = build(), torch.linspace(-30, 60, 28 * K).reshape(1, 28, K)
        scores = network.log_scores(logits)
        allowed = network.allowed
        torch.testing.assert_close(class_logits(scores)[0, allowed], logits[0, allowed], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(scores[0, :, :-1].exp()[allowed], logits[0].sigmoid()[allowed])
        assert (scores[0, :, :-1].exp()[~allowed] == 0).all() and scores.isfinite().all()

    def test_a_score_and_what_is_left_of_1(self) -> None:
        """The softmax of log scores is the scores themselves, where they sum to less than 1."""
        scores = build().log_scores(torch.full((1, 28, K), -3.0))
        p = 1 / (1 + math.e**3)
        expected = torch.tensor([p] * THINGS + [0.0] * (K - THINGS) + [1 - THINGS * p])
        torch.testing.assert_close(scores.softmax(-1)[0, 0], expected)


def random_truth(things: int, kinds: list[int], size: tuple[int, int], seed: int = 3) -> Truth:
    torch.manual_seed(seed)
    soft = torch.randint(0, 5, (things + len(kinds), *size)) / 4
    return Truth(
        soft[:things], torch.randint(0, THINGS, (things,)), soft[things:], torch.tensor(kinds).long()
    )


def dice(p: Tensor, t: Tensor) -> Tensor:
    return 2 * (p * t).sum() / ((p * p).sum() + 0.001 + (t * t).sum() + 0.001)


def focal(p: Tensor, positive: bool) -> Tensor:
    """Lin et al., ICCV 2017, alpha 0.25 and gamma 2."""
    return -0.25 * (1 - p) ** 2 * p.log() if positive else -0.75 * p**2 * (1 - p).log()


class TestTruth:
    def test_segments_are_split_and_resized_bilinearly(self) -> None:
        codes = maps()
        codes[1, 40:44, 40:44] = 6 * 256 + 1  # a second segment of a class of stuff joins the first
        for image, truth in zip(codes, truths(codes, 255, THINGS, (16, 16)), strict=True):
            values = sorted({v for v in image.unique().tolist() if v != VOID and v % 256 != CROWD})
            things = [v for v in values if v // 256 < THINGS]
            kinds = sorted({v // 256 for v in values} - set(range(THINGS)))
            assert truth.labels.tolist() == [v // 256 for v in things]
            assert truth.kinds.tolist() == [kind - THINGS for kind in kinds]
            masks = [image == v for v in things] + [image // 256 == kind for kind in kinds]
            for mask, result in zip(masks, [*truth.things, *truth.stuff], strict=True):
                middle = mask.float().reshape(16, 4, 16, 4)[:, 1:3, :, 1:3].mean((1, 3))
                torch.testing.assert_close(result, middle)

    def test_void_crowds_and_an_ignored_class_are_no_segments(self) -> None:
        codes = torch.full((1, 16, 16), VOID)
        codes[:, :4], codes[:, 4:8] = 256 + CROWD, 2 * 256
        (truth,) = truths(codes, 2, THINGS, (4, 4))
        assert [len(values) for values in truth] == [0, 0, 0, 0] and truth.things.shape == (0, 4, 4)


class TestMatching:
    @pytest.mark.parametrize("scored", [True, False])
    def test_costs_are_those_of_the_definition(self, scored: bool) -> None:
        truth = random_truth(3, [0], (4, 5))
        masks, scores = torch.randn(6, 4, 5), torch.randn(6, THINGS)
        cost = matching_cost(masks, scores if scored else None, truth)
        for query in range(6):
            for number in range(3):
                p, t = masks[query].sigmoid(), truth.things[number]
                agreement = (p * t + (1 - p) * (1 - t)).mean()
                expected = -4 * dice(p, t) - agreement
                if scored:
                    score = scores[query, truth.labels[number]].sigmoid()
                    expected = expected + 2 * (focal(score, True) - focal(score, False))
                torch.testing.assert_close(cost[query, number], expected)

    @pytest.mark.parametrize("objects", [0, 1, 3, 5])
    def test_the_cheapest_of_all_assignments_wins(self, objects: int) -> None:
        """With more objects than kernels some objects have none."""
        truth, masks, scores = (
            random_truth(objects, [1], (4, 5)),
            torch.randn(4, 4, 5),
            torch.randn(4, THINGS),
        )
        cost, owners = matching_cost(masks, scores, truth), match(masks, scores, truth)
        assert owners.kernels.tolist() == sorted(set(owners.kernels.tolist()))
        assert len(owners.kernels) == min(objects, 4)
        small = cost if objects <= 4 else cost.T
        every = permutations(range(len(small)), small.shape[1])
        best = min(sum(small[row, number].item() for number, row in enumerate(rows)) for rows in every)
        result = 0.0
        for kernel, mask, label in zip(*owners, strict=True):
            number = next(n for n in range(objects) if torch.equal(truth.things[n], mask))
            assert label == truth.labels[number]
            result += cost[kernel, number].item()
        assert result == pytest.approx(best, rel=1e-5)

    def test_stuff_has_its_own_kernels(self) -> None:
        truth = random_truth(1, [0, 2], (4, 5))
        owners = with_stuff(match(torch.randn(5, 4, 5), None, truth), truth, 5, THINGS)
        assert owners.kernels[1:].tolist() == [5, 7] and owners.labels[1:].tolist() == [4, 6]
        assert torch.equal(owners.masks[1:], truth.stuff)


class TestLosses:
    """A batch of two images; the second one has no objects."""

    truth = (random_truth(3, [0, 2], (4, 5)), random_truth(0, [1], (4, 5), seed=4))
    queries = 5

    def owners(self) -> list[Owners]:
        torch.manual_seed(5)
        return [
            with_stuff(match(torch.randn(5, 4, 5), torch.randn(5, THINGS), one), one, 5, THINGS)
            for one in self.truth
        ]

    def test_masks(self) -> None:
        owners, masks = self.owners(), 3 * torch.randn(2, 5 + K - THINGS, 4, 5)
        total, rank, count = torch.zeros(()), torch.zeros(()), 0
        for image, owner in zip(masks, owners, strict=True):
            for kernel, true in zip(owner.kernels, owner.masks, strict=True):
                p = image[kernel].sigmoid()
                total = total - (true * p.log() + (1 - true) * (1 - p).log()).mean() + 4 * (1 - dice(p, true))
                count += 1
            for y in range(4):
                for x in range(5):
                    there = [
                        k for k, m in zip(owner.kernels.tolist(), owner.masks, strict=True) if m[y, x] > 0
                    ]
                    if there:
                        rank = rank - image[:, y, x].log_softmax(0)[max(there)] / 40
        torch.testing.assert_close(mask_loss(masks, owners), total / count + 0.1 * rank)

    def test_classes(self) -> None:
        owners, scores, every = self.owners(), torch.randn(2, 8, K), build().allowed
        allowed = torch.cat([every[:5], every[-3:]])
        total, count = torch.zeros(()), 0
        for image, owner in zip(scores, owners, strict=True):
            labels = dict(zip(owner.kernels.tolist(), owner.labels.tolist(), strict=True))
            count += len(labels)
            for kernel in range(8):
                asked = range(THINGS) if kernel < 5 else [THINGS + kernel - 5]
                for kind in asked:
                    total = total + focal(image[kernel, kind].sigmoid(), labels.get(kernel) == kind)
        torch.testing.assert_close(class_loss(scores, allowed, owners), 2 * total / count)

    def test_the_dense_segmentation(self) -> None:
        owners = [match(torch.randn(2, 4, 5), None, one) for one in self.truth]  # two of three objects
        classes = torch.randn(2, K, 4, 5)
        total, labelled = torch.zeros(()), 0
        for image, owner, one in zip(classes, owners, self.truth, strict=True):
            layers = [*zip(one.stuff, THINGS + one.kinds, strict=True)]
            layers += [*zip(owner.masks, owner.labels, strict=True)]
            for y in range(4):
                for x in range(5):
                    there = [int(label) for mask, label in layers if mask[y, x] > 0]
                    labelled += bool(there)
                    for kind in range(K):
                        positive = bool(there) and there[-1] == kind
                        total = total + focal(image[kind, y, x].sigmoid(), positive)
        result = segmentation_loss(classes, owners, list(self.truth), THINGS)
        torch.testing.assert_close(result, total / labelled)

    def test_a_batch_without_segments_costs_what_it_wrongly_says(self) -> None:
        network = build().train()
        prediction = network(torch.randn(1, 3, 64, 64))
        loss = network.criterion(prediction, torch.full((1, 64, 64), VOID), 255)
        loss.backward()
        assert loss.isfinite() and loss > 0
        assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


@pytest.fixture(scope="module")
def trained() -> tuple[nn.Module, dict[str, Any]]:
    """A network without drop path, and what it says of two images in training mode."""
    network = build(drop_path=0.0).train()
    return network, network(torch.randn(2, 3, 64, 64))


class TestCriterion:
    def test_both_modes_say_the_same(self, trained) -> None:
        network, _ = trained
        images = torch.randn(1, 3, 40, 70)
        with torch.no_grad():
            moving, still = network.train()(images), network.eval()(images)
        network.train()
        assert set(still) == {CLASSES, MASKS} and still[MASKS].shape == (1, 28, 10, 18)
        for key in (CLASSES, MASKS):
            torch.testing.assert_close(still[key], moving[key])
            assert all(layer[key].shape == moving[key].shape for layer in moving["intermediate"])
        assert [sorted(layer) for layer in moving["intermediate"]] == [
            [CLASSES, MASKS],
            [CLASSES, MASKS, "segmentation"],
        ]

    def test_each_stage_is_matched_by_the_one_before(self, trained) -> None:
        network, prediction = trained
        codes, queries = maps(), network.queries
        stage, head = prediction["intermediate"]
        truth = truths(codes, 255, THINGS, (16, 16))

        def owners(layer: dict[str, Tensor], scored: bool) -> list[Owners]:
            scores = class_logits(layer[CLASSES])[:, :queries, :THINGS]
            return [
                match(layer[MASKS][i, :queries], scores[i] if scored else None, truth[i]) for i in range(2)
            ]

        first, second = owners(head, False), owners(stage, True)
        expected = mask_loss(head[MASKS][:, :queries], first)
        expected = expected + segmentation_loss(head["segmentation"], first, truth, THINGS)
        for layer, given in ((stage, first), (prediction, second)):
            every = [with_stuff(o, t, queries, THINGS) for o, t in zip(given, truth, strict=True)]
            expected = expected + mask_loss(layer[MASKS], every)
            expected = expected + class_loss(class_logits(layer[CLASSES]), network.allowed, every)
        torch.testing.assert_close(network.criterion(prediction, codes, 255), expected)

    def test_one_stage_alone_is_matched_by_itself(self, trained) -> None:
        """DejaVu's cycle hands over `Queries`."""
        network, prediction = trained
        last = {key: prediction[key] for key in (CLASSES, MASKS)}
        loss = network.criterion(last, maps(), 255)
        assert loss.requires_grad
        assert torch.equal(loss, network.criterion(Queries(last[CLASSES], last[MASKS]), maps(), 255))
        assert loss < network.criterion(prediction, maps(), 255)

    def test_a_perfect_prediction_costs_next_to_nothing(self, trained) -> None:
        network, _ = trained
        codes = torch.full((1, 64, 64), 5 * 256)
        codes[:, :32, :32], codes[:, :32, 32:] = 2 * 256, 2 * 256 + 1

        def said(classes: dict[int, int], masks: dict[int, Tensor]) -> Queries:
            logits, given = torch.full((1, 28, K), -20.0), torch.full((1, 28, 16, 16), -20.0)
            for kernel, kind in classes.items():
                logits[0, kernel, kind] = 20.0
            for kernel, mask in masks.items():
                given[0, kernel] = F.avg_pool2d(mask[None] * 40 - 20, 4)[0]
            return Queries(network.log_scores(logits), given)

        left, right, rest = ((codes[0] == code).float() for code in (512, 513, 5 * 256))
        stuff = network.queries + 5 - THINGS

        def loss(*given: Any) -> float:
            return float(network.criterion(said(*given), codes, 255))

        perfect = loss({0: 2, 1: 2, stuff: 5}, {0: left, 1: right, stuff: rest})
        assert perfect < 0.01
        for wrong in (
            loss({0: 2, 1: 3, stuff: 5}, {0: left, 1: right, stuff: rest}),
            loss({0: 2, 1: 2, stuff: 5}, {0: left, 1: right}),
            loss({0: 2, stuff: 5}, {0: left + right, stuff: rest}),
            loss({0: 2, 1: 2, 2: 1, stuff: 5}, {0: left, 1: right, stuff: rest}),  # one too many
        ):
            assert wrong > 1

    def test_more_objects_than_kernels_still_train(self, trained) -> None:
        network, prediction = trained
        codes = (torch.arange(64) % THINGS * 256 + torch.arange(64) // THINGS).expand(2, 64, 64)
        loss = network.criterion(prediction, codes, 255)
        assert loss.isfinite() and network.queries < 64

    def test_bfloat16_has_the_loss_of_full_precision(self) -> None:
        network, images = build(drop_path=0.0).train(), torch.randn(2, 3, 64, 64)
        losses = []
        for given in (True, False):
            with torch.autocast("cpu", torch.bfloat16, enabled=given):
                losses.append(network.criterion(network(images), maps(), 255))
        assert losses[0].dtype == torch.float32
        torch.testing.assert_close(losses[0], losses[1], rtol=0.05, atol=0)
