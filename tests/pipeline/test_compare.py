"""`dejavu compare`: a verdict on a user's own folder, resumed, refused, and on one page."""

from __future__ import annotations

import html
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from helpers import ROOT
from helpers.scene_folder import CLASSES, write_scene_folder
from PIL import Image
from scipy import stats

from dejavu.commands import main
from dejavu.commands.compare import length, survey
from dejavu.commands.compare.classes import classes_of
from dejavu.config import loading
from dejavu.errors import DejavuError

NETS = """
from torch import nn
def tiny(num_classes):
    return nn.Sequential(nn.Conv2d(3, 8, 3, stride=4, padding=1), nn.ReLU(), nn.Conv2d(8, num_classes, 1))
def wrong(num_classes):
    return nn.Conv2d(3, num_classes + 1, 3)
def none(num_classes):
    return None
"""
SHORT = ["--network", "nets:tiny", "--epochs", "1", "--short-side", "32"]
NAMES = ["<script>alert(1)</script>", *(name.replace(",", "") for name in CLASSES[1:])]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scene_folder(tmp_path_factory.mktemp("scenes"))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's working directory, with a network of the user's."""
    (tmp_path / "nets.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT))  # where `dejavu` is not installed
    return tmp_path


def line(scenes: Path, labels: str, *more: str) -> list[str]:
    return ["compare", "--images", str(scenes / "photos"), "--labels", str(scenes / labels), *SHORT, *more]


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(words) == 2
    text = capsys.readouterr()
    assert text.out == "" and text.err.count("\n") == 1, text.err
    return text.err


def state(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("seed*") if path.is_file() and not path.name.endswith(".run.json")]
    return {str(path): path.read_bytes() for path in files if "train.json" not in str(path)}


def test_from_a_folder_to_a_page(scenes: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Numbers against scipy, resumption, the page, and the refusal of other arguments for the same folder."""
    words = line(scenes, "masks", "--classes", ",".join(NAMES), "--seeds", "2", "--json")
    assert main(words) == 0
    shown = capsys.readouterr()
    result, out = json.loads(shown.out), here / "compare-photos"
    assert "neighbouring frames" in shown.err and "resized to 32x48" in shown.err
    by_row = {
        row: [
            json.loads((out / f"results/compare/metrics/{row}/seed{seed}.json").read_text())["metrics"][
                "miou"
            ]
            for seed in (0, 1)
        ]
        for row in ("baseline", "dejavu")
    }
    miou = result["metrics"]["miou"]
    assert [miou["baseline"], miou["dejavu"]] == list(by_row.values())
    gains = np.subtract(by_row["dejavu"], by_row["baseline"])
    half = stats.t.ppf(0.975, 1) * gains.std(ddof=1) / np.sqrt(2)
    low, high = gains.mean() - half, gains.mean() + half
    assert miou["gain"] == pytest.approx(gains.mean()) and miou["interval"] == pytest.approx([low, high])
    assert f"{gains.mean():+z.2f}" in result["verdict"] and "2 paired seeds" in result["verdict"]

    page = Path(result["page"]).read_text()
    assert page.count('src="data:image/png;base64,') == 3 and not re.search(r'(src|href)="(?!data:)', page)
    assert "<script" not in page and html.escape(result["verdict"]) in page
    (entry,) = yaml.safe_load((out / "params.yaml").read_text())["datasets"].values()
    assert entry["folder"]["classes"] == NAMES
    loading.load(out / "params.yaml")
    import nets
    from safetensors.torch import load_file

    for paths in result["weights"].values():
        for path in paths:
            nets.tiny(len(NAMES)).load_state_dict(load_file(path))

    before = state(out)
    shutil.rmtree(out / "results/compare/metrics/dejavu")
    shutil.rmtree(out / "runs/compare/dejavu/seed1")
    (out / "checkpoints/compare/dejavu/seed1.safetensors").unlink()
    assert main(words) == 0
    assert "goes on in" in (shown := capsys.readouterr()).err and state(out) == before
    assert json.loads(shown.out)["metrics"] == result["metrics"]
    sentence = refusal(capsys, *[word if word != "2" else "3" for word in words])
    assert "was begun with --seeds 2, not 3" in sentence and "--out" in sentence


@pytest.mark.parametrize("labels", ["depth", "normals"])
def test_depth_and_normals(labels: str, scenes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line(scenes, labels, "--task", labels, "--seeds", "1", "--out", "out", "--json")) == 0
    result = json.loads(capsys.readouterr().out)
    main_metric = {"depth": "depth_aerr", "normals": "normal_merr"}[labels]
    assert next(iter(result["metrics"])) == main_metric and result["metrics"][main_metric]["interval"] is None
    array = np.load(f"out/data/compare/prepared/folder/train_{labels}.npy")
    names = Path("out/data/compare/prepared/folder/train.txt").read_text().split()
    for number, name in enumerate(names):
        folder = "metres" if labels == "depth" else labels
        right = np.load(scenes / folder / f"{name}.npy")
        np.testing.assert_allclose(array[number], right, atol=0.0006 if labels == "depth" else 0.001)


REFUSED: dict[str, tuple[list[str], str]] = {
    "no folder": (["--images", "nowhere"], "--images is .*nowhere, which is not a folder"),
    "no images": (["--images", "empty"], "there is no .jpg or"),
    "other names": (["--images", "other"], "no image has a label of the same name: the first ones are"),
    "few": (["--images", "few"], "has 3 images with labels, 2 of them in train: at least 8 are needed"),
    "depth as classes": (["--labels", "DEPTH"], "class indices"),
    "masks": (["--labels", "binary"], "hold 0 and 255 alone, and 255 is ignored.*--ignore none"),
    "one class": (["--labels", "one"], "hold 7 alone"),
    "classes": (["--classes", "road"], "--classes must be names"),
    "ignored": (["--ignore", "x"], "--ignore must be values"),
    "classes of depth": (["--task", "normals", "--labels", "NORMALS", "--classes", "a,b"], "leave it out"),
    "another folder": (["--out", "other"], "exists, and is no folder of `dejavu compare`"),
    "network": (["--network", "fpn_lite1"], "unknown network 'fpn_lite1', did you mean 'fpn_lite0'"),
    "no module": (["--network", "nowhere:net"], "nowhere cannot be imported .*PYTHONPATH"),
    "no function": (["--network", "nets:nothing"], "has no function 'nothing'"),
    "no network": (["--network", "nets:none"], "returns NoneType, and a torch.nn.Module is needed"),
    "shape": (["--network", "nets:wrong"], r"returns \(1, 14, 126, 126\), and \(1, 13, h, w\) is needed"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case: str, scenes: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence, and no folder is left behind."""
    files = sorted((scenes / "photos").glob("*.png"))
    for name, chosen in (("few", files[:3]), ("other", files)):
        (here / name).mkdir()
        for path in chosen:
            target = path.name if name == "few" else f"{len(list((here / name).iterdir()))}x.png"
            shutil.copy(path, here / name / target)
    (here / "empty").mkdir()
    for name, values in (("binary", (0, 255)), ("one", (7, 7))):
        (here / name).mkdir()
        for path in files:
            mask = np.full((32, 48), values[0], np.uint8)
            mask[:9] = values[1]
            Image.fromarray(mask).save(here / name / path.name)
    options, sentence = REFUSED[case]
    names = {"DEPTH": str(scenes / "depth"), "NORMALS": str(scenes / "normals")}
    before = {path.name for path in here.iterdir()}
    text = refusal(capsys, *line(scenes, "masks"), *[names.get(word, word) for word in options])
    assert re.search(sentence, text), text
    assert {path.name for path in here.iterdir()} - {"__pycache__"} == before - {"__pycache__"}


def test_the_defaults_are_the_rows_of_params_yaml() -> None:
    params = loading.load(ROOT / "params.yaml")
    defaults = yaml.safe_load((ROOT / "dejavu/commands/compare/defaults.yaml").read_text())
    for task, row in (("semantic", ""), ("depth", "_depth"), ("normals", "_normals")):
        run = params.run(f"fpn_lite0{row}_dejavu", "open")
        assert run.dejavu is not None
        assert run.dejavu.model_dump(mode="json", exclude_unset=True) == defaults["dejavu"][task]
        recipe = params.recipes[params.experiments[f"fpn_lite0{row}"].recipe].model_dump(
            mode="json", exclude_unset=True
        )
        del recipe["epochs"], recipe["crop"]
        assert json.loads(json.dumps(defaults["recipes"][task])) == recipe
    (network,) = defaults["networks"].values()
    assert network == {"module": params.networks["fpn_lite0"].module, **params.networks["fpn_lite0"].options}


@pytest.mark.parametrize("seeds", [1, 2, 5, 20])
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("per_epoch", [1, 45])
def test_the_length_is_the_longest_in_time(seeds: int, workers: int, per_epoch: int) -> None:
    rows = [length.Row(0.2, 1.0, 9.0), length.Row(0.26, 1.0, 10.0)]
    most = max(length.MOST_EPOCHS, length.MOST_STEPS // per_epoch)
    for minutes in (1.0, 5.0, 30.0, 600.0):
        left = 60 * minutes - 30 - length.CLOSING
        try:
            epochs = length.choose_epochs(rows, per_epoch, seeds, workers, minutes, 30.0)
        except DejavuError as error:
            needed, fewer = re.search(
                r"--minutes (\d+)(?:, or lower --seeds to (\d+))?$", str(error)
            ).groups()  # type: ignore[union-attr]
            assert length.choose_epochs(rows, per_epoch, seeds, workers, float(needed), 30.0) >= 4
            with pytest.raises(DejavuError):
                length.choose_epochs(rows, per_epoch, seeds, workers, float(needed) - 1, 30.0)
            if fewer:
                assert length.choose_epochs(rows, per_epoch, int(fewer), workers, minutes, 30.0) >= 4
            continue
        assert length.total(rows, epochs, per_epoch, seeds, workers) <= left
        assert epochs >= most or length.total(rows, epochs + 1, per_epoch, seeds, workers) > left


@pytest.mark.parametrize(
    ("sizes", "short", "size"),
    [
        ([(360, 480)] * 2, 144, [144, 192]),
        ([(1024, 2048)], 144, [144, 288]),
        ([(64, 40)], 144, [48, 32]),
        ([(10, 12)], 144, [16, 16]),
        ([(500, 700), (600, 400)], 144, {"short": 144, "long": 576}),
        ([(500, 700), (60, 90)], 144, {"short": 48, "long": 192}),
    ],
)
def test_sizes(sizes: list[tuple[int, int]], short: int, size: Any) -> None:
    assert survey.size_of(sizes, short)[0] == size


LAYOUTS = {
    "suffix": ("{n}_photo.jpg", "{n}_mask.png"),
    "prefix": ("img_{n}.JPG", "mask_{n}.PNG"),
    "endings": ("{n}.tif", "{n}.png"),
    "spaces": ("a {n}.b.jpg", "a {n}.b.png"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("folders", [None, ("train", "val"), ("training", "validation"), ("x", "y")])
def test_pairs_and_splits(layout: str, folders: tuple[str, str] | None, tmp_path: Path) -> None:
    image, label = LAYOUTS[layout]
    if folders is not None and layout == "prefix":
        pytest.skip("prefixes are for folders without sub-folders")
    for n in range(15):
        below = "" if folders is None else f"{folders[n >= 9]}/"
        for root, pattern in (("i", image), ("l", label)):
            path = tmp_path / root / below / pattern.format(n=f"{n:02d}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    (tmp_path / "i" / "notes.txt").touch()
    found = survey.survey(tmp_path / "i", tmp_path / "l", "semantic")
    counts = (9, 6) if folders in survey.SPLITS else (12, 3)
    assert tuple(len(names) for names in found.splits.values()) == counts
    every = [name for names in found.splits.values() for name in names]
    assert len(set(every)) == 15 and every == sorted(every)
    for pattern, root in ((found.images, "i"), (found.labels, "l")):
        for name in every:
            path = tmp_path / root / pattern.replace("{name}", name)
            assert path.name.lower() in {one.name.lower() for one in path.parent.iterdir()}


@pytest.mark.parametrize(
    ("present", "requested", "ignore", "values", "ignored"),
    [
        ([0, 1, 2, 255], None, "255", [0, 1, 2], [255]),
        ([0, 2, 3, 255], None, "255", [0, 1, 2, 3], [255]),  # a class may be absent
        ([0, 1, 2, 11], "3", "255", [0, 1, 2], [11, 255]),
        ([0, 1, 2, 3], "a,b,c", "0", [1, 2, 3], [0]),
        ([0, 255], "a,b", "none", [0, 255], []),
        ([0, 255], None, "none", [0, 255], []),
        ([0, 1], "5", "255", [0, 1, 2, 3, 4], [255]),
    ],
)
def test_classes(
    present: list[int],
    requested: str | None,
    ignore: str,
    values: list[int],
    ignored: list[int],
    tmp_path: Path,
) -> None:
    Image.fromarray(np.array([present], np.uint8)).save(tmp_path / "a.png")
    found = classes_of([tmp_path / "a.png"], requested, ignore)
    assert (found.values, found.ignore, len(found.names)) == (values, ignored, len(values))
    named = {value: f"value {value}" for value in present if value not in (*values, *ignored)}
    assert not named and all("ignored" in one or "--classes" in one for one in found.sentences)
