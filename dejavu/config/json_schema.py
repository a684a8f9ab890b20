"""The JSON schema of params.yaml, by which editors complete and check its keys: `make params.schema.json`."""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterator
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from .file import ParamsFile
from .method import Method, MethodChanges
from .recipe import Overrides, Recipe
from .values import Section

WRITTEN_IN: dict[type, type] = {MethodChanges: Method, Overrides: Recipe}
"""classes whose keys are optional, and the class that has these keys' docstrings"""


class _WithoutTitles(GenerateJsonSchema):
    """The generator without titles: a key is its own title."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def schema() -> str:
    """Return the text of the schema. Descriptions are the docstrings of attributes."""
    value = ParamsFile.model_json_schema(schema_generator=_WithoutTitles)
    classes = {one.__name__: one for one in _subclasses(Section)}
    for name, section in (*value["$defs"].items(), (ParamsFile.__name__, value)):
        texts = _descriptions(classes[name]) if name in classes else {}
        for key in section.get("properties", {}).keys() & texts.keys():
            section["properties"][key]["description"] = texts[key]
    return json.dumps(value | {"title": "params.yaml"}, indent=1) + "\n"


def _subclasses(section: type[Section]) -> Iterator[type[Section]]:
    for one in section.__subclasses__():
        yield one
        yield from _subclasses(one)


def _descriptions(section: type[Section]) -> dict[str, str]:
    """Return the docstrings of a class's attributes by name, those of its bases included."""
    texts: dict[str, str] = {}
    for one in reversed(section.__mro__):
        if not issubclass(one, Section):
            continue
        try:
            source = inspect.getsource(WRITTEN_IN.get(one, one))
        except OSError:  # a class that pydantic made
            continue
        body = ast.parse(source).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, text in zip(body.body, body.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                assert isinstance(field.target, ast.Name) and isinstance(text.value, ast.Constant)
                texts[field.target.id] = inspect.cleandoc(str(text.value.value))
    return texts


if __name__ == "__main__":
    print(schema(), end="")
