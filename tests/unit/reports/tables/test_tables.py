"""Tables from fabricated metrics, with means and intervals worked out by hand."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import ROOT

from dejavu import config
from dejavu.config import loading
from dejavu.config.paths import Paths
from dejavu.errors import DejavuError
from dejavu.reports.tables import Origin, columns, markdown, read_content
from dejavu.reports.tables import write as stage
from dejavu.reports.tables.latex import escaped

PAPER = ROOT.parent / "shared" / "paper" / "tables.yaml"
SEEDS = [0, 1, 4]
# One row each: plain, paired and uncertain (differences 1, 2, 3), paired and certain (1, 1.1, 1.2).
MIOU = {
    "plain": {0: 60.0, 1: 62.0, 4: 64.0},
    "paired": {0: 61.0, 1: 64.0, 4: 67.0},
    "sure": {0: 61.0, 1: 63.1, 4: 65.2},
}
T_2 = 4.302652729911275  # 97.5 % quantile of Student's t with two degrees of freedom, from its table
HALF = T_2 / 3**0.5  # of the interval of three differences with deviation 1
# Metres, and fewer seeds: differences -0.05 and -0.07.
DEPTH = {"deep": {0: 0.50, 1: 0.60}, "deeper": {0: 0.45, 1: 0.53}}
ROWS: list[dict[str, Any]] = [
    {"id": "a", "method": "H_R&D", "backbone": "N|18", "paper": {"miou": 77.6, "gmacs": 19}},
    {"id": "b", "method": "HRNet", "backbone": "HRNet18", "paper": {"miou": 78.85, "gmacs": None}},
    {"id": "c", "method": "HRNet", "backbone": "HRNet18", "paper": {"miou": 79.0}},
    {"id": "d", "method": "OCR", "backbone": "HRNet18", "paper": {"miou": 80.7, "gmacs": 39}},
    {"id": "e", "method": "OCR", "backbone": "HRNet18", "paper": {}, "base": "d"},
]
ROWS[0] |= {"experiment": "plain"}
ROWS[1] |= {"experiment": "paired", "base": "a"}
ROWS[2] |= {"experiment": "sure", "base": "a"}
# Rows of two tasks, of which the paper has no value.
TASKS: list[dict[str, Any]] = [
    {"id": "s", "method": "labels: no DejaVu", "experiment": "plain"},
    {"id": "s1", "method": "labels: low-pass", "base": "s", "experiment": "paired"},
    {"id": "d", "method": "HRNet", "experiment": "deep"},
    {"id": "d1", "method": "HRNet", "base": "d", "experiment": "deeper"},
]


def make_params(seeds: list[int] = SEEDS, metrics: tuple[str, ...] = ("miou",)) -> config.Params:
    """A params.yaml of one scale in which CamVid stands in for Cityscapes."""
    more = {
        "tasks": {"title": "Tasks", "dataset": "cityscapes", "metrics": ["miou", "depth_aerr"]}
        | {"rows": TASKS, "notes": ["One network | a task."]}
    }
    plain = {"task": "semantic", "dataset": "cityscapes", "network": "net", "recipe": "short"}
    method = {"redaction": {"name": "random_blocks"}, "regenerator": {"name": "crm_f"}, "gamma": 0.3}
    paired = plain | {"base": "plain", "dejavu": method}
    deep = plain | {"task": "depth", "budget": "few"}
    part = {"source": "camvid", "size": [96, 128]}
    scale = {"name": "tiny", "seeds": seeds, "width": 0.5, "data": {"cityscapes": part}}
    scale |= {"budget": {"few": {"seeds": min(2, len(seeds)), "epochs": 7}}}
    recipe = {"epochs": 1, "batch_size": 1, "crop": [64, 64]}
    recipe |= {"optimizer": {"name": "sgd", "lr": 0.01}}
    table = {"title": "Semantic segmentation, Cityscapes val", "dataset": "cityscapes"}
    table |= {"metrics": list(metrics), "rows": ROWS}
    return config.Params(
        scales={"tiny": scale},
        scale=scale,
        datasets={
            "camvid": {"licence": "none"},
            "cityscapes": {"licence": "none", "cost_input": [512, 1024]},
        },
        networks={"net": {"module": "hrnet", "channels": 18}},
        protocols={"whole": {}},
        recipes={"short": recipe},
        experiments={"plain": plain, "paired": paired, "sure": paired}
        | {"deep": deep, "deeper": deep | {"base": "deep", "dejavu": method}},
        tables={"main": table, "again": table | {"rows": ROWS[3:]}} | more,
    )


def write_metrics(experiment: str, seed: int, changes: dict[str, Any] | None = None) -> Path:
    """What `evaluate` writes."""
    if experiment in DEPTH:
        metrics = {"depth_aerr": DEPTH[experiment][seed]}
    else:
        metrics = {"miou": MIOU[experiment][seed], "pixel_accuracy": 90.0 + seed}
    content = {
        "format": config.FORMAT,
        "experiment": experiment,
        "scale": "tiny",
        "dataset": "camvid",
        "stands_in_for": "cityscapes",
        "split": "test",
        "seed": seed,
        "metrics": metrics,
        "cost": {"gmacs": 19.2436, "params_m": 3.93842, "input": [512, 1024]},
        "config": make_params().run(experiment, "tiny").as_dict(),
    }
    path = Paths("tiny").metrics(experiment, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content | (changes or {})))
    return path


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the metrics of every experiment and seed."""
    monkeypatch.chdir(tmp_path)
    for experiment, values in (MIOU | DEPTH).items():
        for seed in values:
            write_metrics(experiment, seed)
    return tmp_path


def read(table: str = "main") -> dict[str, dict[str, str]]:
    with open(Paths("tiny").table(table, "csv"), encoding="utf-8", newline="") as file:
        return {line["id"]: line for line in csv.DictReader(file)}


def shown(table: str = "main") -> str:
    """The Markdown form with one space where pandas fills columns up."""
    return re.sub(" +", " ", Paths("tiny").table(table, "md").read_text())


def test_columns_are_those_of_the_design() -> None:
    expected = (
        "id method backbone dejavu base dataset scale seeds status "
        "paper_pq pq_mean pq_std pq_gain pq_gain_lo pq_gain_hi "
        "paper_pq_th pq_th_mean pq_th_std pq_th_gain pq_th_gain_lo pq_th_gain_hi "
        "gmacs params_m paper_gmacs paper_params_m note"
    )
    assert columns(["pq", "pq_th"]) == expected.split()


def test_csv_has_the_rows_of_params_in_order(work: Path) -> None:
    stage.write_table(make_params(), "main", "tiny")
    lines = read()
    assert list(lines) == ["a", "b", "c", "d", "e"]
    assert list(lines["a"]) == columns(["miou"])
    assert [line["status"] for line in lines.values()] == ["run", "run", "run", "not run", "not run"]
    assert [line["dejavu"] for line in lines.values()] == ["false", "true", "true", "false", "true"]
    assert {line["scale"] for line in lines.values()} == {"tiny"}
    assert {line["dataset"] for line in lines.values()} == {"camvid"}


def test_csv_numbers_are_those_worked_out_by_hand(work: Path) -> None:
    stage.write_table(make_params(), "main", "tiny")
    lines = read()
    plain, paired, sure = lines["a"], lines["b"], lines["c"]
    assert (plain["miou_mean"], plain["miou_std"], plain["seeds"]) == ("62.000000", "2.000000", "3")
    assert [plain[f"miou_gain{end}"] for end in ("", "_lo", "_hi")] == ["", "", ""]
    assert (paired["miou_mean"], paired["miou_std"], paired["miou_gain"]) == (
        "64.000000",
        "3.000000",
        "2.000000",
    )
    assert (paired["miou_gain_lo"], paired["miou_gain_hi"]) == (f"{2 - HALF:.6f}", f"{2 + HALF:.6f}")
    assert (sure["miou_gain_lo"], sure["miou_gain_hi"]) == (
        f"{1.1 - HALF / 10:.6f}",
        f"{1.1 + HALF / 10:.6f}",
    )
    assert (plain["gmacs"], plain["params_m"], plain["paper_gmacs"]) == ("19.2436", "3.9384", "19")
    assert (plain["paper_miou"], paired["paper_miou"], paired["paper_gmacs"]) == (
        "77.60",
        "78.85",
        "",
    )  # as many decimals as its column has


def test_a_line_that_was_not_run_has_nothing_of_ours(work: Path) -> None:
    stage.write_table(make_params(), "main", "tiny")
    ours = ("miou_mean", "miou_std", "miou_gain", "miou_gain_lo", "miou_gain_hi", "gmacs", "params_m")
    for line in (read()["d"], read()["e"]):
        assert [line[column] for column in ours] == [""] * len(ours)
        assert line["seeds"] == "0"
    assert (read()["d"]["paper_miou"], read()["e"]["base"]) == ("80.70", "d")


def test_one_seed_has_neither_spread_nor_interval(work: Path) -> None:
    stage.write_table(make_params(seeds=[4]), "main", "tiny")
    line = read()["b"]
    assert (line["seeds"], line["miou_mean"], line["miou_gain"]) == ("1", "67.000000", "3.000000")
    assert (line["miou_std"], line["miou_gain_lo"], line["miou_gain_hi"]) == ("", "", "")
    text = shown()
    assert "| 78.85 | 67.00 | +3.00 |" in text and "1 seed (4)" in text


def test_every_metric_of_the_table_gets_its_columns(work: Path) -> None:
    stage.write_table(make_params(metrics=("miou", "pixel_accuracy")), "main", "tiny")
    line = read()["b"]
    assert list(line) == columns(["miou", "pixel_accuracy"])
    assert (line["pixel_accuracy_mean"], line["pixel_accuracy_gain"]) == ("91.666667", "0.000000")
    assert line["paper_pixel_accuracy"] == ""


def test_a_repeated_run_writes_the_same_bytes(work: Path) -> None:
    paths = [Paths("tiny").table("main", form) for form in ("csv", "md", "tex")]
    stage.write_table(make_params(), "main", "tiny")
    first = [path.read_bytes() for path in paths]
    stage.write_table(
        make_params(seeds=SEEDS[::-1]), "main", "tiny"
    )  # nor does the order of the seeds matter
    assert paths[0].read_bytes() == first[0]
    stage.write_table(make_params(), "main", "tiny")
    assert [path.read_bytes() for path in paths] == first


def test_a_table_that_cannot_be_written_whole_is_not_written_at_all(work: Path) -> None:
    for seed in SEEDS:
        for experiment in ("plain", "paired", "sure"):
            write_metrics(experiment, seed, {"split": "\ud800"})  # in the captions, and not in the CSV
    with pytest.raises(DejavuError, match=r"table 'main' holds the character U\+D800"):
        stage.write_table(make_params(), "main", "tiny")
    assert not [path for path in (work / "results").rglob("main.*")]


def test_missing_metrics_name_the_file_and_the_command(work: Path) -> None:
    Paths("tiny").metrics("sure", 4).unlink()
    with pytest.raises(DejavuError, match=r"metrics/sure/seed4\.json.*dejavu evaluate sure --scale tiny"):
        stage.write_table(make_params(), "main", "tiny")
    assert not Paths("tiny").table("main", "csv").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": "open"}, "scale is 'open', not 'tiny'"),
        ({"seed": 7}, "seed is 7, not 1"),
        ({"config": {}}, "measured with another 'base'"),
        ({"experiment": "plain"}, "experiment is 'plain', not 'paired'"),
        ({"dataset": "synthetic"}, "dataset is 'synthetic', not 'camvid'"),
        ({"metrics": {"mious": 1.0}}, r"metrics.miou is None.*did you mean 'mious'"),
        ({"metrics": {"miou": float("nan")}}, "metrics.miou is nan"),
        ({"metrics": {"miou": None}}, "metrics.miou is None"),
        ({"cost": {"gmacs": 1, "params_m": 1, "input": [64, 64]}}, r"counted at \[64, 64\]"),
        ({"cost": {"gmacs": "1", "params_m": 1, "input": [512, 1024]}}, "cost.gmacs is '1'"),
        ({"cost": None}, "counted at None"),
        ({"split": "val"}, "differ in cost or split"),
    ],
)
def test_metrics_of_something_else_are_refused(work: Path, changes: dict[str, Any], message: str) -> None:
    write_metrics("paired", 1, changes)
    with pytest.raises(DejavuError, match=message):
        stage.write_table(make_params(), "main", "tiny")


def test_metrics_that_are_not_a_mapping_are_refused(work: Path) -> None:
    Paths("tiny").metrics("paired", 1).write_text("[1]")
    with pytest.raises(DejavuError, match="holds no metrics"):
        stage.write_table(make_params(), "main", "tiny")


def test_a_table_of_which_nothing_was_run_is_still_written(work: Path) -> None:
    stage.write_table(make_params(), "again", "tiny")
    assert [line["status"] for line in read("again").values()] == ["not run"] * 2


# ------------------------------------------------ rows of different tasks, seeds and names


def test_a_row_has_the_metrics_of_its_task_only(work: Path) -> None:
    stage.write_table(make_params(), "tasks", "tiny")
    lines = read("tasks")
    assert list(lines["s"]) == columns(["miou", "depth_aerr"])
    filled = [{key for key in line if key.endswith("_mean") and line[key]} for line in lines.values()]
    assert filled == [{"miou_mean"}] * 2 + [{"depth_aerr_mean"}] * 2
    assert [lines["d1"][f"depth_aerr_{key}"] for key in ("mean", "gain")] == ["0.490000", "-0.060000"]
    assert [line["seeds"] for line in lines.values()] == ["3", "3", "2", "2"]
    half = 12.706204736 * 0.02 / 2**0.5 / 2**0.5  # t with one degree of freedom, deviation 0.02 / sqrt 2
    assert lines["d1"]["depth_aerr_gain_hi"] == f"{-0.06 + half:.6f}"


def test_readable_forms_have_the_columns_that_say_something(work: Path) -> None:
    stage.write_table(make_params(), "tasks", "tiny")
    text = shown("tasks")
    heads = next(line for line in text.splitlines() if line.startswith("| Method"))
    gain = "Gain [95 % interval]"
    titles = ["Method", "Seeds", "mIoU (%) ↑", gain, "depth error (m) ↓", gain]
    assert heads == f"| {' | '.join(titles)} |"
    assert "| labels: low-pass | 3 | 64.00 ± 3.00 | +2.00 [-0.48, +4.48] | — | |" in text
    assert "19.24 GMACs, 3.94 million parameters" in text  # once, as all rows cost the same
    assert "Paper:" not in text and "Not run" not in text
    tex = Paths("tiny").table("tasks", "tex").read_text()
    assert r"labels: low-pass & 3 & $64.00 \pm 3.00$ & ${+2.00\ [-0.48, +4.48]}$ & --- &  \\" in tex
    assert tex.isascii() and r"\begin{tabular}{llrrrr}" in tex


def test_costs_that_differ_have_their_columns(work: Path) -> None:
    for seed in DEPTH["deeper"]:
        write_metrics("deeper", seed, {"cost": {"gmacs": 20.0, "params_m": 4.0, "input": [512, 1024]}})
    stage.write_table(make_params(), "tasks", "tiny")
    text = shown("tasks")
    assert "| GMACs, ours | Params (M), ours |" in text and "| 20.00 | 4.00 |" in text
    assert "GMACs, paper" not in text


def test_plus_dejavu_stands_behind_the_bases_own_name_only(work: Path) -> None:
    stage.write_table(make_params(), "tasks", "tiny")
    names = [line.split(" | ")[0].strip("| ") for line in shown("tasks").splitlines() if line[:2] == "| "][1:]
    assert names == ["labels: no DejaVu", "labels: low-pass", "HRNet", "HRNet + DejaVu"]


def test_caption_tells_different_seeds_and_trainings(work: Path) -> None:
    stage.write_table(make_params(), "tasks", "tiny")
    text = Paths("tiny").table("tasks", "md").read_text()
    assert "1 epoch of batch 1 with SGD or 7 epochs of batch 1 with SGD, 2 or 3 seeds (of 0, 1, 4)" in text
    assert text.endswith("- One network \\| a task.\n")


def test_many_intervals_are_said_to_be_many(work: Path) -> None:
    params, path = make_params(), Paths("tiny").table("main", "csv")
    stage.write_table(params, "main", "tiny")
    assert "by chance" not in Paths("tiny").table("main", "md").read_text()
    lines = path.read_text().splitlines()
    repeated = [line.replace(line[0], f"{line[0]}{i}", 1) for line in lines[2:4] for i in range(4)]
    path.write_text("\n".join([*lines, *repeated]) + "\n")  # 5 uncertain and 5 certain gains over one base
    text = markdown(read_content(path), Origin.of(params, "main", "tiny", "test"))
    assert "Of 10 intervals 5 exclude 0; if nothing had any effect, about 0.5 would by chance." in text
    assert "Gains over the same base, or of the same row, share their luck" in text


def test_a_task_that_no_metric_of_the_table_measures_is_refused(work: Path) -> None:
    params = make_params()
    tables = params.tables | {"tasks": params.tables["tasks"].model_copy(update={"metrics": ("miou",)})}
    with pytest.raises(DejavuError, match=r"'deep' has the task 'depth', which none of .* \(miou\) measures"):
        stage.write_table(params.model_copy(update={"tables": tables}), "tasks", "tiny")


def test_a_csv_of_another_form_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("name,value\na,1\n")
    with pytest.raises(DejavuError, match=r"table.csv is not a table's CSV"):
        read_content(path)


def numbers(line: dict[str, str]) -> list[float]:
    """What the readable forms show of a CSV line, in their order, at their two decimals."""
    names = ["paper_miou", "miou_mean", "miou_std", "miou_gain", "miou_gain_lo", "miou_gain_hi"]
    names += ["paper_gmacs", "gmacs", "params_m"]
    return [round(float(line[name]), 2) for name in names if line[name]]


@pytest.mark.parametrize("form", ["md", "tex"])
def test_readable_forms_hold_exactly_the_numbers_of_the_csv(work: Path, form: str) -> None:
    stage.write_table(make_params(), "main", "tiny")
    text = shown() if form == "md" else Paths("tiny").table("main", form).read_text()
    if form == "md":
        body = text.split("---:|\n")[1].split("\n\n")[0].splitlines()
        cells = [row.replace("\\|", "").strip("| ").split(" | ", 2)[2] for row in body]
    else:
        body = text.split("\\midrule\n")[1].split("\\bottomrule")[0].splitlines()
        cells = [row.replace("\\&", "").split(" & ", 2)[2] for row in body]
    found = [[float(number) for number in re.findall(r"[-+]?\d+(?:\.\d+)?", cell)] for cell in cells]
    assert found == [numbers(line) for line in read().values()]
    assert ["not run" in cell for cell in cells] == [False, False, False, True, True]


def test_only_a_gain_whose_interval_excludes_zero_is_marked(work: Path) -> None:
    stage.write_table(make_params(), "main", "tiny")
    text = shown()
    assert "| +2.00 [-0.48, +4.48] |" in text
    assert "| **+1.10 [+0.85, +1.35]** |" in text
    tex = Paths("tiny").table("main", "tex").read_text()
    assert tex.count(r"\mathbf{+") == 1 and r"$\mathbf{+1.10\ [+0.85, +1.35]}$" in tex


def test_caption_says_what_the_numbers_are(work: Path) -> None:
    stage.write_table(make_params(), "main", "tiny")
    text = Paths("tiny").table("main", "md").read_text()
    assert text.startswith("### Semantic segmentation, Cityscapes val\n")
    setting = "CamVid test (stands in for Cityscapes), 96×128, width factor 0.5, "
    setting += "1 epoch of batch 1 with SGD, 3 seeds (0, 1, 4)"
    assert setting in text and "512×1024" in text and "not comparable" in text
    assert escaped(setting) in Paths("tiny").table("main", "tex").read_text()


def test_caption_at_full_size_on_the_papers_data_warns_of_nothing(work: Path) -> None:
    stage.write_table(make_params(), "main", "tiny")
    size, training = (1024, 2048), ("9 epochs", "8 epochs")
    data = ("T", "cityscapes", "cityscapes", "val", "paper", size, (1.0,), (1.0,))
    origin = Origin(*data, seeds=((0, 1, 2, 3),), training=training, input=(512, 1024))
    text = markdown(read_content(Paths("tiny").table("main", "csv")), origin)
    setting = "Cityscapes val, 1024×2048, full-width networks, 9 epochs or 8 epochs, 4 seeds (0-3)"
    assert setting in text
    assert "not comparable" not in text and "stands in" not in text


def test_markup_characters_are_escaped(work: Path) -> None:
    stage.write_table(make_params(), "main", "tiny")
    assert r"| H_R&D | N\|18 |" in shown()
    assert r"H\_R\&D & N\textbar{}18 &" in Paths("tiny").table("main", "tex").read_text()


def test_markdown_rows_all_have_the_columns_of_the_head(work: Path) -> None:
    stage.write_table(make_params(metrics=("miou", "pixel_accuracy")), "main", "tiny")
    text = Paths("tiny").table("main", "md").read_text().replace("\\|", "")
    assert {line.count("|") for line in text.splitlines() if line.startswith("|")} == {2 + 5 + 3 + 1}


def test_latex_is_balanced_ascii_and_rectangular(work: Path) -> None:
    stage.write_table(make_params(metrics=("miou", "pixel_accuracy")), "main", "tiny")
    text = Paths("tiny").table("main", "tex").read_text()
    assert text.isascii()
    plain = re.sub(r"\\[\\{}&%$#_]", "", text)
    assert plain.count("{") == plain.count("}") and plain.count("$") % 2 == 0
    assert re.findall(r"\\begin\{(\w+)\}", text) == ["table", "tabular"]
    assert re.findall(r"\\end\{(\w+)\}", text) == ["tabular", "table"]
    specification = re.search(r"\\begin\{tabular\}\{([lr]+)\}", text)
    assert specification is not None
    rows = text.split("\\midrule\n")[1].split("\\bottomrule")[0].splitlines()
    assert {len(re.split(r"(?<!\\)&", row)) for row in rows} == {len(specification[1])}


def test_a_table_without_a_csv_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(DejavuError, match="no.csv is missing: make it with `dejavu tables`"):
        read_content(tmp_path / "no.csv")


def test_every_line_of_the_paper_is_in_params_with_its_values() -> None:
    if not PAPER.exists():
        pytest.skip(f"the paper's tables are not at {PAPER}")
    paper = yaml.safe_load(PAPER.read_text())
    for name, table in loading.load(ROOT / "params.yaml").tables.items():
        if not isinstance(paper.get(name), list):
            continue  # a plot whose values are not readable
        ours = {row.id: row for row in table.rows}
        printed = [line["id"] for line in paper[name]]
        assert [row.id for row in table.rows if row.id in printed] == printed
        assert not any(row.paper for row in table.rows if row.id not in printed)  # a row of ours
        for line in paper[name]:
            row = ours[line["id"]]
            assert row.base == line.get("base")
            for key in line.keys() & {"method", "backbone"}:
                assert getattr(row, key) == line[key]
            for key in (*table.metrics, "gmacs", "params_m"):
                assert row.paper.get(key) == line.get(key), (name, row.id, key)
    assert "cityscapes" in loading.load(ROOT / "params.yaml").tables


@pytest.mark.parametrize("module", ["reports.tables.write", "reports.figures"])
def test_reports_start_without_heavy_libraries(module: str) -> None:
    """Each costs every command up to a second; pandas is needed where a table is made, and by no figure."""
    heavy = "{'torch', 'pandas', 'scipy', 'matplotlib'}"
    code = f"import sys, dejavu.{module}; print(*{heavy} & set(sys.modules))"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    ("train", "named"),
    [
        ({"code": "other"}, "code of seed 1"),
        ({"versions": {"torch": "9"}}, "torch of seed 1"),
        ({"machine": {"threads": 2}}, "threads of seed 1"),
    ],
)
def test_a_pair_that_was_not_trained_alike_is_said(work: Path, train: dict[str, Any], named: str) -> None:
    alike = {"code": "same", "versions": {"torch": "3"}, "machine": {"threads": 1, "gpu": None}}
    for experiment in MIOU:
        sidecar = Paths("tiny").sidecar(experiment, 1)
        sidecar.write_text(json.dumps({"train": alike}))
    stage.write_table(make_params(), "main", "tiny")  # alike, and the other seeds have no sidecar: no warning
    Paths("tiny").sidecar("paired", 1).write_text(json.dumps({"train": alike | train}))
    with pytest.warns(
        UserWarning, match=rf"'paired' and its base 'plain' were not trained alike \({named}\)"
    ):
        stage.write_table(make_params(), "main", "tiny")
