"""The types of values in params.yaml, and the base of its sections, which refuse unknown keys."""

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
from ..system import own_code

NO_TEXT = re.compile(
    r"[\x00-\x1f\x7f-\x9f"  # control characters of a terminal, and line ends
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # characters that reverse the order of printed text
    r"\ud800-\udfff]"  # halves of a character, which UTF-8 cannot hold
)


def one_line(text: str, key: str = "") -> str:
    """Check a text for files, tables and terminals; return it without the line end of YAML's `>`.

    Raises ValueError, which begins with `key`, for a character that is not allowed in a line of text.
    """
    text = text.removesuffix("\n")
    wrong = NO_TEXT.search(text)
    if wrong:
        raise ValueError(f"{key}holds the character U+{ord(wrong[0]):04X}: a line of plain text is needed")
    return text


# The upper limits below only catch typing errors, which torch, C or the memory would report later and less
# clearly.

# YAML's 1e-3 is text to PyYAML and a number to others: strict types refuse such values.
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
# A C int holds twice that number. The longest published recipe has 737,500 steps.
Count = Annotated[int, Strict(), Field(ge=1, le=1_000_000_000)]
# Durations computed from it must fit Python's time types. The longest published recipe has 484 epochs.
Epochs = Annotated[int, Strict(), Field(ge=1, le=1_000_000)]
# Images of one split: ImageNet has 1.3 million. Rendered scenes are all listed in memory first.
Images = Annotated[int, Strict(), Field(ge=1, le=5_000_000)]
Side = Annotated[int, Strict(), Field(ge=1, le=65_536)]  # pixels; a JPEG's end at 65,535
Seed = Annotated[int, Strict(), Field(ge=0, lt=2**31)]
Flag = Annotated[bool, Strict()]
Byte = Annotated[int, Strict(), Field(ge=0, le=255)]
Share = Annotated[float, Strict(), Field(ge=0, le=1)]
# HRNet18's widest layers have 144 channels: below a hundredth only one would remain.
Width = Annotated[float, Strict(), Field(ge=0.01, le=1)]
# Factor of an image's sides: at a hundredth an image of Cityscapes has 10 x 20 pixels.
Factor = Annotated[float, Strict(), Field(ge=0.01, le=100)]
# Repeated factor of a learning rate: above 1 the rate would soon be infinite.
Drop = Annotated[float, Strict(), Field(gt=0, le=1)]
Decay = Annotated[float, Strict(), Field(ge=0, lt=1)]
# The product of three (a learning rate, its factor and a weight) must fit a float32: below 3e38.
Positive = Annotated[float, Strict(), Field(gt=0, le=1e9, allow_inf_nan=False)]
NotNegative = Annotated[float, Strict(), Field(ge=0, le=1e9, allow_inf_nan=False)]
# Names become file names: no separators, no leading dots, no special characters of a shell.
NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
NO_NAME = "is no name: letters, digits, '_' and '-', at most 64, are needed"
Name = Annotated[str, Strict(), Field(pattern=NAME)]
MODULE = f"{NAME}|{own_code.NAME}"
Module = Annotated[str, Strict(), Field(pattern=MODULE)]  # of a network: its file, or the user's function
Text = Annotated[str, Strict(), AfterValidator(one_line)]
Size = tuple[Side, Side]  # height, width in pixels
Head = Literal["classes", "binary"]
"""An output for each class, or one for two classes: the logit of the second one."""
Options = dict[str, Any]
if TYPE_CHECKING:
    Task = str
else:
    Task = Literal[tasks.names()]
Tasks = Annotated[
    Annotated[Task, Tag("str")] | Annotated[tuple[Task, ...], Field(min_length=2), Tag("tuple[Task]")],
    Discriminator(lambda value: "tuple[Task]" if isinstance(value, list | tuple) else "str"),
]
"""The task, or the tasks of one network."""


class Section(BaseModel):
    """A section of params.yaml: frozen, with no other keys than its own."""

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
    """Return the fields of a section, each made optional: it may be left out or null."""
    return {key: (_whole(field) | None, None) for key, field in section.model_fields.items()}


def _whole(field: FieldInfo) -> Any:
    """Return a field's type with its limits, which pydantic stores separately."""
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


class WithOptions(Section):
    """A section whose further keys are options of the named implementation; `registry.check` checks them."""

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
    """Return an option's value after a check that each text in it is one line."""
    if isinstance(value, str):
        return one_line(value, f"{key} ")
    if isinstance(value, dict):
        return {name: _plain(one, key) for name, one in value.items()}
    return [_plain(one, key) for one in value] if isinstance(value, list) else value


class Named(WithOptions):
    """A redaction or regenerator: its name and its options."""

    name: Name
