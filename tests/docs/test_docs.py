"""The documentation builds without a warning, asks nothing of other hosts, and says what the code does."""

from __future__ import annotations

import doctest
import importlib.util
import inspect
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from helpers import ROOT

import dejavu
from dejavu import config
from dejavu.config import loading

DOCS = ROOT / "docs"
METHOD = (DOCS / "method.md").read_text()
LIBRARY, LOOPS = ((DOCS / name).read_text() for name in ("library.md", "loops.md"))
LOADED = ("script", "link", "img", "iframe", "source", "video", "audio", "embed", "object", "image", "use")


class Page(HTMLParser):
    """The ids of a page, and what a browser loads to show it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.ids.add(found.get("id") or "")
        relation = found.get("rel") or ""
        if tag in LOADED and relation not in ("canonical", "prev", "next"):
            self.loaded += [found.get(key) or "" for key in ("src", "href", "srcset", "data", "xlink:href")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. Python's warnings are errors, and so are mkdocs' own."""
    pytest.importorskip("mkdocs", reason="the documentation needs the extra: pip install .[docs]")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-W", "error", "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    # Material announces its successor on stderr at each build unless it is told not to.
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr and "ERROR" not in done.stderr, done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Page]:
    found = {str(file.relative_to(site)): Page(file.read_text()) for file in site.rglob("*.html")}
    assert "reference/method.html" in found
    return found


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[str, Page]) -> None:
    for name, page in pages.items():
        foreign = [link for link in page.loaded if re.match(r"\s*(\w+:)?//", link)]
        assert not foreign, f"{name} loads {foreign}"
        assert any(link.endswith(".css") for link in page.loaded), f"{name} was not read as it should be"
    for file in [*site.rglob("*.css"), *site.rglob("*.html")]:
        assert not re.search(r"""(url\(|@import)\s*["']?\s*(\w+:)?//""", file.read_text()), file


def test_what_pages_load_is_there(site: Path, pages: dict[str, Page]) -> None:
    for name, page in pages.items():
        for link in filter(None, page.loaded):
            if not link.startswith(("data:", "#")) and name != "404.html":  # its links start at the root
                assert ((site / name).parent / link.split("?")[0].split("#")[0]).exists(), (name, link)


def test_formulas_are_mathml(site: Path) -> None:
    text = (site / "method.html").read_text()
    assert text.count('display="block"') == len(re.findall(r"^\$\$\n[^$]+\n\$\$$", METHOD, re.M)) > 5
    prose = re.sub(r"<(script|style|annotation)\b.*?</\1>|<[^>]+>", "", text, flags=re.S)
    assert "$" not in prose and "\\" not in prose


@pytest.mark.parametrize("name", [name for name in dejavu.__all__ if name != "__version__"])
def test_every_public_name_is_in_the_reference(pages: dict[str, Page], name: str) -> None:
    value = getattr(dejavu, name)
    module = value.__name__ if isinstance(value, ModuleType) else value.__module__
    # A package shows what its modules define, too.
    places = (
        {module}
        if isinstance(value, ModuleType)
        else {f"{module}.{name}", f"{module.rpartition('.')[0]}.{name}"}
    )
    ids = {found for file, page in pages.items() if file.startswith("reference/") for found in page.ids}
    assert places & ids
    assert f"`{name}`" in (DOCS / "reference" / "index.md").read_text()


def test_every_page_is_in_the_navigation(site: Path) -> None:
    start = (site / "index.html").read_text()
    for page in DOCS.rglob("*.md"):
        assert f'href="{page.relative_to(DOCS).with_suffix(".html")}"' in start


# What docs/method.md says of params.yaml


def open_keys() -> list[tuple[str, str]]:
    """(key, default) of the lines of the table of what is open; "" where it names no default."""
    lines = [line.strip("|").split("|") for line in METHOD.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line] for line in lines if len(line) == 5]
    assert cells[0][4] == "Key"
    return [(line[4].strip("`"), line[3].strip("`")) for line in cells[2:] if line[4]]


def test_the_table_names_many_keys() -> None:
    keys = [key for key, _ in open_keys()]
    assert len(keys) > 20 and len(set(keys)) == len(keys)
    whole = set(config.Method.model_fields) - {"detach"}  # which the text below the table names
    assert {key.split(".")[0] for key in keys} == whole


@pytest.mark.parametrize(("key", "default"), open_keys())
def test_keys_of_the_method_exist_and_have_that_default(key: str, default: str) -> None:
    given = defaults(key)
    assert given, f"no such key: dejavu.{key}"
    if default:
        assert default in {str(value) for value in given}


def defaults(key: str) -> list[Any]:
    """The defaults of a key of `dejavu:`: several where redactions share an option, none for no such key."""
    section, _, option = key.partition(".")
    assert section in config.Method.model_fields
    if section in ("redaction", "regenerator"):
        if option == "name":
            return [inspect.signature(dejavu.DejaVu).parameters[section].default]
        module = dejavu.redaction if section == "redaction" else dejavu.regeneration
        signatures = [
            inspect.signature(part).parameters
            for kind in module.REGISTRY.values()
            for part in kind.__mro__[:2]  # CRM-R hands its other options on
        ]
        return [found[option].default for found in signatures if option in found]
    if option:
        model = {"perceptual": config.Perceptual, "text": config.TextSupervision, "cycle": config.Cycle}[
            section
        ]
        return [model.model_fields[option].default] if option in model.model_fields else []
    return [inspect.signature(dejavu.DejaVu).parameters[section].default]


# Pictures and code


def load(name: str) -> ModuleType:
    """docs/tools/<name>.py, which is in no package."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / "tools" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def figures() -> ModuleType:
    return load("figures")


def test_docstrings_are_brought_into_form() -> None:
    pytest.importorskip("griffe", reason="the documentation needs the extra: pip install .[docs]")
    assert doctest.testmod(load("docstrings")) == (0, 2)  # failed, tried


def test_docstrings_show_their_examples_as_code(site: Path) -> None:
    text = (site / "reference" / "redaction.html").read_text()
    assert '<span class="gp">&gt;&gt;&gt; </span>' in text and "<blockquote>" not in text
    rows = re.findall(r"<code>(low|high)</code>.*?edges of the (kept|removed) band", text, re.S)
    assert rows == [("low", "kept"), ("high", "kept"), ("low", "removed"), ("high", "removed")]


def test_pictures_are_small_and_all_drawn_by_us(figures: ModuleType) -> None:
    pictures = sorted((DOCS / "images").iterdir())
    assert [picture.name for picture in pictures] == sorted(f"{name}.png" for name in figures.FIGURES)
    assert all(picture.stat().st_size < 200_000 for picture in pictures)


@pytest.mark.parametrize("name", ["pipeline", "redaction"])  # the third needs a training of half a minute
def test_pictures_are_what_the_code_draws(figures: ModuleType, name: str, tmp_path: Path) -> None:
    import numpy as np
    from PIL import Image

    figures.draw(name, tmp_path / "drawn.png")
    with Image.open(tmp_path / "drawn.png") as drawn, Image.open(DOCS / "images" / f"{name}.png") as kept:
        assert drawn.size == kept.size, f"run: python docs/tools/figures.py {name}"
        first, second = (np.asarray(picture.convert("RGB"), dtype=int) for picture in (drawn, kept))
    # Another processor may round another way, and so choose a neighbouring level of a colour.
    assert np.mean(np.abs(first - second).max(-1) > 32) < 0.001, f"run: python docs/tools/figures.py {name}"


def test_the_code_of_the_library_page_runs() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", LIBRARY, re.M | re.S)
    assert len(blocks) > 8
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "docs/library.md", "exec"), names)
    assert float(names["loss"].detach()) > 0 and names["regenerated"].shape == names["images"].shape


def test_every_example_is_on_a_page_for_users_of_the_library() -> None:
    examples = sorted(file.name for file in (ROOT / "examples").glob("*.py"))
    assert examples and sorted(re.findall(r'--8<-- "examples/(.+)"', LIBRARY + LOOPS)) == examples


def test_a_folder_of_ones_own_images_is_described_as_it_works(tmp_path: Path) -> None:
    """The blocks of docs/data.md, put where the page says, make a scale for every row, and a binary pair."""
    blocks = re.findall(r"```yaml\n(\w+):\n(.*?)```", (DOCS / "data.md").read_text(), re.S)
    places = {
        "datasets": r"^datasets:\n",
        "scales": r"(?=^scale: )",
        "experiments": r"^  hrnet18_dejavu: .*\n",
    }
    assert [section for section, _ in blocks] == list(places)
    text = (ROOT / "params.yaml").read_text()
    for section, body in blocks:
        text = re.sub(places[section], lambda match, body=body: match[0] + body, text, count=1, flags=re.M)
    (tmp_path / "params.yaml").write_text(text)
    (tmp_path / "paper").symlink_to(ROOT / "paper")
    params = loading.load(tmp_path / "params.yaml")
    run = params.run("hrnet18_dejavu", "mine")
    assert (run.data.source, len(run.seeds), run.network.width) == ("mydata", 5, 0.5)
    assert {params.run(row, "mine").head for row in ("object", "object_dejavu")} == {"binary"}
