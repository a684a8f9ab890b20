"""Metrics of all experiments of a table -> CSV, Markdown, LaTeX."""

from __future__ import annotations

import warnings

from ...config import Params
from ...config.paths import Paths
from ...errors import DejavuError
from ...system.files import write_text
from . import (
    Content,
    Origin,
    Result,
    csv_text,
    latex,
    markdown,
    measured_seeds,
    read_result,
    table_frame,
)
from .best_epoch import Best, best
from .delta_mtl import metrics_read, with_delta
from .trained_alike import differences


def write_table(params: Params, name: str, scale: str, partial: bool = False) -> str:
    """Write the table's three forms, or none; return a sentence with the number of rows that were run.

    Raises DejavuError if the metrics of an experiment and seed are missing or belong to another scale. With
    `partial`, missing rows are 'not run', and incomplete rows have the existing seeds.
    """
    table, paths = params.get_table(name), Paths(scale)
    results = read_results(params, name, scale, partial)
    split = ", ".join(sorted({result.split for result in results.values()}))
    for experiment, result in results.items():
        base = params.experiments[experiment].base
        unlike = base and differences(paths, experiment, base, result.seeds)
        if unlike:
            warnings.warn(
                f"'{experiment}' and its base '{base}' were not trained alike ({', '.join(unlike)}): "
                f"the gain is not DejaVu's alone; train both again",
                stacklevel=2,
            )
    chosen = of_epoch(params, name, scale, results)
    plain = [experiment for experiment in table.experiments if params.experiments[experiment].dejavu is None]
    source = params.data_source(table.dataset, scale).source
    frame = table_frame(table, chosen.results, source, scale, plain)
    seeds = {experiment: result.seeds for experiment, result in chosen.results.items()}
    remarks = dict.fromkeys(text for result in results.values() for text in result.remarks)
    origin = Origin.of(params, name, scale, split, seeds, chosen.epochs, tuple(remarks))
    content = Content.of(frame.to_dict("records"))
    forms = {
        "csv": csv_text(frame),
        "md": markdown(content, origin),
        "tex": latex(content, origin, name),
    }
    _check_characters(name, forms)
    for form, text in forms.items():
        write_text(paths.table(name, form), text)
    ran = f"{len(content.ran)} of {len(content.lines)} rows run"
    return f"{name} at scale {scale}: {ran}, {paths.table(name, 'md')}"


def _check_characters(name: str, forms: dict[str, str]) -> None:
    """Refuse characters that JSON can hold and UTF-8 cannot, before any file is written."""
    for text in forms.values():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise DejavuError(
                f"table '{name}' holds the character U+{ord(text[error.start]):04X}, which UTF-8 cannot "
                "hold: it is in params.yaml or in the metrics of one of its experiments"
            ) from None


def read_results(params: Params, name: str, scale: str, partial: bool) -> dict[str, Result]:
    """Read the results of the table's experiments; with `partial`, of the measured ones."""
    table, paths = params.get_table(name), Paths(scale)
    size, metrics, results = params.cost_input(table.dataset), metrics_read(params, name), {}
    for experiment in table.experiments:
        run = params.run(experiment, scale)
        seeds = measured_seeds(paths, run) if partial else run.seeds
        if seeds:
            results[experiment] = read_result(paths, run, metrics, size, seeds)
    return results


def of_epoch(params: Params, name: str, scale: str, results: dict[str, Result]) -> Best:
    """Return the results at the epoch of the table, with delta-MTL if the table has it."""
    table = params.get_table(name)
    if table.epoch == "last":
        return Best(with_delta(params, table, results), ())
    from ...datasets import reader

    source = params.data_source(table.dataset, scale).source
    split = reader(table.dataset, source, params.datasets.get(source)).validate
    return best(params, name, scale, results, split)
