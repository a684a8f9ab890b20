"""Values in YAML: what is read is what PyYAML and DVC both read, and the rest is refused."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.serialize import parse_yaml

from dejavu.config.yaml import read_yaml
from dejavu.errors import DejavuError

WRITTEN = """
    0 7 07 0_7 00 10 010 0010 08 019 0_8 0o17 0o8 0x1F 0X1F 0x1_F 0x_1F 0x 0b101 0B101 0b1_0 0b12
    1_0 1_000 1__0 1_ _1 0_ 1:30 1:3 1:60 190:20:30 1:30.5 1_0:30 0:0 01:30 1.5 1. .5 1_0.5 1.5_0
    1._5 ._5 _1.5 .5_0 00.1 01.5 0.0 1.2.3 1,000 1e3 1E3 1e+3 1e-3 1.5e3 1.5e+3 1.5e-3 1.e+3 .5e+3
    .5e3 1_0.5e+3 1e1_0 12e03 1e400 1.0e+400 1.5E+3 .inf .Inf .INF inf .nan .NaN nan . _ ._ ... 12e
    1e e3 96332376656c09783b50978e86cf93cbe3a95591
"""
NUMBERS = [sign + digits for sign, digits in itertools.product(("", "-", "+"), WRITTEN.split())]
WORDS = ["yes", "no", "on", "off", "y", "n", "true", "false", "null", "none", "~"]
TEXTS = [
    *NUMBERS,
    *(form(word) for word in WORDS for form in (str.lower, str.title, str.upper)),
    "2026-12-01",
]
KEPT = {"0x1F": 31, "1_0": 10, "0b101": 5, "07": 7, "1_000": 1000, "1.5e+3": 1500.0, "y": "y"}
REFUSED = {
    **{"010": "8 or 10", "-010": "-8 or -10", "0o17": "15", "1:30": "it to the base 10"},
    **{"08": "8", "-.5": "-0.5", "1e3": "1000", "1e-3": "0.001", "1.5e3": "1500", "1e-7": "1.0e-07"},
    **{"yes": "true", "OFF": "false"},
}


def value(read: Any, text: str) -> Any:
    """The value, with its kind; None where the text is no YAML."""
    try:
        found = read(f"a: {text}\n")["a"]
    except Exception:
        return None
    return type(found).__name__, repr(found)


@pytest.mark.parametrize("text", TEXTS)
def test_both_readers_agree_on_what_is_read(text: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"a: {text}\n")
    pyyaml, dvc = value(yaml.safe_load, text), value(lambda text: parse_yaml(text, "params.yaml"), text)
    try:
        found = read_yaml(path)["a"]
    except DejavuError as error:
        assert pyyaml is None or pyyaml != dvc, f"{text} is {pyyaml} to both: {error}"
    else:
        assert (type(found).__name__, repr(found)) == pyyaml == dvc


@pytest.mark.parametrize("text", KEPT)
def test_one_number_to_both_is_kept(text: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"a: {text}\n")
    assert read_yaml(path) == {"a": KEPT[text]}


@pytest.mark.parametrize("text", REFUSED)
@pytest.mark.parametrize("form", ["{}: 1", "a: {}", "a: [b, {}]", "a: {{b: {}}}"])
def test_the_sentence_says_what_to_write(text: str, form: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("x: 1\n" + form.format(text) + "\n")
    with pytest.raises(DejavuError) as refusal:
        read_yaml(path)
    sentence = str(refusal.value)
    assert sentence.startswith(f"{path}, line 2: {text} is ")
    assert sentence.endswith(f": write {REFUSED[text]}, or '{text}' in quotes where it is text")
    path.write_text("x: 1\n" + form.format(f"'{text}'") + "\n")
    assert text in repr(read_yaml(path))
