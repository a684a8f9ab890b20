"""Names in params.yaml come out as they are written: no markup in tables, nothing in Snakemake's report."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from helpers.sharing import start

from dejavu.config.paths import Paths
from dejavu.reports.tables import Content, Origin, latex, markdown, read_content
from dejavu.reports.tables import write as stage
from unit.reports.tables import test_tables

NASTY = "<script>alert(1)</script> a|b R&D &lt; _x_ a_b \\ {}\n\n# head"
SHOWN = " ".join(NASTY.split())
IN_LATEX = (
    r"\textless{}script\textgreater{}alert(1)\textless{}/script\textgreater{} a\textbar{}b "
    r"R\&D \&lt; \_x\_ a\_b \textbackslash{} \{\} \# head"
)


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Content, Origin]:
    """A table's content and origin in which a row's name, the title and a note are as hostile as can be."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(test_tables.ROWS[0], "method", SHOWN)  # params.yaml takes one line only
    for experiment, values in (test_tables.MIOU | test_tables.DEPTH).items():
        for seed in values:
            test_tables.write_metrics(experiment, seed)
    params = test_tables.make_params()
    stage.write_table(params, "main", "tiny")
    origin = Origin.of(params, "main", "tiny", "test")
    return read_content(Paths("tiny").table("main", "csv")), replace(origin, title=NASTY, notes=(NASTY,))


class Page(HTMLParser):
    """The tags of a page, and the text inside each kind."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        self.open.remove(tag)

    def handle_data(self, data: str) -> None:
        for tag in self.open:
            self.texts[tag][-1] += data


def test_markdown_shows_names_as_they_are(table: tuple[Content, Origin]) -> None:
    """Rendered by another library, which lets HTML through."""
    from markdown_it import MarkdownIt

    rendered = MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown(*table))
    page = Page(rendered)
    assert page.texts.keys() == {"h3", "p", "strong", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"}
    assert page.texts["h3"] == [SHOWN]
    assert page.texts["td"][0] == SHOWN
    assert SHOWN in page.texts["li"]
    assert len(page.texts["td"]) == len(page.texts["th"]) * len(test_tables.ROWS)


def test_latex_shows_names_as_they_are(table: tuple[Content, Origin]) -> None:
    text = latex(*table, "main")
    comment, *lines = text.splitlines()
    assert comment.startswith("% <script>") and comment.endswith("booktabs}") and "# head" in comment
    assert lines[0] == r"\begin{table}", "the comment is one line"
    assert any(line.startswith(f"{IN_LATEX} & N") for line in lines)
    assert text.count(IN_LATEX) == 3  # the row, the title and the note


def test_snakemakes_report_holds_no_text_from_params_yaml(tmp_path: Path) -> None:
    """It shows when rules ran, their code and patterns; rows' names there are letters, digits, _ and -."""
    clone = start(tmp_path / "clone")
    params = yaml.safe_load((clone.folder / "params.yaml").read_text())
    text = "</script><script>alert('from outside')</script>"
    params["tables"]["pair"]["title"] = text
    (clone.folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    printed = clone.folder / "paper/pair.csv"
    assert "hrnet18,HRNet," in printed.read_text()
    printed.write_text(printed.read_text().replace("hrnet18,HRNet,", f"hrnet18,{text},"))
    clone.make_all()
    clone.run("snakemake", "--quiet", "all", "--report", "report.html")
    report = (clone.folder / "report.html").read_text()
    assert "train_dejavu_smoke" in report and "hrnet18_dejavu" in report
    assert "from outside" not in report
