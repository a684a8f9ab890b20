"""`dejavu list`: the experiments, networks, datasets and tables of params.yaml."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .common import add_configuration, read_configuration

if TYPE_CHECKING:
    from ..config import Params


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the configuration."""
    add_configuration(parser)


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    print(listing(*read_configuration(args)))


def listing(params: Params, scale: str) -> str:
    """Return scales, experiments, networks, datasets and tables, one line each."""
    chosen = params.get_scale(scale)
    sections = [("scales", [(name, _scale(params, name, chosen.name)) for name in params.scales])]
    sections.append(("experiments", [(name, _experiment(params, name)) for name in params.experiments]))
    sections.append(("networks", [(name, _options(network)) for name, network in params.networks.items()]))
    sections.append(("datasets", [(name, _source(params, name)) for name in params.datasets]))
    sections.append(
        (
            f"data at scale {chosen.name}",
            [
                (
                    name,
                    f"{part.source}, {part.pixels}" + (" (stand-in)" if part.source != name else ""),
                )
                for name, part in chosen.data.items()
            ],
        )
    )
    tables = [
        (name, f"{len(table.experiments)} of {len(table.rows)} rows have an experiment: {table.title}")
        for name, table in params.tables.items()
    ]
    sections.append(("tables", tables))
    width = max(len(name) for _, lines in sections for name, _ in lines)
    blocks = [
        f"{title}:\n" + "\n".join(f"  {name:{width}}  {text}" for name, text in lines)
        for title, lines in sections
    ]
    return "\n".join(blocks)


def _scale(params: Params, name: str, chosen: str) -> str:
    scale = params.scales[name]
    seeds = f"{len(scale.seeds)} seed{'s' if len(scale.seeds) > 1 else ''}"
    return f"{seeds}, width factor {scale.width:g}" + (" <- chosen" if name == chosen else "")


def _source(params: Params, name: str) -> str:
    used = [
        scale.name
        for scale in params.scales.values()
        if name in {part.source for part in scale.data.values()}
    ]
    source = params.datasets[name]
    how = "rendered" if name == "synthetic" else "by hand" if source.manual else "downloaded"
    how = "a folder" if source.folder is not None else how
    return f"{how}; at {', '.join(used) or 'no scale'}; {source.licence}"


def _experiment(params: Params, name: str) -> str:
    row = params.experiments[name]
    text = f"{row.task}, {row.dataset}, {row.network}"
    if row.dejavu is None:
        return text
    redactions = " and ".join(redaction.name for redaction in row.dejavu.redactions)
    return f"{text} + DejaVu ({redactions}, {row.dejavu.regenerator.name}); base {row.base}"


def _options(network: object) -> str:
    values = network.model_dump()  # type: ignore[attr-defined]
    return ", ".join(f"{key} {value}" for key, value in values.items())
