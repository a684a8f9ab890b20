"""`dejavu tables TABLE --scale S`: metrics of all the table's experiments -> CSV, Markdown, LaTeX."""

from __future__ import annotations

import warnings

from ..files import write_text
from ..paths import Paths
from ..schema import Params
from ..tables import Origin, csv_text, latex, markdown, read_result, table_lines
from ..tables.pairs import differences


def run(params: Params, name: str, scale: str) -> None:
    """Write the table's three forms.

    Raises DejavuError where the metrics of an experiment and seed are missing or not of this scale.
    """
    table, paths = params.get_table(name), Paths(scale)
    size = params.cost_input(table.dataset)
    results = {
        experiment: read_result(paths, params.run(experiment, scale), table.metrics, size)
        for experiment in table.experiments
    }
    for experiment in table.experiments:
        base = params.experiments[experiment].base
        unlike = base and differences(paths, experiment, base, params.run(experiment, scale).seeds)
        if unlike:
            warnings.warn(
                f"'{experiment}' and its base '{base}' were not trained alike ({', '.join(unlike)}): "
                f"the gain is not DejaVu's alone; train both again",
                stacklevel=2,
            )
    path = paths.table(name, "csv")
    lines = table_lines(table, results, params.part(table.dataset, scale).source, scale)
    write_text(path, csv_text(lines, table.metrics))
    origin = Origin.of(params, name, scale, ", ".join(sorted({result.split for result in results.values()})))
    write_text(paths.table(name, "md"), markdown(path, origin))
    write_text(paths.table(name, "tex"), latex(path, origin))
    ran = sum(line["status"] == "run" for line in lines)
    print(f"{name} at scale {scale}: {ran} of {len(lines)} rows run, {paths.table(name, 'md')}")
