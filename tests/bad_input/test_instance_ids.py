"""Cityscapes' instanceIds: values outside their scheme, and files of another kind in their stead."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import layouts

from dejavu.commands import main

from . import samples
from .checks import Refused
from .images import encoded

NAME = "cityscapes_panoptic"
PREPARE = ["prepare", NAME, "--scale", "open"]
IDS = Path(f"data/open/raw/{NAME}/gtFine/val/ulm/a_gtFine_instanceIds.png")


@pytest.fixture
def streets(empty: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    content = samples.params()
    content["datasets"][NAME] = content["datasets"]["cityscapes"]
    content["scales"]["open"]["data"][NAME] = {"source": NAME, "size": [8, 16]}
    samples.write(empty, content)
    for split in ("train", "val"):
        layouts.cityscapes_panoptic(Path(f"data/open/raw/{NAME}"), split, ["a", "b"])
    assert main(["download", NAME, "--scale", "open"]) == 0
    capsys.readouterr()
    return empty


@pytest.mark.parametrize("value", [34, 999, 7001, 23000, 34001, 65535])
def test_an_id_outside_the_scheme_is_named(streets: Path, value: int, refused: Refused) -> None:
    layouts.save(IDS, np.full(layouts.SHAPE, value, np.uint16))
    refused(*PREPARE, named=(IDS.name, f"the value {value}", "instanceIds"))


KINDS = {
    "labelIds": encoded("L", layouts.SHAPE[::-1]),
    "colours": encoded("RGB", layouts.SHAPE[::-1]),
    "a palette": encoded("P", layouts.SHAPE[::-1]),
    "JPEG": encoded("L", layouts.SHAPE[::-1], "JPEG"),
    "another size": encoded("I;16", layouts.SHAPE),
    "no bytes": b"",
}


@pytest.mark.parametrize("how", KINDS)
def test_another_kind_of_file_is_named(streets: Path, how: str, refused: Refused) -> None:
    IDS.write_bytes(KINDS[how])
    refused(*PREPARE, named=(IDS.name,))


def test_things_of_groups_alone_are_nothing_to_learn(streets: Path, refused: Refused) -> None:
    for path in Path(f"data/open/raw/{NAME}").rglob("*instanceIds.png"):
        layouts.save(path, np.full(layouts.SHAPE, 24, np.uint16))
    refused(*PREPARE, named=("every segment in train is a crowd",))


def test_what_is_spoilt_above_is_right_before(streets: Path) -> None:
    assert main(PREPARE) == 0
