"""`dejavu COMMAND ...`: the list of commands, their start, and their exit status.

Only the file of the given command is imported; its `run` makes every slow import.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
import warnings
from collections.abc import Sequence

from ..errors import DejavuError, lacks_memory
from ..system import extras
from ..system.signals import Stopped
from . import completion
from .parser import Parser, closest_option

COMMANDS = {
    "compare": "say whether DejaVu helps on a folder of your own: trains pairs, ends with a verdict",
    "download": "get a dataset's raw files (or render the synthetic scenes that stand in for it)",
    "prepare": "check the raw files and write the compact form that training reads",
    "train": "train every seed of an experiment; a killed run goes on where it was",
    "evaluate": "measure the trained seeds of an experiment",
    "predict": "write what trained seeds predict, as files for `dejavu score` and other tools",
    "tables": "write a table as CSV, Markdown and LaTeX",
    "figures": "draw the figures that params.yaml lists for a table",
    "verdicts": "decide the claims of params.yaml from the metrics, as a table and a forest plot",
    "index": "write all tables and figures of a scale on one page, results/SCALE/README.md",
    "cost": "count parameters and GMACs of full-size networks, beside the paper's",
    "plan": "say what trainings will take: steps, memory, disk and hours",
    "list": "list experiments, networks, datasets and tables",
    "sources": "notice raw files that have changed since their download, as both engines do at their start",
    "dvc": "write dvc.yaml, the pipeline for `dvc repro`",
    "show": "print an experiment's resolved configuration",
    "score": "score predictions in files against ground truth",
}
"""Commands of this package, one file each, with their lines in `dejavu --help`."""
MOST_THREADS = 1024
OWN_OPTIONS = ("-h", "--help", "--version")
"""options of `dejavu` itself"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status.

    The status is 0 for success, 2 for bad input, 75 if another process of the training has ended, and 128
    plus the number of a signal.
    """
    _streams()
    warnings.formatwarning = lambda message, *_, **__: f"dejavu: {message}\n"
    try:
        _threads()
        line = sys.argv[1:] if arguments is None else list(arguments)
        if completion.is_requested():
            completion.complete(_parser)
            return 0
        args = _parse(line)
        if args is None:
            return 2  # as git: nothing was done, and a script whose variable is empty must not go on
        args.line = line
        status: int | None = _run(args)
        sys.stdout.flush()
    except DejavuError as error:
        return _print_error(str(error), error.status)
    except Stopped as error:
        status = _print_error(str(error), 128 + error.number)
        return _requeued(status) if error.again else status
    except BrokenPipeError:
        # The reader (`| head`) has closed the pipe, and Python must not write at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return _print_error("interrupted: type the same command again", 130)
    except OSError as error:
        if error.strerror is None:
            raise
        return _print_error(f"{error.filename or 'the operating system'}: {error.strerror}", 2)
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        reason = str(error).partition("DefaultCPUAllocator: ")[2] or str(error) or "Python found none"
        return _print_error(
            f"the memory does not suffice ({reason.partition('. ')[0]}): take a machine with more, or where "
            "a network is at work lower crop, batch_size or width in params.yaml",
            2,
        )
    return _requeued(status or 0)


def _run(args: argparse.Namespace) -> int | None:
    """Run the command. Raises DejavuError if a package of the pipeline is missing."""
    clone = ", and run it in a clone of the repository, which has params.yaml"
    with extras.extra("pipeline", "this command", clone if hasattr(args, "params") else ""):
        status: int | None = args.run(args)
    return status


def _requeued(status: int) -> int:
    """Return the status; after an early signal from Slurm, requeue the job."""
    if status > 128:
        from ..engines.slurm_requeue import requeue

        notice = requeue(status - 128)
        if notice:
            _print_error(notice, status)
    return status


def _print_error(sentence: str, status: int) -> int:
    # Names and answers of servers may hold control characters of terminals.
    plain = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(sentence.split()))
    print(f"dejavu: {plain}", file=sys.stderr)
    return status


def _streams() -> None:
    """Prevent failing output: escape characters that the terminal lacks, and replace closed streams."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the parent process
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (as long as the process)
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _threads() -> None:
    """Set one OpenMP thread, with passive waiting, before torch reads the environment.

    Results are bitwise equal only for a fixed number of threads, and on small networks two jobs of one thread
    are faster than one job of two threads. DEJAVU_THREADS sets another number.

    Raises DejavuError if it is not a number of threads: OpenMP would choose its own.
    """
    threads = os.environ.get("DEJAVU_THREADS", "1")
    if not (re.fullmatch("0{0,9}[1-9][0-9]{0,3}", threads) and int(threads) <= MOST_THREADS):
        raise DejavuError(
            f"the environment variable DEJAVU_THREADS is '{threads[:40]}': a number from 1 to {MOST_THREADS} "
            "is needed"
        )
    os.environ["OMP_NUM_THREADS"] = threads
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # cuBLAS is deterministic only with a fixed workspace.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def _parser(line: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of a command line: all commands, and the arguments of the given command."""
    parser = Parser(prog="dejavu", description="DejaVu (CVPR 2023), reproduced: train, measure, compare.")
    parser.add_argument(
        "--version",
        action=_Version,
        nargs=0,
        help="print the versions of dejavu, Python, torch and the device",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)
    typed = next((word for word in line if not word.startswith("-")), None)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=f"{summary}.")
        if name == typed:
            module = importlib.import_module(f".{name}", __package__)
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return parser


def _parse(line: Sequence[str]) -> argparse.Namespace | None:
    """Parse a command line; an empty one prints the help. Raises DejavuError for a wrong one."""
    parser = _parser(line)
    if not line:
        parser.print_help()
        return None
    if line[0].lower().startswith("complet"):
        raise DejavuError(
            f"'{line[0][:40]}' is no command: completion is set up in bash and zsh by "
            '`eval "$(register-python-argcomplete dejavu)"` (docs/commands.md, "Completion")'
        )
    if line[0].startswith("-") and line[0] not in OWN_OPTIONS:
        close = closest_option(line[0], OWN_OPTIONS[1:])
        meant = f", did you mean '{close}'?" if close else ": a command comes first, and then its options"
        raise DejavuError(f"unknown option '{line[0][:40]}'{meant} (see `dejavu --help`)")
    return parser.parse_args(line)


class _Version(argparse.Action):
    """Prints versions of what results depend on. Imports torch, which no other option of `dejavu` does."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        import platform

        from .. import __version__

        print(f"dejavu {__version__}\nPython {platform.python_version()}")
        try:
            import torch
        except ModuleNotFoundError:
            print("torch: not installed")
        else:
            gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
            print(f"torch {torch.__version__}\ndevice: {', '.join(gpus) or f'CPU ({platform.machine()})'}")
        parser.exit()
