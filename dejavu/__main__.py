"""The command line: one subcommand a stage, which both engines call, and a few to look around.

Every import that costs time is made by the subcommand that needs it.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from .errors import DejavuError, lacks_memory
from .system import extras
from .system.signals import Stopped

STAGES = {
    "download": (
        "dataset",
        "get a dataset's raw files (or render the synthetic scenes that stand in for it)",
    ),
    "prepare": ("dataset", "check the raw files and write the compact form that training reads"),
    "train": ("experiment", "train every seed of an experiment; a killed run goes on where it was"),
    "evaluate": ("experiment", "measure the trained seeds of an experiment"),
    "predict": (
        "experiment",
        "write what trained seeds predict, as files for `dejavu score` and other tools",
    ),
    "tables": ("table", "write a table as CSV, Markdown and LaTeX"),
    "figures": ("table", "draw the figures that params.yaml lists for a table"),
}
MOST_THREADS = 1024
# Arguments that only some stages have; the stage's `run` takes them by their names.
EXTRA = ("seed", "out", "checkpoint_seconds", "tensorboard", "partial", "again", "protocol")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status.

    0; 2 for bad input; 75 where another process of the training has gone; 128 + its number for a signal.
    """
    _streams()
    warnings.formatwarning = lambda message, *_, **__: f"dejavu: {message}\n"
    try:
        _threads()
        args = _parser().parse_args(arguments)
        args.line = sys.argv[1:] if arguments is None else list(arguments)
        status: int | None = _run(args)
        sys.stdout.flush()
    except DejavuError as error:
        return _say(str(error), error.status)
    except Stopped as error:
        status = _say(str(error), 128 + error.number)
        return _again(status) if error.again else status
    except BrokenPipeError:
        # The reader (`| head`) has gone: nothing is left to say, and Python must not try at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return _say("interrupted: type the same command again", 130)
    except OSError as error:
        if error.strerror is None:
            raise
        return _say(f"{error.filename or 'the operating system'}: {error.strerror}", 2)
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        reason = str(error).partition("DefaultCPUAllocator: ")[2] or str(error) or "Python found none"
        return _say(
            f"the memory does not suffice ({reason.partition('. ')[0]}): take a machine with more, or where "
            "a network is at work lower crop, batch_size or width in params.yaml",
            2,
        )
    return _again(status or 0)


def _run(args: argparse.Namespace) -> int | None:
    """Run the command. Raises DejavuError where a package of the pipeline is missing."""
    clone = ", and run it in a clone of the repository, which has params.yaml"
    with extras.extra("pipeline", "this command", clone if hasattr(args, "params") else ""):
        status: int | None = args.run(args)
    return status


def _again(status: int) -> int:
    """The same status; where it is that of an early word from Slurm, the job is to be run again."""
    if status > 128:
        from .engines.slurm_requeue import requeue

        told = requeue(status - 128)
        if told:
            _say(told, status)
    return status


def _say(sentence: str, status: int) -> int:
    # What came from outside (names, a server's answer) may hold what a terminal would obey.
    plain = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(sentence.split()))
    print(f"dejavu: {plain}", file=sys.stderr)
    return status


def _streams() -> None:
    """Have no output fail: of a name that the terminal cannot show, or where nobody listens at all."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by who started this
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (as long as the process)
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _threads() -> None:
    """One thread a job that sleeps when it waits, before torch reads these.

    Results are the same to the bit at a fixed number of threads only, and two jobs of one thread are faster
    than one of two on small networks. DEJAVU_THREADS sets another number.

    Raises DejavuError where that is none: OpenMP would take as many threads as it likes.
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


class _Parser(argparse.ArgumentParser):
    """One sentence for a wrong command line, without the usage in front of it."""

    def error(self, message: str) -> NoReturn:
        raise DejavuError(f"{message} (see `{self.prog} --help`)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="dejavu", description="DejaVu (CVPR 2023), reproduced: train, measure, compare.")
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)
    common = _Parser(add_help=False)
    common.add_argument("--params", default="params.yaml", metavar="FILE", help="default: params.yaml")
    common.add_argument("--scale", metavar="SCALE", help="smoke, demo, open or paper; default: params.yaml's")
    for command, (kind, summary) in STAGES.items():
        stage = commands.add_parser(command, parents=[common], help=summary, description=f"{summary}.")
        stage.add_argument("name", metavar=kind.upper())
        stage.set_defaults(run=_stage, stage=command)
        if command == "train":
            stage.add_argument("--seed", type=int, help="train this seed only; default: all of the scale's")
            stage.add_argument(
                "--checkpoint-seconds",
                type=_seconds,
                default=60.0,
                metavar="N",
                help="how often to save what a killed run goes on from (default 60; no effect on the result)",
            )
            stage.add_argument(
                "--tensorboard",
                action="store_true",
                help="also write runs/SCALE/EXPERIMENT/seed<N>/tensorboard",
            )
        elif command == "evaluate":
            stage.add_argument(
                "--again", action="store_true", help="measure anew what the training measured at its end"
            )
            stage.add_argument(
                "--protocol",
                metavar="NAME",
                help="try another of params.yaml's protocols: metrics are printed, and no file is written",
            )
        elif command == "predict":
            stage.add_argument("--seed", type=int, help="of this seed only; default: all of the scale's")
            stage.add_argument(
                "--out", type=_folder, metavar="DIR", help="default: predictions/SCALE/EXPERIMENT"
            )
        elif kind == "table":
            stage.add_argument(
                "--partial",
                action="store_true",
                help="rows and seeds that are not there yet are 'not run', and no error",
            )
    cost = commands.add_parser(
        "cost", parents=[common], help="count parameters and GMACs of full-size networks, beside the paper's"
    )
    cost.set_defaults(run=_cost)
    plan = commands.add_parser(
        "plan", parents=[common], help="say what trainings will take: steps, memory, disk and hours"
    )
    plan.add_argument(
        "--measure",
        action="store_true",
        help="time real steps of every row on the device at hand first, kept in results/SCALE/speed.json",
    )
    plan.add_argument(
        "--tflops", type=_rate, metavar="X", help="plan with this rate, in 1e12 operations a second"
    )
    plan.add_argument(
        "--resources",
        action="store_true",
        help="count all rows of all scales into slurm/resources.json: what cluster jobs ask for",
    )
    plan.set_defaults(run=_plan)
    for planning in (cost, plan):
        planning.add_argument(
            "names",
            nargs="*",
            metavar="ROW",
            help="a row of a table, an experiment or a network; default: every row that has an experiment",
        )
        planning.add_argument("--json", action="store_true", help="print JSON")
    listing = commands.add_parser(
        "list", parents=[common], help="list experiments, networks, datasets and tables"
    )
    listing.set_defaults(run=_list)
    show = commands.add_parser("show", parents=[common], help="print an experiment's resolved configuration")
    show.add_argument("name", metavar="EXPERIMENT")
    show.set_defaults(run=_show)
    score = commands.add_parser("score", help="score predictions in files against ground truth")
    importlib.import_module(".commands.score", __package__).add_arguments(score)
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number of seconds of at least 0, not {text}")
    return value


def _folder(text: str) -> Path:
    path = Path(text)
    if not text or (path.exists() and not path.is_dir()):
        raise argparse.ArgumentTypeError(f"must be a folder, there or to be made, and '{text}' is none")
    return path


def _rate(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text}")
    return value


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from . import __version__

        print(__version__)
        parser.exit()


def _stage(args: argparse.Namespace) -> int | None:
    """The exit status, where other processes have done the work."""
    from .config.loading import load
    from .engines.one_at_a_time import job_of_dvc

    params = load(args.params)
    extra = {key: value for key, value in vars(args).items() if key in EXTRA}
    stage = importlib.import_module(f".commands.{args.stage}", __package__)
    scale = params.get_scale(args.scale).name
    with job_of_dvc():
        if args.stage == "train" and (gpus := params.run(args.name, scale).gpus) > 1:
            from .engines.launch import launch, wants_launch

            if wants_launch(gpus):
                return launch(args.line, gpus)
        stage.run(params, args.name, scale, **extra)
    return None


def _cost(args: argparse.Namespace) -> None:
    from .commands.cost import run
    from .config.loading import load

    params = load(args.params)
    run(params, args.names, params.get_scale(args.scale).name, as_json=args.json)


def _plan(args: argparse.Namespace) -> None:
    from .commands.plan import resources, run
    from .config.loading import load

    params = load(args.params)
    if args.resources:
        for option in ("names", "scale", "measure", "json"):
            if getattr(args, option):
                shown = "ROW" if option == "names" else f"--{option}"
                raise DejavuError(
                    f"dejavu plan --resources counts every row of every scale: leave {shown} out"
                )
        return resources(params, tflops=args.tflops)
    scale = params.get_scale(args.scale).name
    run(params, args.names, scale, measure=args.measure, tflops=args.tflops, as_json=args.json)


def _list(args: argparse.Namespace) -> None:
    from .commands.show import listing
    from .config.loading import load

    print(listing(load(args.params), args.scale))


def _show(args: argparse.Namespace) -> None:
    from .commands.show import configuration
    from .config.loading import load

    print(configuration(load(args.params), args.name, args.scale))


if __name__ == "__main__":
    sys.exit(main())
