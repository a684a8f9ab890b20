"""Downloads from a server that does everything wrong, mirrors that are not whole, archives that attack."""

from __future__ import annotations

import hashlib
import io
import stat
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dejavu.datasets import ade20k
from dejavu.datasets.obtain import fetch

from . import samples
from .checks import Refused
from .images import encoded

DOWNLOAD = ["download", "ade20k", "--scale", "open"]
TOP = "ADEChallengeData2016"
DATA = b"x" * 3000


class Handler(BaseHTTPRequestHandler):
    """The address says what goes wrong."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.close_connection = True
        how = self.path.removeprefix("/").removesuffix(".zip")
        if how.isdigit():
            return self.head(int(how), {"Content-Length": "0"})
        if how.startswith("to-"):
            targets = {
                "to-file": "file:///etc/passwd",
                "to-ftp": "ftp://127.0.0.1/x",
                "to-data": "data:text/plain,x",
                "to-nowhere": "",
                "to-itself": self.path,
                "to-text": "javascript:alert(1)",
                "to-half": "http://[::1/x",
            }
            return self.head(302, {"Location": targets[how], "Content-Length": "0"})
        if how == "closed":
            return None
        if how == "garbage":
            self.wfile.write(b"\x16\x03\x01 hello \x1b[2J\r\n\r\n")
            return None
        if how == "reason":
            self.wfile.write(b"HTTP/1.1 404 \x1b[31mno\r\nContent-Length: 0\r\n\r\n")
            return None
        if how == "endless":
            self.head(200, {})
            for _ in range(1000):
                self.wfile.write(bytes(1 << 16))
            return None
        sizes = {"short": len(DATA) + 1000, "nothing": 0, "negative": -5, "words": "many"}
        self.head(200, {"Content-Length": str(sizes.get(how, len(DATA)))})
        self.wfile.write(b"" if how == "nothing" else DATA)
        return None

    def head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that has had enough of it is what some tests are about."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with Server(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


@pytest.fixture
def impatient(empty: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two attempts without a pause, and few bytes."""
    quick = {"pause": 0.01, "attempts": 2, "timeout": 5}
    monkeypatch.setattr(fetch.fetch, "__kwdefaults__", (fetch.fetch.__kwdefaults__ or {}) | quick)
    monkeypatch.setattr(ade20k, "LARGEST", 1_000_000)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return empty


ANSWERS = {
    **{
        str(status): str(status)
        for status in (204, 304, 400, 401, 403, 404, 410, 418, 451, 500, 502, 503, 511)
    },
    "to-file": "file:///etc/passwd",
    "to-ftp": "ftp://",
    "to-data": "data:",
    "to-nowhere": "",
    "to-itself": "",
    "to-text": "javascript:",
    "to-half": "leads to none",
    "closed": "could not be fetched",
    "garbage": "could not be fetched",
    "reason": "404",
    "endless": "more than 1000000 bytes",
    "short": "3000 of 4000 bytes",
    "nothing": "sha1",
    "negative": "sha1",
    "words": "sha1",
    "wrong": ade20k.SHA1,
}


@pytest.mark.parametrize("how", ANSWERS)
def test_an_answer_that_is_not_the_file(impatient: Path, server: str, how: str, refused: Refused) -> None:
    broken = samples.params()
    broken["datasets"]["ade20k"]["url"] = f"{server}/{how}.zip"
    samples.write(impatient, broken)
    raw = impatient / "data/open/raw/ade20k"
    refused(*DOWNLOAD, named=(server, ANSWERS[how]), leaves="*.part")
    assert not (raw / ade20k.ARCHIVE).exists()


@pytest.mark.parametrize(
    "url",
    ["http://", "http://:80/x", "http://127.0.0.1:1/x", "http://127.0.0.1:99999/x", "http://no such/x"]
    + ["http://[::1/x", "http://a\nb/x", "https://127.0.0.1:1/x", "http://127.0.0.1:x/y"],
)
def test_an_address_that_leads_nowhere(impatient: Path, url: str, refused: Refused) -> None:
    broken = samples.params()
    broken["datasets"]["ade20k"]["url"] = url
    samples.write(impatient, broken)
    refused(*DOWNLOAD, named=(" ".join(url.split())[:12],))


def test_a_wrong_checksum_of_a_known_file(impatient: Path, server: str, refused: Refused) -> None:
    broken = samples.params()
    broken["datasets"]["ade20k"] |= {"url": f"{server}/wrong.zip", "sha256": "0" * 64}
    samples.write(impatient, broken)
    refused(*DOWNLOAD, named=("0" * 64, hashlib.sha256(DATA).hexdigest()))


def test_a_list_that_is_not_the_one_of_params(empty: Path, refused: Refused) -> None:
    broken = samples.params()
    broken["datasets"]["camvid"]["sha256"] = "0" * 64
    samples.write(empty, broken)
    refused("download", "cityscapes", "--scale", "open", named=("camvid.sha256", "0" * 64))


# archives of a mirror, whose checksum nobody knows


def entry(name: str, kind: int = stat.S_IFREG, **more: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("x")
    info.filename = name  # as it is: the constructor mends names
    info.external_attr = (kind | 0o644) << 16
    for key, value in more.items():
        setattr(info, key, value)
    return info


def pack(*entries: tuple[zipfile.ZipInfo, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for info, data in entries:
            archive.writestr(info, data, info.compress_type)
    return content.getvalue()


FIRST = (entry(f"{TOP}/images/training/a.jpg"), encoded("RGB", form="JPEG"))


def second(name: str, kind: int = stat.S_IFREG, data: bytes = b"../../../hacked", **more: int) -> bytes:
    """An archive whose second entry is the wrong one."""
    return pack(FIRST, (entry(f"{TOP}/{name}", kind, **more), data))


def patched(content: bytes, old: bytes, new: bytes) -> bytes:
    assert old in content and len(old) == len(new)
    return content.replace(old, new)


def encrypted() -> bytes:
    content = bytearray(second("images/x"))
    central = content.rindex(b"PK\x01\x02")
    content[central + 8] |= 1
    return bytes(content)


def another_crc() -> bytes:
    content = bytearray(second("images/x", data=b"plain text"))
    content[content.index(b"plain text")] ^= 1
    return bytes(content)


ARCHIVES = {
    "no bytes": lambda: b"",
    "text": lambda: b"<!doctype html>",
    "half": lambda: second("images/x")[: len(second("images/x")) // 2],
    "no entries": lambda: pack(),
    "nothing of the dataset": lambda: pack((entry("readme.txt"), b"hello")),
    "a path above": lambda: second("images/../../../../hacked"),
    "a path far above": lambda: second("images/" + "../" * 50 + "tmp/hacked"),
    "a path above behind a backslash": lambda: second("images/..\\..\\hacked"),
    "a drive": lambda: second("images/C:\\hacked"),
    "a link": lambda: second("images/link", stat.S_IFLNK),
    "a link to a folder": lambda: second("images/validation", stat.S_IFLNK, b"/tmp"),
    "a device": lambda: second("images/null", stat.S_IFCHR, b""),
    "a disk": lambda: second("images/sda", stat.S_IFBLK, b""),
    "a pipe": lambda: second("images/pipe", stat.S_IFIFO, b""),
    "a socket": lambda: second("images/socket", stat.S_IFSOCK, b""),
    "an entry twice": lambda: pack(FIRST, (entry(f"{TOP}/images/training/a.jpg"), b"two")),
    "a way to compress that is not read": lambda: second("images/x", compress_type=zipfile.ZIP_LZMA),
    "another way": lambda: second("images/x", compress_type=zipfile.ZIP_BZIP2),
    "an encrypted entry": encrypted,
    "a bomb": lambda: second("images/x", data=bytes(5_000_000), compress_type=zipfile.ZIP_DEFLATED),
    "a wrong checksum": another_crc,
    "a file that is a folder, too": lambda: second("images/training/a.jpg/b.jpg"),
    "a name too long": lambda: second("images/" + "x" * 300),
    "a label missing": lambda: pack(FIRST),
}


@pytest.mark.parametrize("how", ARCHIVES)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_that_is_not_unpacked(
    impatient: Path, how: str, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = impatient / "mirror" / "ade20k"
    folder.mkdir(parents=True)
    (folder / ade20k.ARCHIVE).write_bytes(ARCHIVES[how]())
    monkeypatch.setenv("DEJAVU_MIRROR", str(impatient / "mirror"))
    # What is whole of it may stay: the next attempt goes on from there, and no manifest vouches for it.
    refused(*DOWNLOAD, named=("ade20k",), leaves="data/open/raw/ade20k/*")
    assert not list(impatient.parent.rglob("hacked*")) and not Path("/tmp/hacked").exists()
    assert not any(path.is_symlink() for path in impatient.rglob("*"))
    assert not (impatient / "data/open/raw/ade20k.json").exists()


SUMS = {
    "nothing": None,
    "no lines": "",
    "no checksum": "hello\n",
    "a path above": f"{'0' * 64}  ../train/a.png\n",
    "an absolute path": f"{'0' * 64}  /etc/passwd\n",
    "a short checksum": f"{'0' * 63}  train/a.png\n",
    "a missing file": f"{'0' * 64}  train/a.png\n",
    "another file": f"{'0' * 64}  train.txt\n",
    "no file of the dataset": f"{'0' * 64}  readme.txt\n",
}


@pytest.mark.parametrize("how", SUMS)
def test_a_mirror_that_is_not_whole(
    empty: Path, how: str, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = empty / "mirror" / "camvid"
    folder.mkdir(parents=True)
    (folder / "train.txt").write_text("a.png\n")
    if SUMS[how] is not None:
        (folder / "SHA256SUMS").write_text(str(SUMS[how]))
    monkeypatch.setenv("DEJAVU_MIRROR", str(empty / "mirror"))
    refused("download", "cityscapes", "--scale", "open", named=("mirror/camvid",))


@pytest.mark.parametrize("place", ["nowhere", "params.yaml", "a\x1bb"])
def test_a_mirror_that_is_no_folder(
    empty: Path, place: str, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEJAVU_MIRROR", place)
    refused("download", "cityscapes", "--scale", "open", named=("DEJAVU_MIRROR",))
