"""Fetching files over HTTP: resumed, verified, in parallel.

The standard library does it in these few lines; pooch and requests do not resume, and either would
be one more dependency.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import ssl
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import DejavuError
from ...system.progress import track

_CHUNK = 1 << 18
_PASSING = {408, 425, 429, 500, 502, 503, 504}
"""HTTP statuses that may be better the next time"""
_UNREACHED = (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError)


class _Interrupted(Exception):
    """The error of an interrupted transfer; another try may finish it."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """The handler of redirects: to http and https only, and never from https to http."""

    def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: str) -> Any:
        scheme = urllib.parse.urlsplit(newurl).scheme
        if scheme != "https" and not (scheme == "http" and req.type == "http"):
            raise DejavuError(f"{req.full_url} redirects to {newurl}, which is refused: it is not {req.type}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener like urllib's own, without handlers of file:, ftp: and data: URLs."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        _Redirects,
    ):
        opener.add_handler(handler())
    return opener


def fetch(
    url: str,
    path: Path,
    digest: str,
    *,
    algorithm: str = "sha256",
    description: str = "",
    timeout: float = 30,
    attempts: int = 5,
    pause: float = 1.0,
    stop: threading.Event | None = None,
    largest: int = 1_000_000_000,
) -> None:
    """Make `path` the file at `url` with the checksum `digest` by `algorithm` (a name of hashlib).

    With a `description` a bar shows how much is still to come, in quarters of a mebibyte.
    A file that has the checksum already is left alone. An unfinished one (`<path>.part`) is
    continued. Errors that may pass are tried again `attempts` times in all, after `pause`, 2 `pause`, ...
    seconds, unless `stop` is set. Raises DejavuError when the file cannot be had, has more than `largest`
    bytes (a server may send without end) or another checksum; a wrong file is not kept.
    """
    if not re.match(r"https?://", url):
        raise DejavuError(f"{url} is not an http or https address")
    if path.is_file() and _checksum(path, algorithm) == digest:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    resumed = unfinished.exists()
    tries = _Tries(timeout, attempts, pause, stop or threading.Event(), description, largest)
    _transfer(url, unfinished, tries)
    actual = _checksum(unfinished, algorithm)
    if resumed and actual != digest:  # it continued another file: once more, from the start
        unfinished.unlink()
        _transfer(url, unfinished, tries)
        actual = _checksum(unfinished, algorithm)
    if actual != digest:
        unfinished.unlink()
        raise DejavuError(f"{url} has {algorithm} {actual} where {digest} was expected; the file was removed")
    os.replace(unfinished, path)


def _checksum(path: Path, algorithm: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


class _Tries(NamedTuple):
    timeout: float
    attempts: int
    pause: float
    stop: threading.Event
    description: str
    largest: int


def _transfer(url: str, unfinished: Path, tries: _Tries) -> None:
    """Complete `unfinished` to the full length that the server announces."""
    for attempt in range(1, tries.attempts + 1):
        try:
            return _receive(url, unfinished, tries)
        except _Interrupted as error:
            if attempt == tries.attempts or tries.stop.wait(tries.pause * 2 ** (attempt - 1)):
                raise DejavuError(
                    f"{url} could not be fetched, attempt {attempt} of {tries.attempts} ({error}): run the "
                    "command again to go on, or set DEJAVU_MIRROR to a folder that has the data"
                ) from None


def _receive(url: str, unfinished: Path, tries: _Tries) -> None:
    """Request the bytes that `unfinished` lacks, once, and append them."""
    have = unfinished.stat().st_size if unfinished.exists() else 0
    headers = {"User-Agent": "dejavu", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        with _opener().open(urllib.request.Request(url, headers=headers), timeout=tries.timeout) as answer:
            start, total = _extent(answer, have)
            reached = start
            with open(unfinished, "ab" if start else "wb") as file:
                for chunk in _chunks(answer, start, total, tries.description):
                    reached += file.write(chunk)
                    if reached > tries.largest:
                        unfinished.unlink()
                        raise DejavuError(f"{url} is not fetched: it has more than {tries.largest} bytes")
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and have:  # the server has nothing more: start over
            unfinished.unlink()
            raise _Interrupted("the server has no more than what was fetched") from None
        if error.code in _PASSING:
            raise _Interrupted(f"HTTP {error.code} {error.reason}") from None
        raise DejavuError(f"{url} answers HTTP {error.code} {error.reason}") from None
    except ValueError as error:  # from urllib, of this address or of one that it is redirected to
        raise DejavuError(f"{url} is no address, or leads to none ({error})") from None
    except _UNREACHED as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise DejavuError(f"{url} has a certificate that is not trusted ({reason})") from None
        raise _Interrupted(str(reason) or type(error).__name__) from None
    if total is not None and reached != total:
        raise _Interrupted(f"{reached} of {total} bytes came")


def _chunks(answer: Any, start: int, total: int | None, description: str) -> Iterator[bytes]:
    chunks = iter(lambda: answer.read(_CHUNK), b"")
    if not description:
        return chunks
    return track(chunks, None if total is None else -(-total // _CHUNK), description, start // _CHUNK)


def _extent(answer: Any, have: int) -> tuple[int, int | None]:
    """Return where the answer's bytes begin, and the file's full length, None where it is unknown."""
    length = answer.headers.get("Content-Length")
    whole = int(length) if length and length.isdigit() else None
    if answer.status != 206:
        return 0, whole  # the server knows no ranges and sends the file from the start
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
    if not match or int(match[1]) != have:
        raise _Interrupted("the server sent another range than was asked for")
    return have, have + whole if match[2] == "*" and whole is not None else _number(match[2])


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def fetch_all(base: str, files: Mapping[str, str], folder: Path, workers: int = 8, **options: Any) -> None:
    """Fetch `{relative path: sha256}` below the address `base` into `folder`, `workers` at a time.

    The first error ends it; files that are whole stay, so that the next run goes on from there.
    `options` are those of `fetch`.
    """
    stop = threading.Event()

    def one(name: str) -> None:
        if not stop.is_set():
            url = urllib.parse.urljoin(base, urllib.parse.quote(name))
            fetch(url, folder / name, files[name], stop=stop, **options)

    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(one, name) for name in files]
        try:
            for future in track(as_completed(futures), total=len(futures), description="download"):
                future.result()
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
