"""Arguments of all commands: the sentence about a wrong one, and `--json`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import pytest

from dejavu.commands import main
from dejavu.commands.command_line import COMMANDS, _parser
from dejavu.commands.parser import Parser
from dejavu.errors import DejavuError

WITH_JSON = {f"dejavu {name}" for name in ("compare", "list", "show", "cost", "plan", "score")}


def leaves(parser: argparse.ArgumentParser) -> Iterator[Parser]:
    """The parser, or those of its sub-commands."""
    inner = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    if not inner:
        assert isinstance(parser, Parser)
        yield parser
    for one in inner:
        for sub in one.choices.values():
            yield from leaves(sub)


PARSERS = [
    one
    for name in COMMANDS
    for action in _parser([name])._actions
    if isinstance(action, argparse._SubParsersAction)
    for one in leaves(action.choices[name])
]
ACTIONS = [(parser, action) for parser in PARSERS for action in parser._actions]
TYPED = [(parser, action) for parser, action in ACTIONS if action.type not in (None, Path)]
CHOICES = [(parser, action) for parser, action in ACTIONS if action.choices]


def test_there_are_parsers_of_all_commands() -> None:
    assert {parser.prog.split()[1] for parser in PARSERS} == set(COMMANDS)
    assert len(TYPED) > 8 and len(CHOICES) >= 2


@pytest.mark.parametrize(("parser", "action"), TYPED, ids=lambda one: getattr(one, "dest", None))
def test_a_wrong_value_is_named_with_what_is_right(
    parser: Parser, action: argparse.Action, tmp_path: Path
) -> None:
    """argparse itself would name the Python function that reads the value."""
    wrong = tmp_path / "x"
    wrong.write_text("")  # where a folder is meant
    with pytest.raises(DejavuError) as error:
        parser.parse_args([action.option_strings[-1], str(wrong)])
    sentence = str(error.value)
    assert action.option_strings[-1] in sentence and "must be a" in sentence and "invalid" not in sentence
    assert f"'{str(wrong)[:40]}" in sentence and parser.prog in sentence


@pytest.mark.parametrize(("parser", "action"), CHOICES, ids=lambda one: getattr(one, "dest", None))
def test_a_wrong_choice_is_answered_by_the_nearest_in_any_case(
    parser: Parser, action: argparse.Action
) -> None:
    for right in action.choices or ():
        with pytest.raises(DejavuError, match=f"{action.option_strings[-1]} .*did you mean '{right}'"):
            parser.parse_args([action.option_strings[-1], f"{str(right).upper()}"])


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.prog)
def test_a_misspelt_option_is_answered_by_the_nearest(parser: Parser) -> None:
    """Also where a required one is missing in consequence."""
    for name in [name for name in parser._option_string_actions if name.startswith("--")]:
        wrong = f"{name[:-2]}{name[-1]}{name[-2]}x"
        with pytest.raises(DejavuError, match=rf"unknown option '{wrong}', .*\(see `{parser.prog} --help`\)"):
            parser.parse_args([wrong, "1"])
    with pytest.raises(DejavuError, match="unknown option '--jsno', did you mean '--json'"):
        next(one for one in PARSERS if one.prog == "dejavu list").parse_args(["--jsno"])


@pytest.mark.parametrize("name", COMMANDS)
def test_a_misspelt_command_is_answered_by_the_nearest(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    swapped = name[:-2] + name[-1] + name[-2]
    for typed in {swapped, name.upper(), name.title(), f"{name}x"} - {name}:
        assert main([typed]) == 2
        assert f"unknown command '{typed}', did you mean '{name}'?" in capsys.readouterr().err


def test_commands_that_print_numbers_take_json() -> None:
    """One helper adds it: a command that needs it has no other."""
    with_json = {parser.prog for parser in PARSERS if "--json" in parser._option_string_actions}
    assert {" ".join(prog.split()[:2]) for prog in with_json} == WITH_JSON
    of_score = {parser.prog for parser in PARSERS if parser.prog.startswith("dejavu score")}
    assert len(of_score) >= 4 and of_score <= with_json


@pytest.mark.parametrize("line", [["--scale", "smoke", "list"], ["--json", "list"], ["-x"]], ids=" ".join)
def test_options_before_the_command_are_named(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line) == 2
    assert f"unknown option '{line[0]}': a command comes first" in capsys.readouterr().err
