"""Fetching over HTTP with faults, mirrors, and the download stage."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import copy_params
from PIL import Image

from dejavu.commands import download
from dejavu.config import DataSource, KeepAspect, Source, loading
from dejavu.datasets import ade20k, camvid
from dejavu.datasets.obtain import archive, fetch, mirror
from dejavu.errors import DejavuError
from dejavu.system.locks import locked

DATA = bytes(np.random.default_rng(0).integers(0, 256, 200_000, dtype=np.uint8))
DIGEST = hashlib.sha256(DATA).hexdigest()
QUICK = {"pause": 0.01, "timeout": 5, "attempts": 3}


class Server(ThreadingHTTPServer):
    """Serves `files`; `faults[path]` lists what goes wrong with the first requests for it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {"/file": DATA}
        self.faults: dict[str, list[str]] = {}
        self.requests: list[tuple[str, str | None]] = []

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.requests.append((self.path, asked))
        self.close_connection = True
        faults = self.server.faults.get(self.path, [])
        fault = faults.pop(0) if faults else ""
        if fault.startswith("redirect "):
            return self.answer(302, b"", Location=fault.removeprefix("redirect "))
        if fault.isdigit():
            return self.answer(int(fault), b"no")
        data = self.server.files.get(self.path)
        if data is None:
            return self.answer(404, b"no")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and fault != "no ranges" else 0
        if start >= len(data) and start:
            return self.answer(416, b"")
        extra = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
        if fault == "wrong range":
            extra = {"Content-Range": f"bytes 0-{len(data) - 1}/{len(data)}"}
        body = data[start:]
        sent = body[: len(body) // 2] if fault == "break off" else body
        self.answer(206 if extra else 200, sent, len(body), **extra)

    def answer(self, status: int, body: bytes, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("DEJAVU_MIRROR", raising=False)
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def get(server: Server, path: Path, digest: str = DIGEST) -> None:
    fetch.fetch(server.url("/file"), path, digest, **QUICK)  # type: ignore[arg-type]


def test_a_file_is_fetched_once(server: Server, tmp_path: Path) -> None:
    for _ in range(2):
        get(server, tmp_path / "sub" / "f")
        assert (tmp_path / "sub" / "f").read_bytes() == DATA
    assert server.requests == [("/file", None)]
    assert [p.name for p in (tmp_path / "sub").iterdir()] == ["f"]


def test_a_file_with_another_content_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"old")
    get(server, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == DATA


def test_a_broken_transfer_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.faults["/file"] = ["break off", "break off"]
    get(server, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == DATA
    half = len(DATA) // 2
    assert [asked for _, asked in server.requests] == [None, f"bytes={half}-", f"bytes={half + half // 2}-"]


def test_a_later_run_goes_on_where_the_first_gave_up(server: Server, tmp_path: Path) -> None:
    server.faults["/file"] = ["break off", "503", "503"]
    with pytest.raises(DejavuError, match="attempt 3 of 3 .HTTP 503"):
        get(server, tmp_path / "f")
    assert not (tmp_path / "f").exists() and (tmp_path / "f.part").stat().st_size == len(DATA) // 2
    get(server, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == DATA
    assert server.requests[-1] == ("/file", f"bytes={len(DATA) // 2}-")


@pytest.mark.parametrize("fault", ["no ranges", "wrong range"])
def test_a_server_that_cannot_resume_is_asked_from_the_start(
    server: Server, tmp_path: Path, fault: str
) -> None:
    (tmp_path / "f.part").write_bytes(DATA[:1000])
    server.faults["/file"] = [fault]
    get(server, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == DATA


@pytest.mark.parametrize("part", [b"x" * 1000, b"x" * (len(DATA) + 5), DATA])
def test_a_part_of_something_else_does_no_harm(server: Server, tmp_path: Path, part: bytes) -> None:
    (tmp_path / "f.part").write_bytes(part)
    get(server, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == DATA


def test_a_wrong_checksum_is_one_sentence_and_no_file(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DejavuError, match=f"/file has sha256 {DIGEST} where {'0' * 64} was expected"):
        get(server, tmp_path / "f", "0" * 64)
    assert not list(tmp_path.iterdir())


def test_a_missing_file_is_not_tried_again(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DejavuError, match="/gone answers HTTP 404"):
        fetch.fetch(server.url("/gone"), tmp_path / "f", DIGEST, **QUICK)  # type: ignore[arg-type]
    assert len(server.requests) == 1 and not list(tmp_path.iterdir())


def test_errors_that_may_pass_are_tried_again(server: Server, tmp_path: Path) -> None:
    server.faults["/file"] = ["503", "429"]
    get(server, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == DATA


def test_a_redirect_to_http_is_followed(server: Server, tmp_path: Path) -> None:
    server.faults["/old"] = [f"redirect {server.url('/file')}"]
    fetch.fetch(server.url("/old"), tmp_path / "f", DIGEST, **QUICK)  # type: ignore[arg-type]
    assert (tmp_path / "f").read_bytes() == DATA


@pytest.mark.parametrize("target", ["file://{}", "ftp://127.0.0.1{}", "data:text/plain,hello"])
def test_a_redirect_to_anything_else_is_refused(server: Server, tmp_path: Path, target: str) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(DATA)
    server.faults["/file"] = ["redirect " + target.format(secret)]
    with pytest.raises(DejavuError, match="302|redirect"):
        get(server, tmp_path / "f")
    assert [p.name for p in tmp_path.iterdir()] == ["secret"] and len(server.requests) == 1


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/x", "x"])
def test_only_http_is_fetched(url: str, tmp_path: Path) -> None:
    with pytest.raises(DejavuError, match="not an http or https address"):
        fetch.fetch(url, tmp_path / "f", DIGEST)


def test_a_server_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as gone:
        port = gone.server_address[1]
    with pytest.raises(DejavuError, match="could not be fetched.*DEJAVU_MIRROR"):
        fetch.fetch(f"http://127.0.0.1:{port}/f", tmp_path / "f", DIGEST, **QUICK)  # type: ignore[arg-type]


def test_many_files_are_fetched_and_the_first_error_ends_it(server: Server, tmp_path: Path) -> None:
    server.files = {f"/d/{n}%20%C3%A9.bin": bytes([n]) * 100 for n in range(20)}
    files = {f"{n} é.bin": hashlib.sha256(bytes([n]) * 100).hexdigest() for n in range(20)}
    fetch.fetch_all(server.url("/d/"), files, tmp_path, **QUICK)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {
        f"{n} é.bin": bytes([n]) * 100 for n in range(20)
    }
    files["20 é.bin"] = "0" * 64
    with pytest.raises(DejavuError, match="404"):
        fetch.fetch_all(server.url("/d/"), files, tmp_path, **QUICK)
    assert len(list(tmp_path.iterdir())) == 20 and len(server.requests) == 21


# mirrors


def write_mirror(folder: Path, suffix: str = ".jpg") -> dict[str, bytes]:
    """A little CamVid, two images a split."""
    for split in camvid.SPLITS:
        for name in ("a", "b"):
            for path, shape in (
                (f"{split}/{name}{suffix}", (12, 16, 3)),
                (f"{split}annot/{name}.png", (12, 16)),
            ):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.full(shape, len(split), np.uint8)).save(folder / path)
        (folder / f"{split}.txt").write_text("a\nb\n")
    (folder / "SOURCE.txt").write_text("where from")
    files = {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  ./{name}\n" for name, data in files.items())
    (folder / "SHA256SUMS").write_text(sums)
    return files


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path) -> Path:
    copy_params(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEJAVU_MIRROR", str(tmp_path / "mirror"))
    return tmp_path


def test_a_mirror_is_copied_verified_and_described(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = write_mirror(here / "mirror" / "camvid")
    params = loading.load("params.yaml")
    manifests = []
    for _ in range(2):
        download.download_dataset(params, "cityscapes", "open")
        manifests.append((here / "data/open/raw/cityscapes.json").read_bytes())
    assert manifests[0] == manifests[1]
    said = json.loads(manifests[0])
    raw = here / "data/open/raw/cityscapes"
    copied = {p.relative_to(raw).as_posix(): p.read_bytes() for p in raw.rglob("*") if p.is_file()}
    assert copied == {name: data for name, data in files.items() if name != "SOURCE.txt"}
    assert said["bytes"] == sum(map(len, copied.values())) and said["files"] == len(copied) == 15
    assert said["splits"] == {"train": 2, "val": 2, "test": 2}
    assert (said["dataset"], said["source"], said["stands_in_for"]) == ("cityscapes", "camvid", "cityscapes")
    expected = "".join(f"{hashlib.sha256(copied[name]).hexdigest()}  {name}\n" for name in sorted(copied))
    assert said["sha256"] == hashlib.sha256(expected.encode()).hexdigest()
    assert capsys.readouterr().out.count("\n") == 2


@pytest.mark.parametrize("fault", ["changed", "missing", "no sums"])
def test_a_mirror_that_is_not_whole_is_refused(here: Path, fault: str) -> None:
    folder = here / "mirror" / "camvid"
    write_mirror(folder)
    if fault == "changed":
        (folder / "val/a.jpg").write_bytes(b"else")
    else:
        (folder / ("val/a.jpg" if fault == "missing" else "SHA256SUMS")).unlink()
    with pytest.raises(DejavuError, match="SHA256SUMS" if fault == "no sums" else r"val/a\.jpg"):
        download.download_dataset(loading.load("params.yaml"), "cityscapes", "open")
    assert not (here / "data/open/raw/cityscapes.json").exists()
    assert not (here / "data/open/raw/cityscapes/val/a.jpg").exists()


def test_the_network_serves_where_the_mirror_lacks_the_dataset(
    here: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also: what another source left beside the originals is dropped, so that no pair is ambiguous."""
    (here / "mirror").mkdir()
    monkeypatch.setenv("DEJAVU_MIRROR", str(here / "mirror"))
    files = write_mirror(here / "origin" / "CamVid", suffix=".png")
    server.files = {f"/CamVid/{name}": data for name, data in files.items()}
    sums = here / "sums"
    sums.write_text(
        "".join(
            f"{hashlib.sha256(d).hexdigest()}  CamVid/{n}\n" for n, d in files.items() if n != "SOURCE.txt"
        )
    )
    monkeypatch.setattr(camvid, "CHECKSUMS", sums)
    text = (here / "params.yaml").read_text()
    old = loading.load("params.yaml").datasets["camvid"]
    text = text.replace(str(old.url), server.url("/CamVid/"))
    (here / "params.yaml").write_text(text)
    with pytest.raises(DejavuError, match="but datasets.camvid.sha256 is"):
        download.download_dataset(loading.load("params.yaml"), "cityscapes", "open")
    digest = hashlib.sha256(sums.read_bytes()).hexdigest()
    (here / "params.yaml").write_text(text.replace(str(old.sha256), digest))
    raw = here / "data/open/raw/cityscapes"
    (raw / "train").mkdir(parents=True, exist_ok=True)
    (raw / "train" / "a.jpg").write_bytes(b"of the mirror")
    download.download_dataset(loading.load("params.yaml"), "cityscapes", "open")
    assert not (raw / "train/a.jpg").exists()
    assert {p.suffix for p in (raw / "train").iterdir()} == {".png"}


def test_the_shipped_list_is_the_one_that_params_names(root: Path) -> None:
    files = camvid._originals(loading.load(root / "params.yaml").datasets["camvid"].sha256)
    kinds = {split: sum(name.startswith(f"{split}/") for name in files) for split in camvid.SPLITS}
    assert kinds == {"train": 367, "val": 101, "test": 233} and len(files) == 2 * 701 + 3


def test_real_labels_have_the_checksums_of_the_originals(mirror: Path, root: Path) -> None:
    files = camvid._originals(loading.load(root / "params.yaml").datasets["camvid"].sha256)
    for path in sorted((mirror / "camvid" / "valannot").iterdir())[:20]:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == files[f"valannot/{path.name}"]


def test_a_second_download_waits_for_the_first(here: Path, root: Path) -> None:
    text = Path("params.yaml").read_text()
    assert "train: 8, val: 4" in text
    text = text.replace("train: 8, val: 4", "train: 2, val: 1").replace("batch_size: 4,", "batch_size: 2,")
    Path("params.yaml").write_text(text)
    code = (
        "from dejavu.config import loading; from dejavu.commands import download; "
        "download.download_dataset(loading.load('params.yaml'), 'cityscapes', 'smoke')"
    )
    environment = {**os.environ, "PYTHONPATH": str(root)}
    raw = here / "data/smoke/raw"
    with locked(raw / ".cityscapes.lock"):
        second = subprocess.Popen(
            [sys.executable, "-c", code],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert second.stderr is not None
        assert "waiting for another process" in second.stderr.readline()
        assert not (raw / "cityscapes").exists()
    said = second.communicate(timeout=120)
    assert second.returncode == 0, said
    before = (raw / "cityscapes.json").read_bytes()
    assert json.loads(before)["splits"] == {"train": 2, "val": 1}
    download.download_dataset(loading.load("params.yaml"), "cityscapes", "smoke")
    assert (raw / "cityscapes.json").read_bytes() == before


def test_a_mirror_that_is_not_a_folder_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DEJAVU_MIRROR", str(tmp_path / "nowhere"))
    with pytest.raises(DejavuError, match="DEJAVU_MIRROR is .*nowhere"):
        mirror.find("camvid")


# archives


def pack(entries: dict[str, bytes], **attributes: int) -> bytes:
    """A zip archive of these entries; `attributes` are set on the first."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in entries.items():
            entry = zipfile.ZipInfo(name)
            for key, value in attributes.items():
                setattr(entry, key, value)
            attributes = {}
            packed.writestr(entry, data)
    return content.getvalue()


def unpack(folder: Path, data: bytes, limit: int = 10**6) -> list[str]:
    (folder / "a.zip").write_bytes(data)
    return archive.unpack(folder / "a.zip", folder / "out", lambda name: name, limit)


def test_an_archive_is_unpacked_and_what_is_there_stays(tmp_path: Path) -> None:
    entries = {"a/x": b"one" * 1000, "y": b"two", "z": b""}
    for _ in range(2):
        assert unpack(tmp_path, pack({"a/": b"", **entries})) == sorted(entries)
        assert {name: (tmp_path / "out" / name).read_bytes() for name in entries} == entries
        (tmp_path / "out" / "y").write_bytes(b"2wo")  # as long as it should be, and something else
        os.utime(tmp_path / "out" / "a/x", (1, 1))
    unpack(tmp_path, pack(entries))
    assert (tmp_path / "out" / "y").read_bytes() == b"two"
    assert (tmp_path / "out" / "a/x").stat().st_mtime == 1


@pytest.mark.parametrize(
    ("name", "attributes", "fault"),
    [
        ("../x", {}, "leads out"),
        ("/etc/x", {}, "leads out"),
        ("a/../../x", {}, "leads out"),
        ("a\\..\\x", {}, "leads out"),
        ("x", {"external_attr": 0o120777 << 16}, "no plain file"),  # a symbolic link
        ("y", {}, "twice"),
    ],
)
def test_an_entry_that_is_not_safe_is_refused_before_anything_is_written(
    tmp_path: Path, name: str, attributes: dict[str, int], fault: str
) -> None:
    # zipfile mends some names when it reads them, so the path comes from `keep`, as it may in any case
    kept = {"first": name, "y": "y"}
    (tmp_path / "a.zip").write_bytes(pack({"first": b"no", "y": b"yes"}, **attributes))
    with pytest.raises(DejavuError, match=fault) as error:
        archive.unpack(tmp_path / "a.zip", tmp_path / "out", kept.get, 10**6)
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.rglob("*")] == ["a.zip"]


def test_an_archive_that_would_become_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DejavuError, match="would become 2000 bytes, more than 1999"):
        unpack(tmp_path, pack({"x": bytes(1000), "y": bytes(1000)}), 1999)
    assert not (tmp_path / "out").exists()


def test_an_archive_is_not_unpacked_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DejavuError, match="is a link out of"):
        unpack(tmp_path, pack({"a/x": b"one"}))
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("how", ["half", "flipped", "text"])
def test_a_damaged_archive_is_one_sentence(tmp_path: Path, how: str) -> None:
    data = bytearray(pack({"x": DATA[:5000]}))
    damaged = {"half": data[: len(data) // 2], "text": b"<html>no such file</html>"}
    if how == "flipped":
        data[2000] ^= 1
    with pytest.raises(DejavuError, match="a.zip cannot be unpacked") as error:
        unpack(tmp_path, bytes(damaged.get(how, data)))
    assert "\n" not in str(error.value)


def ade20k_archive() -> bytes:
    """ADE20K in small, as its archive has it."""
    top, image, label = "ADEChallengeData2016", io.BytesIO(), io.BytesIO()
    Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(image, "JPEG")
    Image.fromarray(np.ones((6, 8), np.uint8)).save(label, "PNG")
    entries = {f"{top}/sceneCategories.txt": b"no"}
    for folder, name in (("training", "ADE_train_00000001"), ("validation", "ADE_val_00000001")):
        entries[f"{top}/images/{folder}/{name}.jpg"] = image.getvalue()
        entries[f"{top}/annotations/{folder}/{name}.png"] = label.getvalue()
    return pack(entries)


def test_ade20k_is_fetched_verified_and_unpacked_once(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ade20k_archive()
    server.files, server.faults = {"/ade.zip": data}, {"/ade.zip": ["break off"]}
    source = Source(licence="", url=server.url("/ade.zip"))
    part: Any = DataSource(source="ade20k", size=KeepAspect(short=6, long=9))
    with pytest.raises(DejavuError, match=f"sha1 .* where {ade20k.SHA1} was expected"):
        ade20k.download(tmp_path, part, source)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(ade20k, "SHA1", hashlib.sha1(data).hexdigest())
    expected = sorted(name.partition("/")[2] for name in zipfile.ZipFile(io.BytesIO(data)).namelist()[1:])
    for _ in range(2):
        assert ade20k.download(tmp_path, part, source) == expected
    asked = len(server.requests)
    with pytest.raises(DejavuError, match="sha256"):
        ade20k.download(tmp_path, part, source.model_copy(update={"sha256": "0" * 64}))
    assert asked == 3 and len(server.requests) == 4  # broken off, gone on with, whole; then asked anew


def test_a_mirror_may_have_the_archive_of_ade20k(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEJAVU_MIRROR", str(tmp_path))
    (tmp_path / "ade20k").mkdir()
    (tmp_path / "ade20k" / ade20k.ARCHIVE).write_bytes(ade20k_archive())
    (tmp_path / "earlier").mkdir()
    raw = tmp_path / "raw"
    mirror.link(tmp_path / "earlier", raw / "images")  # of another mirror: it is not written to
    files = ade20k.download(raw, DataSource(source="ade20k", size=(6, 8)), Source(licence=""))
    assert len(files) == 4 and all((raw / name).is_file() for name in files)
    assert not (raw / "images").is_symlink() and not list((tmp_path / "earlier").iterdir())
