# PYTHON_ARGCOMPLETE_OK: argcomplete looks for this mark in the first lines of what `dejavu` starts.
"""The command line: one subcommand a file, with its `add_arguments(parser)` and its `run(args)`."""

from .command_line import main

__all__ = ["main"]
