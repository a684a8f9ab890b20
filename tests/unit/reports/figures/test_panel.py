"""The panel: pictures in their places, of any sizes, of the networks that are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.figure_samples import CLASSES, PALETTE, block, panel_figure
from matplotlib.figure import Figure
from PIL import Image

from dejavu.datasets.prepared.sizes import nearest
from dejavu.reports.figures.elements.pictures import GAP, HEAD, LEFT, Block, colour_classes, compose
from dejavu.reports.figures.elements.style import DPI, save
from dejavu.reports.figures.panel import FIRST, Segmentation, draw


def picture_of(block: Block) -> np.ndarray:
    return compose(block, PALETTE)[0]


def test_panel_holds_every_picture_in_its_place() -> None:
    picture = picture_of(block())
    height, width = 8, 300
    assert picture.shape == (2 * height + GAP, 6 * width + 5 * GAP, 3)
    expected = [[10, 20, None], [128, 64, 128], [70, 70, 70], [0, 0, 0], [1, 2, 3], [9, 8, 7]]
    for i in range(2):
        for column, colour in enumerate(expected):
            top, left = i * (height + GAP), column * (width + GAP)
            cell = picture[top : top + height, left : left + width].reshape(-1, 3)
            assert np.unique(cell, axis=0).tolist() == [[i if part is None else part for part in colour]]
    assert (picture[height : height + GAP] == 255).all()


def test_panel_reaches_the_png_pixel_for_pixel(tmp_path: Path) -> None:
    save(panel_figure(), tmp_path / "panel.png")
    with Image.open(tmp_path / "panel.png") as image:
        page = np.asarray(image.convert("RGB"))
    picture = picture_of(block())
    top, left = np.argwhere((page == picture[0, 0]).all(-1))[0]
    found = page[top : top + picture.shape[0], left : left + picture.shape[1]]
    np.testing.assert_array_equal(found, picture)


def test_panel_names_columns_images_and_the_classes_that_occur() -> None:
    figure = panel_figure()
    texts = [text.get_text() for text in figure.texts]
    assert set(FIRST) <= set(texts)
    legend = {text.get_text(): patch for text, patch in zip(*legend_parts(figure), strict=True)}
    assert list(legend) == ["road", "building", "ignored"]  # nobody is in the picture
    for name, colour in zip(legend, [PALETTE[0], PALETTE[1], (0, 0, 0)], strict=True):
        np.testing.assert_allclose(legend[name].get_facecolor()[:3], np.array(colour) / 255)


def legend_parts(figure: Figure) -> tuple[list, list]:
    (legend,) = figure.legends
    return legend.get_texts(), legend.get_patches()


def test_small_pictures_are_zoomed_by_whole_pixels() -> None:
    one = block(4, 100, 1)
    one.rows[0][1][0, 0] = 2
    picture = picture_of(one)
    assert picture.shape[0] == 4 * 3
    corner = picture[:3, 300 + GAP : 303 + GAP]
    assert (corner == PALETTE[2]).all() and (picture[:4, 303 + GAP] == PALETTE[0]).all()


def test_wide_pictures_are_thinned_photographs_averaged_and_classes_not_mixed() -> None:
    one = block(4, 1024, 1)
    image, label, *_ = one.rows[0]
    image[:, ::2] = (30, 40, 50)
    image[:, 1::2] = (10, 20, 30)
    label[:, 512:] = 2
    picture = picture_of(one)
    assert picture.shape == (1, 6 * 256 + 5 * GAP, 3)
    assert (picture[:, :256] == (20, 30, 40)).all()
    label = picture[0, 256 + GAP : 512 + GAP]
    assert (label[:128] == PALETTE[0]).all() and (label[128:] == PALETTE[2]).all()


def test_every_value_outside_the_palette_is_black() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    coloured = colour_classes(values, PALETTE).reshape(-1, 3)
    np.testing.assert_array_equal(coloured[:3], PALETTE)
    assert not coloured[3:].any()


def test_pictures_of_many_shapes_stand_in_the_middle_of_their_cells() -> None:
    """A wide image over a tall one: cells as wide as the widest, rows as high as their highest."""

    def flat(height: int, width: int) -> list[np.ndarray]:
        return [np.full((height, width, 3), 7, np.uint8), np.zeros((height, width), np.uint8)]

    picture, heights = compose(Block(("a", "b"), ("wide", "tall"), [flat(60, 100), flat(100, 50)]), PALETTE)
    assert heights == [180, 300]  # zoomed three times
    assert picture.shape == (180 + GAP + 300, 300 + GAP + 300, 3)
    tall = picture[180 + GAP :, :300]
    assert (tall[:, 75:225] == 7).all() and (tall[:, :75] == 255).all() and (tall[:, 225:] == 255).all()
    assert (picture[180 + GAP :, 300 + GAP + 75 : 300 + GAP + 225] == PALETTE[0]).all()


def test_no_side_of_a_picture_is_larger_than_the_others_may_be() -> None:
    one = block(1024, 512, 1)
    assert picture_of(one).shape == (256, 6 * 128 + 5 * GAP, 3)


def test_blocks_stand_below_each_other_with_titles_over_their_columns() -> None:
    image, other = np.full((8, 300, 3), 3, np.uint8), np.ones((8, 300), np.uint8)
    second = Block(("x", "y"), ["image 0"], [[image, other]], [("", 1), ("A pair", 1)])
    figure = draw(Segmentation([block(), second], PALETTE, CLASSES, "Title", "Note"))
    first, below = figure.images
    assert first.get_array().shape[0] == 2 * 8 + GAP and below.get_array().shape == (8, 608, 3)
    texts = {text.get_text(): text.get_position() for text in figure.texts}
    width = figure.get_size_inches()[0] * DPI
    assert texts["A pair"][0] * width == pytest.approx(LEFT + 300 + GAP + 150)
    assert texts["input"][1] > texts["A pair"][1] > texts["x"][1] and HEAD > 50


def test_classes_are_resized_to_their_nearest_pixel() -> None:
    classes = np.array([[1, 2], [3, 4]], np.uint8)
    np.testing.assert_array_equal(nearest(classes, (2, 4)), [[1, 1, 2, 2], [3, 3, 4, 4]])
    np.testing.assert_array_equal(nearest(nearest(classes, (6, 4)), (2, 2)), classes)
