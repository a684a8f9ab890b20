"""Brings docstrings into the form that mkdocstrings reads. mkdocs.yml names this file.

The project's docstrings carry bare doctests (`>>> ...`), which pytest runs. Markdown would read them as
quotations; fenced, they are what they are. And `low, high: edges` says one thing of two arguments.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^([ ]*)>>> .*(?:\n[ ]*\S.*)*", re.M)  # up to the next empty line
_JOINT = re.compile(r"^([ ]{4})(\w+), (\w+): (.*(?:\n\1[ ]+\S.*)*)", re.M)


def fence(text: str) -> str:
    r"""Fence every doctest in a text.

    >>> fence("Adds.\n\n>>> 1 + 1\n2\n\nThat is all.")
    'Adds.\n\n```pycon\n>>> 1 + 1\n2\n```\n\nThat is all.'
    """
    return _EXAMPLE.sub(lambda example: f"{example[1]}```pycon\n{example[0]}\n{example[1]}```", text)


def part_arguments(text: str) -> str:
    r"""Give each of two arguments that are described together the description.

    >>> part_arguments("Args:\n    low, high: edges of the band,\n        as shares.")
    'Args:\n    low: edges of the band,\n        as shares.\n    high: edges of the band,\n        as shares.'
    """
    return _JOINT.sub(r"\1\2: \4\n\1\3: \4", text)


class Docstrings(griffe.Extension):
    """Does both to every docstring that is loaded."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring:
            obj.docstring.value = part_arguments(fence(obj.docstring.value))
