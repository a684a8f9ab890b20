"""The text of each image: drawn by seed and epoch alone, and what DejaVu-TS learns from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dejavu.compute.random import generator
from dejavu.method.text import TextSupervision
from dejavu.training import batches
from dejavu.training.captions import drawn
from dejavu.training.data import Data
from dejavu.training.objective import build_objective
from unit.training.test_loop import make_data, make_run

CPU = torch.device("cpu")
TEXT = "mask2former_swint_coco_text"
CAPTIONS = [[f"image {number}, text {k}" for k in range(1 + number % 5)] for number in range(40)]


def test_each_image_has_one_of_its_own_captions_and_all_are_drawn_alike() -> None:
    every = np.arange(40)
    counts: dict[str, int] = {}
    for epoch in range(500):
        texts = drawn(CAPTIONS, every, 3, epoch)
        assert all(text in CAPTIONS[number] for number, text in enumerate(texts))
        for text in texts:
            counts[text] = counts.get(text, 0) + 1
    assert len(counts) == sum(map(len, CAPTIONS))
    for its in CAPTIONS:  # 500 draws: five standard deviations
        share = 1 / len(its)
        limit = 5 * np.sqrt(500 * share * (1 - share)) + 1e-9
        assert all(abs(counts[text] - 500 * share) <= limit for text in its)


def test_the_draw_depends_on_seed_and_epoch_alone() -> None:
    every, some = np.arange(40), np.array([33, 4, 33])
    texts = drawn(CAPTIONS, every, 0, 2)
    assert drawn(CAPTIONS, some, 0, 2) == [texts[33], texts[4], texts[33]]  # whichever images a process has
    assert texts not in (drawn(CAPTIONS, every, 1, 2), drawn(CAPTIONS, every, 0, 3))


def test_rows_of_one_seed_and_a_resumed_run_have_the_same_texts() -> None:
    data = make_data(8, tasks=("panoptic",))
    rows = [batches.Batches(make_run(name), 1, data) for name in (TEXT, "mask2former_swint_coco_dejavu")]
    whole = [[row.augmented(row.read(step), step, CPU).captions for step in range(row.total)] for row in rows]
    assert whole[0] == whole[1] and all(len(texts or ()) == 2 for texts in whole[0])
    first = rows[0].per_epoch
    assert sorted(sum(whole[0][:first], [])) != sorted(sum(whole[0][first : 2 * first], []))
    for start in range(rows[0].total):
        later = batches.Batches(make_run(TEXT), 1, data).from_step(start, CPU, "test")
        assert [batch.captions for _, batch in later] == whole[0][start:]


@pytest.mark.parametrize("captions", [True, False])
def test_the_loss_asks_for_captions_and_without_them_for_the_classes(
    captions: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_data(4, tasks=("panoptic",))
    if not captions:
        data = Data(**{**vars(data), "captions": None})
    asked: list[str] = []
    call = TextSupervision.__call__

    def spy(self: TextSupervision, images: torch.Tensor, texts: list[str]) -> torch.Tensor:
        asked.extend(texts)
        return call(self, images, texts)

    monkeypatch.setattr(TextSupervision, "__call__", spy)
    run = make_run(TEXT)
    objective = build_objective(run, 0, data)
    drawn_batches = batches.Batches(run, 0, data)
    batch = drawn_batches.augmented(drawn_batches.read(0), 0, CPU)
    losses = objective(batch, 0.5, generator(0, "redact", 0))
    assert losses.dejavu is not None and torch.isfinite(losses.dejavu)
    expected = drawn(data.captions or [], drawn_batches.indices(0)[0], 0, 0) if captions else None
    assert asked == (expected or objective.model.text.prompts(batch.target >> 8))
    assert captions or all(text.startswith("a photo of a scene with") for text in asked)
