"""CSV of a table for figures, and the sentence on its setting."""

from __future__ import annotations

from ....config import Params
from ....config.paths import Paths
from ....errors import DejavuError
from ...tables.cells import Content, read_content
from .setting import setting


def table_content(params: Params, name: str, scale: str) -> Content:
    """Read the table's CSV, which must have the rows and metrics of params.yaml."""
    table, path = params.get_table(name), Paths(scale).table(name, "csv")
    content = read_content(path)
    if [*content.lines] != [row.id for row in table.rows] or content.metrics != table.metrics:
        raise DejavuError(
            f"{path} has other rows or metrics than tables.{name} in params.yaml: "
            f"run `dejavu tables {name} --scale {scale}`"
        )
    return content


def table_setting(params: Params, name: str, scale: str, partial: bool) -> str:
    """Return the setting of the table's numbers, with a warning for best epochs."""
    text = setting(params, name, scale, "", Paths(scale).metrics if partial else None)
    if params.get_table(name).epoch == "last":
        return text
    return f"{text} BEST EPOCHS, CHOSEN ON THE VERY IMAGES THAT THEY ARE MEASURED ON."
