"""What every part of params.yaml is made of: kinds of values, and parts that refuse unknown keys."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    Strict,
    Tag,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from .. import tasks
from ..errors import nearest

NO_TEXT = re.compile(
    r"[\x00-\x1f\x7f-\x9f"  # what a terminal obeys, and the ends of lines
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # what turns the order of what is printed around
    r"\ud800-\udfff]"  # halves of a character, which UTF-8 cannot hold
)


def one_line(text: str, key: str = "") -> str:
    """The text, which goes into files, tables and terminals as it is, without the line end of YAML's `>`.

    Raises ValueError, which begins with `key`, for a character that does not belong into a line of text.
    """
    text = text.removesuffix("\n")
    wrong = NO_TEXT.search(text)
    if wrong:
        raise ValueError(f"{key}holds the character U+{ord(wrong[0]):04X}: a line of plain text is needed")
    return text


# The upper limits below are no advice: beyond them is nothing but slips, which torch, C or the memory would
# refuse later and less clearly.

# YAML's 1e-3 is text to PyYAML and a number to others: strict types refuse what the two read differently.
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
# A C int holds twice that, and the longest published recipe has 737,500 steps.
Count = Annotated[int, Strict(), Field(ge=1, le=1_000_000_000)]
# Times the steps of an epoch it must stay a time that Python can tell; the longest published recipe has 484.
Epochs = Annotated[int, Strict(), Field(ge=1, le=1_000_000)]
# Of one split: ImageNet's has 1.3 million, and rendered scenes are listed in memory before the first is made.
Images = Annotated[int, Strict(), Field(ge=1, le=5_000_000)]
Side = Annotated[int, Strict(), Field(ge=1, le=65_536)]  # pixels; a JPEG's end at 65,535
Seed = Annotated[int, Strict(), Field(ge=0, lt=2**31)]
Flag = Annotated[bool, Strict()]
Byte = Annotated[int, Strict(), Field(ge=0, le=255)]
Share = Annotated[float, Strict(), Field(ge=0, le=1)]
# Below a hundredth nothing is left to scale: HRNet18's widest layers have 144 channels.
Width = Annotated[float, Strict(), Field(ge=0.01, le=1)]
# Of an image's sides: at a hundredth one of Cityscapes has 10 x 20 pixels.
Factor = Annotated[float, Strict(), Field(ge=0.01, le=100)]
# Of a learning rate, again and again: above 1 it would soon be infinite.
Drop = Annotated[float, Strict(), Field(gt=0, le=1)]
Decay = Annotated[float, Strict(), Field(ge=0, lt=1)]
# Three of these multiplied, as a learning rate, its factor and a weight are, must be a float32: below 3e38.
Positive = Annotated[float, Strict(), Field(gt=0, le=1e9, allow_inf_nan=False)]
NotNegative = Annotated[float, Strict(), Field(ge=0, le=1e9, allow_inf_nan=False)]
# Names become file names: no separators, no dots in front, nothing that a shell reads.
NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
NO_NAME = "is no name: letters, digits, '_' and '-', at most 64, are needed"
Name = Annotated[str, Strict(), Field(pattern=NAME)]
Text = Annotated[str, Strict(), AfterValidator(one_line)]
Size = tuple[Side, Side]  # height, width in pixels
Options = dict[str, Any]
if TYPE_CHECKING:
    Task = str
else:
    Task = Literal[tasks.names()]
Tasks = Annotated[
    Annotated[Task, Tag("str")] | Annotated[tuple[Task, ...], Field(min_length=2), Tag("tuple[Task]")],
    Discriminator(lambda value: "tuple[Task]" if isinstance(value, list | tuple) else "str"),
]
"""What is predicted: one task, or several of one network."""


class Section(BaseModel):
    """A part of params.yaml: frozen, and closed to keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="allow")

    @model_validator(mode="before")
    @classmethod
    def _only_known_keys(cls, value: Any) -> Any:
        if isinstance(value, dict) and not cls._open():
            for key in value:
                if key not in cls.model_fields:
                    raise ValueError(f"unknown key '{key}', {nearest(str(key), cls.model_fields)}")
        return value

    @classmethod
    def _open(cls) -> bool:
        return False

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler(core_schema)
        handler.resolve_ref_schema(schema)["additionalProperties"] = cls._open()
        return schema


def optional(section: type[Section]) -> dict[str, Any]:
    """The fields of a section, each of which may be left out or be null."""
    return {key: (_whole(field) | None, None) for key, field in section.model_fields.items()}


def _whole(field: FieldInfo) -> Any:
    """A field's type with its limits, which pydantic keeps beside it."""
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


class WithOptions(Section):
    """A part whose further keys are the options of what it names; `registry.check` knows which there are."""

    @classmethod
    def _open(cls) -> bool:
        return True

    @model_validator(mode="after")
    def _options_are_plain(self) -> WithOptions:
        extra = self.model_extra or {}
        extra |= {key: _plain(value, key) for key, value in extra.items()}
        return self

    @property
    def options(self) -> Options:
        return dict(self.model_extra or {})


def _plain(value: Any, key: str) -> Any:
    """An option's value, whose texts are each of one line."""
    if isinstance(value, str):
        return one_line(value, f"{key} ")
    if isinstance(value, dict):
        return {name: _plain(one, key) for name, one in value.items()}
    return [_plain(one, key) for one in value] if isinstance(value, list) else value


class Named(WithOptions):
    """A redaction or regenerator: its name and its options."""

    name: Name
