"""What it means that the command line refuses an input."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import pytest

from dejavu.commands import main

LONGEST = 700
"""characters of a sentence, of which paths of the tests may be 300"""

Refused = Callable[..., str]


def tree(folder: Path) -> dict[str, str]:
    """What lies in `folder`: of each path its kind and content; lock files and empty folders do not count."""
    found = {}
    for parent, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(parent, name)
            if path.is_symlink():
                found[str(path.relative_to(folder))] = f"link to {os.readlink(path)}"
            elif path.is_file() and not name.endswith(".lock"):
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                found[str(path.relative_to(folder))] = content
    return found


def check(
    arguments: list[str],
    named: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
    listed: bool = False,
    leaves: str = "",
) -> str:
    """Run the command here; it must say one sentence, which it returns, and change nothing.

    `named` are the words of the sentence that tell the user where the fault is. With `listed` further lines
    may stand above it: several files are at fault, and all are named. Of new files there may be those that
    match the pattern `leaves`, which the next attempt goes on from.
    """
    before = tree(Path())
    capsys.readouterr()
    status = main(arguments)
    out, err = capsys.readouterr()
    assert status == 2, f"exit status {status}: {out}{err}"
    assert out == ""
    assert "Traceback" not in err
    *above, last = err.splitlines()
    assert err.endswith("\n") and (listed or not above), err
    assert not any(line.startswith("dejavu: ") for line in above), err
    sentence = last.removeprefix("dejavu: ")
    assert last != sentence, err
    assert sentence.isprintable() and 10 < len(sentence) < LONGEST, sentence
    for word in named:
        assert word in sentence, f"'{word}' is not named: {sentence}"
    after = tree(Path())
    new = {path for path in after.keys() - before.keys() if fnmatch(path, leaves)}
    assert {path: content for path, content in after.items() if path not in new} == before
    return sentence
