"""The command line: unknown commands and names, options that cannot be, and stages without what they read."""

from __future__ import annotations

from pathlib import Path

import pytest

from .checks import Refused

# arguments and what the sentence must name
LINES: list[tuple[str, str]] = [
    ("fly", "'fly'"),
    ("trian hrnet18", "'train'"),
    ("TRAIN hrnet18", "'train'"),
    ("--verson", "'--version'"),
    ("--scale smoke list", "a command comes first"),
    ("train", "EXPERIMENT"),
    ("train hrnet18 hrnet18", "hrnet18"),
    ("train hrnet18 --fast", "--fast"),
    ("train zebra", "'zebra'"),
    ("train hrnet81", "'hrnet18'"),
    ("train HRNet18", "'hrnet18'"),
    ("train hrnet18 --sede 0", "'--seed'"),
    ("train hrnet18 --scale Smoke", "'smoke'"),
    ("download CityScapes", "'cityscapes'"),
    ("tables Pair", "'pair'"),
    ("figures PAIR", "'pair'"),
    ("figures pannel", "unknown figure 'pannel', did you mean 'panel'?"),
    ("figures panel", "'panel' is a figure"),
    ("completion", "register-python-argcomplete"),
    ("complete bash", "docs/commands.md"),
    ("show HRNet18-DejaVu", "'hrnet18_dejavu'"),
    ("cost HRNET18", "'hrnet18'"),
    ("plan HRNET18", "'hrnet18'"),
    ("evaluate hrnet18 --protocol Whole", "'whole'"),
    ("score Semantik --gt a --pred b", "'semantic'"),
    ("score semantic --gt a --pred b --clases 3", "'--classes'"),
    ("list --table PEAR", "'pair'"),
    ("list --task Depht", "'depth'"),
    ("list --sort Nam", "'name'"),
    ("list --table pair --task depth", "no experiment"),
    ("list HRNET19", "'hrnet18'"),
    ("train ../hrnet18", "'../hrnet18'"),
    ("train hrnet18/", "'hrnet18/'"),
    ("train /etc/passwd", "'/etc/passwd'"),
    ("train hrnet18 --seed x", "--seed: must be a whole number, not 'x'"),
    ("train hrnet18 --seed 7", "--seed 7"),
    ("train hrnet18 --seed -1", "--seed -1"),
    ("train hrnet18 --seed 0.5", "--seed"),
    ("train hrnet18 --seed " + "9" * 400, "--seed"),
    ("train hrnet18 --checkpoint-seconds x", "--checkpoint-seconds: must be a number of at least 0, not 'x'"),
    ("train hrnet18 --checkpoint-seconds -1", "--checkpoint-seconds"),
    ("train hrnet18 --checkpoint-seconds nan", "--checkpoint-seconds"),
    ("train hrnet18 --scale tiny", "'tiny'"),
    ("train hrnet18 --scale ../smoke", "'../smoke'"),
    ("train hrnet18 --scale", "--scale"),
    ("train hrnet18 --params", "--params"),
    ("train hrnet18 --params nowhere.yaml", "nowhere.yaml"),
    ("train hrnet18", "dejavu prepare cityscapes"),
    ("train hrnet18 --scale open", "dejavu prepare cityscapes --scale open"),
    ("download", "DATASET"),
    ("download zebra", "'zebra'"),
    ("download ../cityscapes", "'../cityscapes'"),
    ("download synthetic", "'synthetic'"),
    ("download ade20k --scale smoke", "'ade20k'"),
    ("download mine --scale open", "datasets.mine.folder.path"),
    ("prepare zebra", "'zebra'"),
    ("prepare cityscapes", "dejavu download cityscapes"),
    ("prepare cityscapes --seed 0", "--seed"),
    ("evaluate zebra", "'zebra'"),
    ("evaluate hrnet18", "dejavu prepare cityscapes"),
    ("evaluate hrnet18 --protocol", "--protocol"),
    ("evaluate hrnet18 --again yes", "yes"),
    ("evaluate hrnet18 --again=yes", "--again takes no value: leave 'yes' out"),
    ("score semantic --gt -x --pred b --classes 3", "written --gt=-VALUE"),
    ("predict zebra", "'zebra'"),
    ("predict hrnet18", "dejavu prepare cityscapes"),
    ("predict hrnet18 --seed 5", "--seed 5"),
    ("predict hrnet18 --seed all", "--seed"),
    ("predict hrnet18 --out", "--out"),
    ("tables zebra", "'zebra'"),
    ("tables pair", "dejavu evaluate hrnet18"),
    ("tables pair --partial --partial=yes", "--partial"),
    ("figures zebra", "'zebra'"),
    ("figures pair", "hrnet18"),
    ("figures hrnet18", "'hrnet18', which is one of the experiments and the networks"),
    ("train cityscapes", "'cityscapes', which is one of the datasets"),
    ("index zebra", "zebra"),
    ("index --scale tiny", "'tiny'"),
    ("index --scale smoke", "results/smoke/tables has no table"),
    ("cost zebra", "'zebra'"),
    ("cost hrnet18 zebra", "'zebra'"),
    ("cost --scale tiny", "'tiny'"),
    ("cost --jsn", "--jsn"),
    ("plan zebra", "'zebra'"),
    ("plan hrnet18 --tflops 0", "--tflops"),
    ("plan hrnet18 --tflops -5", "--tflops"),
    ("plan hrnet18 --tflops nan", "--tflops"),
    ("plan hrnet18 --tflops inf", "--tflops"),
    ("plan hrnet18 --tflops fast", "--tflops: must be a number above 0, not 'fast'"),
    ("plan --scale tiny", "'tiny'"),
    ("list --scale tiny", "'tiny'"),
    ("list everything", "everything"),
    ("show", "EXPERIMENT"),
    ("show zebra", "'zebra'"),
    ("show hrnet18 --scale tiny", "'tiny'"),
    ("score", "TASK"),
    ("score poetry", "'poetry'"),
    ("score semantic", "--gt"),
    ("score semantic --gt a --pred b", "--classes"),
    ("score semantic --gt a --pred b --classes x", "--classes"),
    ("score semantic --gt a --pred b --classes 0", "--classes"),
    ("score semantic --gt a --pred b --classes -3", "--classes"),
    ("score semantic --gt a --pred b --classes 65537", "--classes"),
    ("score semantic --gt a --pred b --classes 2.5", "--classes"),
    ("score semantic --gt a --pred b --classes 19 --ignore none", "-1: no label is ignored"),
    ("score semantic --gt a --pred b --classes 19", "--gt a"),
    ("score semantic --gt results --pred b --classes 19", "--gt results"),
    ("score semantic --gt params.yaml --pred results --classes 19", "--gt params.yaml"),
    ("score depth --gt a", "--pred"),
    ("score depth --gt a --pred b --scale 0", "--scale"),
    ("score depth --gt a --pred b --scale nan", "--scale"),
    ("score depth --gt a --pred b --scale inf", "--scale"),
    ("score depth --gt a --pred b --min 5 --max 5", "--min"),
    ("score depth --gt a --pred b --min -1", "--min"),
    ("score depth --gt a --pred b --max nan", "--max"),
    ("score depth --gt a --pred b --crop moon", "moon"),
    ("score depth --gt a --pred b --crop GARG", "'garg'"),
    ("score normals --gt a --pred b", "--gt a"),
    ("score normals --gt a --pred b --classes 3", "--classes"),
    ("score panoptic --gt a.json --pred b.json", "--gt-dir"),
    ("score panoptic --gt a.json --gt-dir a --pred b.json --pred-dir b", "--gt-dir a"),
    ("score panoptic --gt a.json --gt-dir results --pred b.json --pred-dir results", "a.json"),
]


@pytest.mark.parametrize(("line", "named"), LINES, ids=[line[:60] or "nothing" for line, _ in LINES])
def test_a_line_that_cannot_be_run(empty: Path, refused: Refused, line: str, named: str) -> None:
    refused(*line.split(), named=(named,))


NAMES = ["", " ", "a\nb", "a\0b", "a\x1b[31mb", "a\u202eb", "x" * 300, "🦓"]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
@pytest.mark.parametrize("stage", ["download", "prepare", "train", "tables", "cost"])
def test_a_name_of_odd_characters(empty: Path, refused: Refused, stage: str, name: str) -> None:
    refused(stage, name, named=("known:" if stage != "cost" else "there is no",))


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_scale_of_odd_characters(empty: Path, refused: Refused, name: str) -> None:
    refused("show", "hrnet18", "--scale", name, named=("unknown scale",))


@pytest.mark.parametrize("option", ["--gt", "--pred"])
@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "results/earlier.json/deeper"], ids=ascii)
def test_a_folder_that_cannot_be(empty: Path, refused: Refused, option: str, name: str) -> None:
    named = "too long" if len(name) > 255 else option
    (empty / "right").mkdir()
    (empty / "right" / "a.png").write_bytes(b"")
    other = "--pred" if option == "--gt" else "--gt"
    refused("score", "normals", option, name, other, "right", named=(named,))
