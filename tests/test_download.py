"""Fetching over HTTP with faults, mirrors, and the download stage."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dejavu import config
from dejavu.datasets import camvid, fetch, mirror
from dejavu.errors import DejavuError
from dejavu.lock import locked
from dejavu.stages import download

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
    shutil.copy(root / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEJAVU_MIRROR", str(tmp_path / "mirror"))
    return tmp_path


def test_a_mirror_is_copied_verified_and_described(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = write_mirror(here / "mirror" / "camvid")
    params = config.load("params.yaml")
    manifests = []
    for _ in range(2):
        download.run(params, "cityscapes", "open")
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
        download.run(config.load("params.yaml"), "cityscapes", "open")
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
    old = config.load("params.yaml").datasets["camvid"]
    text = text.replace(str(old.url), server.url("/CamVid/"))
    (here / "params.yaml").write_text(text)
    with pytest.raises(DejavuError, match="but datasets.camvid.sha256 is"):
        download.run(config.load("params.yaml"), "cityscapes", "open")
    digest = hashlib.sha256(sums.read_bytes()).hexdigest()
    (here / "params.yaml").write_text(text.replace(str(old.sha256), digest))
    raw = here / "data/open/raw/cityscapes"
    (raw / "train").mkdir(parents=True, exist_ok=True)
    (raw / "train" / "a.jpg").write_bytes(b"of the mirror")
    download.run(config.load("params.yaml"), "cityscapes", "open")
    assert not (raw / "train/a.jpg").exists()
    assert {p.suffix for p in (raw / "train").iterdir()} == {".png"}


def test_the_shipped_list_is_the_one_that_params_names(root: Path) -> None:
    files = camvid._originals(config.load(root / "params.yaml").datasets["camvid"].sha256)
    kinds = {split: sum(name.startswith(f"{split}/") for name in files) for split in camvid.SPLITS}
    assert kinds == {"train": 367, "val": 101, "test": 233} and len(files) == 2 * 701 + 3


def test_real_labels_have_the_checksums_of_the_originals(mirror: Path, root: Path) -> None:
    files = camvid._originals(config.load(root / "params.yaml").datasets["camvid"].sha256)
    for path in sorted((mirror / "camvid" / "valannot").iterdir())[:20]:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == files[f"valannot/{path.name}"]


def test_a_second_download_waits_for_the_first(here: Path, root: Path) -> None:
    text = Path("params.yaml").read_text()
    assert "train: 8, val: 4" in text
    text = text.replace("train: 8, val: 4", "train: 2, val: 1").replace("batch_size: 4\n", "batch_size: 2\n")
    Path("params.yaml").write_text(text)
    code = (
        "from dejavu import config; from dejavu.stages import download; "
        "download.run(config.load('params.yaml'), 'cityscapes', 'smoke')"
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
    download.run(config.load("params.yaml"), "cityscapes", "smoke")
    assert (raw / "cityscapes.json").read_bytes() == before


def test_a_mirror_that_is_not_a_folder_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DEJAVU_MIRROR", str(tmp_path / "nowhere"))
    with pytest.raises(DejavuError, match="DEJAVU_MIRROR is .*nowhere"):
        mirror.find("camvid")
