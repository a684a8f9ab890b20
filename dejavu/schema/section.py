"""What every part of params.yaml is made of: kinds of values, and parts that refuse unknown keys."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Strict, Tag, model_validator

from ..errors import nearest

# YAML's 1e-3 is text to PyYAML and a number to others: strict types refuse what the two read differently.
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Count = Annotated[int, Strict(), Field(ge=1)]
Seed = Annotated[int, Strict(), Field(ge=0, lt=2**31)]
Flag = Annotated[bool, Strict()]
Byte = Annotated[int, Strict(), Field(ge=0, le=255)]
Share = Annotated[float, Strict(), Field(ge=0, le=1)]
Width = Annotated[float, Strict(), Field(gt=0, le=1)]
Decay = Annotated[float, Strict(), Field(ge=0, lt=1)]
Positive = Annotated[float, Strict(), Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)]
# Names become file names: no separators, no dots in front, nothing that a shell reads.
Name = Annotated[str, Strict(), Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
Text = Annotated[str, Strict()]
Size = tuple[Count, Count]  # height, width in pixels
Options = dict[str, Any]
Task = Literal["semantic", "panoptic", "depth", "normals"]
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


class WithOptions(Section):
    """A part whose further keys are the options of what it names; `options.check` knows which there are."""

    @classmethod
    def _open(cls) -> bool:
        return True

    @property
    def options(self) -> Options:
        return dict(self.model_extra or {})


class Named(WithOptions):
    """A redaction or regenerator: its name and its options."""

    name: Name
