"""Write docs/licences.md: the licence of every package of requirements.lock, as its own metadata states it.

`make lock` runs it. Packages have to be installed, because nothing is asked of the internet.
"""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path

from dejavu.errors import DejavuError
from dejavu.system.files import write_text

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "licences.md"
HEAD = """# Licences

The code of this repository is under the MIT licence. It includes no package: these are the packages of
`requirements.lock`, which `make all` installs, with the licence that each one's own metadata states. NVIDIA's
are not free software, and the CUDA build of torch needs them; a CPU build does without. GPL packages are
tools that run beside the code: l2m4m makes the pages' formulas, pygit2 and grandalf belong to DVC.
`python docs/tools/licences.py` writes this page. The terms of the datasets are in `params.yaml`, under
`datasets:`.

| Package | Version | Licence |
| --- | --- | --- |
"""
EMPTY = ("", "unknown", "licence", "license", "dual license")  # what some say instead of a name
TITLE = re.compile(r"(The )?(MIT|BSD|ISC|Apache|Mozilla|GNU)\b.{0,50}")  # of a licence's text


def licence(package: metadata.Distribution) -> str:
    """What a package is licensed under: an expression, a name, classifiers or its licence's title.

    'not stated' where it has none of them.
    """
    said = {
        key: package.metadata.get_all(key) or [""] for key in ("License-Expression", "License", "Classifier")
    }
    expression, text = said["License-Expression"][0], said["License"][0].strip()
    classifiers = ", ".join(
        entry.rpartition(" :: ")[2] for entry in said["Classifier"] if "License ::" in entry
    )
    titles = (each.strip().partition("\n")[0].strip() for each in [text, *_texts(package)])
    names = [expression, text if "\n" not in text else "", classifiers, *filter(TITLE.fullmatch, titles)]
    return next((name for name in names if name.lower() not in EMPTY), "not stated")


def _texts(package: metadata.Distribution) -> list[str]:
    """The package's own licence files; those of what it includes lie deeper."""
    files = [file for file in package.files or [] if re.fullmatch(r"(LICEN[CS]E|COPYING)(\.\w+)?", file.name)]
    return [
        file.read_text() for file in files if re.search(r"\.dist-info(/licenses)?$", file.parent.as_posix())
    ]


def page(lock: Path) -> str:
    """The page as Markdown. Raises DejavuError for a package that is not installed in the locked version."""
    lines = []
    for line in lock.read_text().splitlines():
        name, _, version = line.partition("==")
        try:
            package = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            raise DejavuError(f"{lock.name}: {name} is not installed here, run make all first") from None
        if package.version.partition("+")[0] != version:
            raise DejavuError(f"{lock.name}: {line} is installed as {package.version}, run make lock first")
        lines.append(f"| {name} | {version} | {escaped(licence(package))} |")
    return HEAD + "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Text from elsewhere as Markdown shows it: no markup, no new column.

    >>> escaped("MIT | <b>")
    'MIT \\\\| \\\\<b\\\\>'
    """
    return re.sub(r"([\\|<>*_`\[\]&])", r"\\\1", text)


if __name__ == "__main__":
    try:
        write_text(PAGE, page(ROOT / "requirements.lock"))
    except DejavuError as error:
        sys.exit(f"licences: {error}")
