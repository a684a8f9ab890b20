"""Results and weights reach another clone through git and a DVC remote; neither engine makes them again."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from helpers import ROOT, copy_params
from helpers.sharing import Clone, start

DATA = {f"dejavu {stage} cityscapes --scale smoke" for stage in ("download", "prepare")}
GAMMA = "experiments.hrnet18_dejavu.dejavu.gamma"
S3_KEY = "{http://s3.amazonaws.com/doc/2006-03-01/}Key"
METRICS = "results/smoke/metrics/hrnet18_dejavu/seed0.json"


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The address of an empty bucket in an S3 server of this process."""
    server = pytest.importorskip("moto.server", reason="the S3 server needs the extra: pip install .[dev]")
    pytest.importorskip("dvc_s3", reason="DVC's S3 remotes need the extra: pip install .[s3]")
    running = server.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    running.start()
    address = "http://{}:{}/results".format(*running.get_host_and_port())
    urllib.request.urlopen(urllib.request.Request(address, method="PUT")).close()
    yield address
    running.stop()


@pytest.fixture(scope="module")
def author(tmp_path_factory: pytest.TempPathFactory, bucket: str) -> Clone:
    """Who has run everything with Snakemake, and shares it: as docs/reproduce.md says."""
    clone = start(tmp_path_factory.mktemp("author") / "clone")
    clone.environment |= {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "secret"}
    clone.make_all()
    clone.run("dvc", "remote", "add", "folder", str(clone.folder.parent / "remote"))
    clone.run("dvc", "remote", "add", "bucket", "s3://results/dejavu")
    clone.run("dvc", "remote", "modify", "bucket", "endpointurl", bucket.rpartition("/")[0])
    before = stamps(clone)
    clone.run("dvc", "commit", "--force")
    for remote in ("folder", "bucket"):
        clone.run("dvc", "push", "--remote", remote)
    assert stamps(clone) == before, "DVC leaves every file as it is"
    clone.run("git", "add", "--force", "dvc.lock", ".dvc/config", "results/smoke")
    clone.run("git", "commit", "--quiet", "--message", "Results")
    assert len(clone.ran) == 8
    return clone


def stamps(clone: Clone) -> dict[str, tuple[int, int]]:
    """Each file's time and place on disk: a file that was written again has another."""
    found = {name: (clone.folder / name).stat() for name in clone.made()}
    return {name: (stat.st_mtime_ns, stat.st_ino) for name, stat in found.items()}


def fresh(author: Clone, folder: Path, remote: str = "folder") -> Clone:
    clone = author.clone(folder)
    clone.environment |= {
        key: author.environment[key] for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    }
    clone.run("dvc", "remote", "default", "--local", remote)
    return clone


def test_who_shares_has_nothing_to_run_either(author: Clone) -> None:
    assert author.to_run == set()
    author.run("dvc", "repro")
    assert author.ran == set()


@pytest.mark.parametrize("remote", ["folder", "bucket"])
def test_make_results_in_a_fresh_clone(author: Clone, tmp_path: Path, remote: str) -> None:
    clone = fresh(author, tmp_path / "clone", remote)
    assert clone.made().keys() < author.made().keys(), "weights come through the remote only"
    clone.run("make", "results")
    assert clone.made() == author.made()
    assert clone.to_run == set()
    clone.run("dvc", "repro", "--allow-missing")
    assert clone.ran == set()
    clone.run("dvc", "repro")  # wants the data, too, and makes the same as the author's
    assert clone.ran == DATA


def test_only_weights_are_in_the_bucket(author: Clone, bucket: str) -> None:
    """Data never leave the machine. Their terms forbid it."""
    with urllib.request.urlopen(f"{bucket}?list-type=2") as answer:
        listing = ElementTree.parse(answer).getroot()
    keys = {(key.text or "").rpartition("/md5/")[2].replace("/", "") for key in listing.iter(S3_KEY)}
    made = author.made().items()
    weights = {hashlib.md5(content).hexdigest() for name, content in made if name.endswith(".safetensors")}
    assert len(weights) == 3
    assert {key for key in keys if not key.endswith(".dir")} == weights
    assert len(keys) == 3 + 2, "and a list of each row's files"


def test_results_of_another_configuration_are_refused(author: Clone, tmp_path: Path) -> None:
    """Or touching them would make old numbers pass for new ones."""
    clone = fresh(author, tmp_path / "clone")
    params = yaml.safe_load((clone.folder / "params.yaml").read_text())
    params["experiments"]["hrnet18_dejavu"]["dejavu"]["gamma"] += 1
    (clone.folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    said = clone.run("make", "results", fails=True)
    assert "not made with this params.yaml; these stages differ: train@hrnet18_dejavu" in said
    assert "train@hrnet18 " not in said and said.count("train@hrnet18_dejavu") == 1
    assert not (clone.folder / ".snakemake" / "metadata").exists()


def test_nothing_shared_is_one_sentence(author: Clone, tmp_path: Path) -> None:
    clone = author.clone(tmp_path / "clone")
    (clone.folder / "dvc.lock").unlink()
    said = clone.run("make", "results", fails=True)
    assert "There is no dvc.lock here: this branch shares no results (docs/reproduce.md)." in said
    assert "Traceback" not in said


@pytest.fixture
def experimenter(author: Clone, tmp_path: Path) -> Clone:
    shutil.copytree(author.folder, tmp_path / "clone", symlinks=True)
    clone = Clone(tmp_path / "clone")
    assert clone.ran == set()
    return clone


def test_an_experiment_changes_one_row_and_metrics_diff_shows_it(experimenter: Clone) -> None:
    before = json.loads((experimenter.folder / METRICS).read_text())["metrics"]["miou"]
    experimenter.run("dvc", "exp", "run", "--name", "strong", "--set-param", f"{GAMMA}=1.5")
    assert experimenter.ran == {
        *(f"dejavu {stage} hrnet18_dejavu --scale smoke" for stage in ("train", "evaluate")),
        *(f"dejavu {stage} pair --scale smoke" for stage in ("tables", "figures")),
    }
    after = json.loads((experimenter.folder / METRICS).read_text())["metrics"]["miou"]
    assert before != after
    changed = json.loads(experimenter.run("dvc", "metrics", "diff", "--json"))
    assert changed.keys() == {METRICS}
    found = changed[METRICS]["metrics.miou"]
    assert (found["old"], found["new"]) == (before, after)
    assert found["diff"] == pytest.approx(after - before)
    params = yaml.safe_load((experimenter.folder / "params.yaml").read_text())
    assert params["experiments"]["hrnet18_dejavu"]["dejavu"]["gamma"] == 1.5


@pytest.mark.parametrize("page", ["docs/reproduce.md"])
def test_the_experiment_on_the_page_changes_what_it_says(tmp_path: Path, page: str) -> None:
    """In the real params.yaml, where DVC passes over a mapping that other rows share."""
    from dvc.utils.hydra import apply_overrides

    found = re.search(r"dvc exp run -S ((\S+)=(\S+)) evaluate@(\w+)", (ROOT / page).read_text())
    assert found is not None and found[4] in found[2].split(".")
    copy_params(tmp_path)
    apply_overrides(tmp_path / "params.yaml", [found[1]])
    before, after = (flat(yaml.safe_load((place / "params.yaml").read_text())) for place in (ROOT, tmp_path))
    assert {key for key in before | after if before.get(key) != after.get(key)} == {found[2]}
    assert after[found[2]] == yaml.safe_load(found[3])


def flat(section: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Values by their whole key."""
    found: dict[str, Any] = {}
    for key, value in section.items():
        found |= flat(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return found


def test_plots_are_the_learning_curves_and_need_no_network(experimenter: Clone) -> None:
    experimenter.environment |= {key: "http://127.0.0.1:9" for key in ("http_proxy", "https_proxy")}
    said = json.loads(experimenter.run("dvc", "plots", "show", "--json"))["data"]
    assert said.keys() == {f"results/smoke/logs/{row}/seed0.csv" for row in ("hrnet18", "hrnet18_dejavu")}
    for name, (plot,) in said.items():
        lines = (experimenter.folder / name).read_text().splitlines()[1:]
        values = plot["content"]["data"]["values"]
        assert [f"{value['step']},{value['loss']}" for value in values] == lines


def test_dvc_copies_and_never_links() -> None:
    """What the tests above rely on, at every scale: a link is a new file to Snakemake."""
    from dvc.repo import Repo

    with Repo(ROOT) as repo:
        assert repo.cache.local.cache_types == ["copy"]
        cached = {str(out.def_path).split("/")[0] for out in repo.index.outs if out.use_cache}
    assert cached == {"checkpoints"}
