"""`dejavu list [PATTERN]`: the experiments, networks, datasets and tables of params.yaml."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from ..errors import DejavuError, nearest
from ..tasks import names as task_names
from .common import add_configuration, add_json, print_json, read_configuration
from .completion import completed, names_of

if TYPE_CHECKING:
    from ..config import Params

Entries = dict[str, list[dict[str, Any]]]
"""Sections, and the entries of each, by their keys: each has a name."""
SORTS = ("name", "task", "dataset", "network", "base")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the pattern, the filters, the order and `--json`."""
    add_configuration(parser)
    pattern = parser.add_argument(
        "pattern",
        nargs="?",
        metavar="PATTERN",
        help="only names that contain it, in any case; * and ? stand for any characters of a whole name",
    )
    completed(pattern, names_of("experiments", "networks", "datasets", "tables"))
    table = parser.add_argument("--table", metavar="TABLE", help="only the experiments of a table")
    completed(table, names_of("tables"))
    parser.add_argument(
        "--task", choices=task_names(), metavar="TASK", help=f"only experiments of {', '.join(task_names())}"
    )
    parser.add_argument(
        "--sort",
        choices=SORTS,
        metavar="KEY",
        help=f"order of the experiments: {', '.join(SORTS)}; default: as in params.yaml",
    )
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Run the command. Raises DejavuError if a filter names what does not exist or leaves nothing."""
    params, scale = read_configuration(args)
    shown = _chosen(entries(params, scale), params, args)
    if args.json:
        print_json({"scale": scale, **shown})
    else:
        print(text(shown, scale))


def entries(params: Params, scale: str) -> Entries:
    """Return what params.yaml has, by section, at a scale."""
    return {
        "scales": [_scale(params, name, scale) for name in params.scales],
        "experiments": [_experiment(params, name) for name in params.experiments],
        "networks": [{"name": name, **one.model_dump(mode="json")} for name, one in params.networks.items()],
        "datasets": [_source(params, name) for name in params.datasets],
        "data": [
            {"name": name, "source": part.source, "stand_in": part.source != name, "size": part.pixels}
            for name, part in params.get_scale(scale).data.items()
        ],
        "tables": [
            {
                "name": name,
                "title": table.title,
                "dataset": table.dataset,
                "scales": table.scales and list(table.scales),
                "rows": len(table.rows),
                "experiments": list(table.experiments),
            }
            for name, table in params.tables.items()
        ],
    }


def _scale(params: Params, name: str, chosen: str) -> dict[str, Any]:
    scale = params.scales[name]
    return {"name": name, "seeds": len(scale.seeds), "width": scale.width, "chosen": name == chosen}


def _experiment(params: Params, name: str) -> dict[str, Any]:
    from ..config.differences import differences

    row = params.experiments[name]
    return {
        "name": name,
        "tasks": list(row.tasks),
        "dataset": row.dataset,
        "network": row.network,
        "base": row.base,
        "dejavu": row.dejavu is not None,
        "differs": differences(params, name),
        "tables": [key for key, table in params.tables.items() if name in table.experiments],
    }


def _source(params: Params, name: str) -> dict[str, Any]:
    source, scales = params.datasets[name], params.scales.values()
    how = "rendered" if name == "synthetic" else "by hand" if source.manual else "downloaded"
    return {
        "name": name,
        "obtained": "a folder" if source.folder is not None else how,
        "scales": [scale.name for scale in scales if name in {one.source for one in scale.data.values()}],
        "licence": source.licence,
    }


def _chosen(every: Entries, params: Params, args: argparse.Namespace) -> Entries:
    """Return the entries that the filters leave, in the requested order."""
    rows = every["experiments"]
    if args.table is not None:
        of_table = params.get_table(args.table).experiments
        rows = [row for row in rows if row["name"] in of_table]
    if args.task is not None:
        rows = [row for row in rows if args.task in row["tasks"]]
    if args.sort is not None:
        key = "tasks" if args.sort == "task" else args.sort
        rows = sorted(rows, key=lambda row: (row[key] is not None, row[key], row["name"]))
    only_rows = args.table is not None or args.task is not None
    shown = {"experiments": rows} if only_rows else every | {"experiments": rows}
    if args.pattern is not None:
        fits = _matches(args.pattern)
        names = {entry["name"] for one in shown.values() for entry in one}
        shown = {key: [one for one in section if fits(one["name"])] for key, section in shown.items()}
        if not any(shown.values()):
            raise DejavuError(f"no name matches '{args.pattern}', {nearest(args.pattern, names)}")
    if only_rows and not shown["experiments"]:
        raise DejavuError(f"no experiment of table '{args.table}' has the task {args.task}")
    return shown


def _matches(pattern: str) -> Callable[[str], bool]:
    folded = pattern.casefold()
    folded = folded if any(one in folded for one in "*?[") else f"*{folded}*"
    return lambda name: fnmatchcase(name.casefold(), folded)


def text(shown: Entries, scale: str) -> str:
    """Return the entries, one line each, below the titles of their sections."""
    width = max(len(entry["name"]) for section in shown.values() for entry in section)
    blocks = []
    for key, section in shown.items():
        if section:
            title = f"data at scale {scale}" if key == "data" else key
            lines = [f"  {entry['name']:{width}}  {LINES[key](entry)}".rstrip() for entry in section]
            blocks.append(f"{title}:\n" + "\n".join(lines))
    return "\n".join(blocks)


def _scale_line(one: dict[str, Any]) -> str:
    seeds = f"{one['seeds']} seed{'s' if one['seeds'] > 1 else ''}"
    return f"{seeds}, width factor {one['width']:g}" + (" <- chosen" if one["chosen"] else "")


def _experiment_line(one: dict[str, Any]) -> str:
    start = f"{' + '.join(one['tasks'])}, {one['dataset']}, {one['network']}"
    if one["base"] is not None:
        start = f"{one['base']}{' + DejaVu' if one['dejavu'] else ''}"
    changes = [f"{key.removeprefix('dejavu.')} {in_words(value)}" for key, value in one["differs"].items()]
    return f"{start}: {', '.join(changes)}" if changes else start


def in_words(value: Any) -> str:
    """Return a value of params.yaml as a few words.

    >>> in_words({"name": "low_pass", "cutoff": 0.1}), in_words({"name": "mgda"}), in_words({"weight": 0.1})
    ('low_pass (cutoff 0.1)', 'mgda', '(weight 0.1)')
    >>> in_words([{"name": "a"}, {"name": "b", "tasks": ["depth"]}]), in_words(None), in_words(True)
    ('a and b (tasks [depth])', 'default', 'true')
    """
    if isinstance(value, dict):
        options = ", ".join(f"{key} {in_words(one)}" for key, one in value.items() if key != "name")
        return " ".join(
            [*([value["name"]] if "name" in value else []), *([f"({options})"] if options else [])]
        )
    if isinstance(value, list):
        mappings = bool(value) and all(isinstance(one, dict) for one in value)
        return " and ".join(map(in_words, value)) if mappings else f"[{', '.join(map(in_words, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "default", True: "true", False: "false"}[value]
    return str(value)


def _source_line(one: dict[str, Any]) -> str:
    return f"{one['obtained']}; at {', '.join(one['scales']) or 'no scale'}; {one['licence']}"


LINES: dict[str, Callable[[dict[str, Any]], str]] = {
    "scales": _scale_line,
    "experiments": _experiment_line,
    "networks": lambda one: ", ".join(f"{key} {value}" for key, value in one.items() if key != "name"),
    "datasets": _source_line,
    "data": lambda one: f"{one['source']}, {one['size']}{' (stand-in)' if one['stand_in'] else ''}",
    "tables": lambda one: (
        f"{len(one['experiments'])} of {one['rows']} rows have an experiment"
        f"{'; at ' + ', '.join(one['scales']) if one['scales'] else ''}: {one['title']}"
    ),
}
"""The line of an entry, by section."""
