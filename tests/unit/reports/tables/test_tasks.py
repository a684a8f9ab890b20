"""Tables with rows of several tasks: delta-MTL, and numbers of the best epoch."""

from __future__ import annotations

import csv
import json
import re
import statistics
from pathlib import Path
from typing import Any

import pytest

from dejavu import config
from dejavu.config.paths import Paths
from dejavu.errors import DejavuError
from dejavu.metrics import main_metric
from dejavu.reports.tables import columns
from dejavu.reports.tables import write as stage
from dejavu.reports.tables.best_epoch import choose, read_epochs
from dejavu.reports.tables.delta_mtl import score

TASKS = ("semantic", "depth", "normals")
METRICS = tuple(map(main_metric, TASKS))
SEEDS = (0, 1, 4)
# What each experiment reaches with each seed, in the order of METRICS.
REACHED: dict[str, dict[int, tuple[float, ...]]] = {
    "alone_s": {0: (40.0,), 1: (38.0,), 4: (41.0,)},
    "alone_d": {0: (0.60,), 1: (0.62,), 4: (0.64,)},
    "alone_n": {0: (25.0,), 1: (26.0,), 4: (24.0,)},
    "mtl": {0: (42.0, 0.57, 26.0), 1: (38.5, 0.60, 26.5), 4: (40.0, 0.65, 25.0)},
    "mtl_dejavu": {0: (43.0, 0.55, 25.5), 1: (39.5, 0.59, 26.0), 4: (41.5, 0.63, 24.5)},
}
LEARNS = {"alone_s": "semantic", "alone_d": "depth", "alone_n": "normals"}
SINGLE = {"semantic": "alone_s", "depth": "alone_d", "normals": "alone_n"}


def make_params(seeds: tuple[int, ...] = SEEDS, **table: Any) -> config.Params:
    """A params.yaml of one scale with the real NYUD-v2, and one table of all experiments."""
    method = {"redaction": {"name": "random_blocks"}, "regenerator": {"name": "crm_f"}, "gamma": 0.3}
    plain = {"dataset": "nyudv2", "network": "net", "recipe": "short"}
    experiments: dict[str, Any] = {name: plain | {"task": task} for name, task in LEARNS.items()}
    experiments["mtl"] = plain | {"task": list(TASKS)}
    experiments["mtl_dejavu"] = experiments["mtl"] | {"base": "mtl", "dejavu": method}
    part = {"source": "nyudv2", "size": [72, 96]}
    scale = {"name": "tiny", "seeds": list(seeds), "width": 0.5, "data": {"nyudv2": part}}
    recipe = {"epochs": 6, "batch_size": 2, "crop": [72, 96], "schedule": {"name": "constant"}}
    recipe |= {"optimizer": {"name": "adam", "lr": 0.0001}}
    rows: list[dict[str, Any]] = [
        {"id": name, "method": f"alone: {task}", "experiment": name} for name, task in LEARNS.items()
    ]
    rows += [
        {"id": "mtl", "method": "MTL", "experiment": "mtl", "paper": {"miou": 36.95, "depth_aerr": 0.551}},
        {"id": "mtl_dejavu", "method": "MTL", "experiment": "mtl_dejavu", "base": "mtl"},
    ]
    given = {"title": "NYUD-v2", "dataset": "nyudv2", "metrics": [*METRICS, "delta_mtl"], "single": SINGLE}
    return config.Params(
        scales={"tiny": scale},
        scale=scale,
        datasets={"nyudv2": {"licence": "none", "cost_input": [288, 384]}},
        networks={"net": {"module": "segnet"}},
        protocols={"whole": {}},
        recipes={"short": recipe},
        experiments=experiments,
        tables={"nyud": given | {"rows": rows} | table},
    )


def write_metrics(experiment: str, seed: int, values: tuple[float, ...]) -> None:
    run = make_params().run(experiment, "tiny")
    content = {
        "format": config.FORMAT,
        "experiment": experiment,
        "scale": "tiny",
        "dataset": "nyudv2",
        "split": "test",
        "seed": seed,
        "metrics": {main_metric(task): value for task, value in zip(run.tasks, values, strict=True)},
        "cost": {"gmacs": 68.6, "params_m": 25.06, "input": [288, 384]},
        "config": run.as_dict(),
    }
    path = Paths("tiny").metrics(experiment, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_log(experiment: str, seed: int, epochs: dict[int, tuple[float, ...]], trained: int = 6) -> Path:
    """A training log in which these epochs were measured."""
    names = [f"val_{main_metric(task)}" for task in make_params().run(experiment, "tiny").tasks]
    lines = [",".join(("step", "epoch", "lr", "loss", "loss_task", "loss_dejavu", *names))]
    for epoch in range(1, trained + 1):
        values = epochs.get(epoch, ("",) * len(names))
        lines.append(",".join(map(str, (epoch * 10, epoch, 0.1, 1.0, 1.0, "", *values))))
    path = Paths("tiny").log(experiment, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with metrics and logs: the last epoch, and the third, better by a tenth."""
    monkeypatch.chdir(tmp_path)
    for experiment, by_seed in REACHED.items():
        for seed, values in by_seed.items():
            write_metrics(experiment, seed, values)
            metrics = [main_metric(task) for task in make_params().run(experiment, "tiny").tasks]
            better = tuple(
                value * (1.1 if metric == "miou" else 0.9)
                for metric, value in zip(metrics, values, strict=True)
            )
            write_log(experiment, seed, {3: better, 6: values})
    return tmp_path


def read() -> dict[str, dict[str, str]]:
    with open(Paths("tiny").table("nyud", "csv"), encoding="utf-8", newline="") as file:
        return {line["id"]: line for line in csv.DictReader(file)}


def text(form: str = "md") -> str:
    """A form with one space where pandas fills columns up."""
    return re.sub(" +", " ", Paths("tiny").table("nyud", form).read_text())


def delta(ours: tuple[float, ...], single: tuple[float, ...]) -> float:
    """As the public code of MTPSL spells it: segmentation up, depth and normals down."""
    performance = (ours[0] - single[0]) / single[0]
    performance -= (ours[1] - single[1]) / single[1]
    performance -= (ours[2] - single[2]) / single[2]
    return performance / 3 * 100


def by_seed(experiment: str, ours: dict[int, tuple[float, ...]] | None = None) -> dict[int, float]:
    """Delta-MTL of an experiment against the single-task experiments of the same seed."""
    found = {}
    for seed, values in (ours or REACHED[experiment]).items():
        single = tuple(REACHED[name][seed][0] for name in LEARNS)
        found[seed] = delta(values, single)
    return found


# ------------------------------------------------ delta-MTL


@pytest.mark.parametrize("ours", [(36.95, 0.5510, 29.51), (41.0, 0.5148, 28.58), (37.45, 0.6079, 25.94)])
def test_score_is_that_of_the_public_code_with_its_single_task_numbers(ours: tuple[float, ...]) -> None:
    single = (37.4474, 0.607902, 25.938105)  # MTPSL, nyu_mtl_xtc.py, setting full
    values, references = (dict(zip(METRICS, some, strict=True)) for some in (ours, single))
    assert score(values, references) == pytest.approx(delta(ours, single), abs=1e-9)


@pytest.mark.parametrize("metric", METRICS)
def test_a_tenth_better_in_one_task_is_a_tenth_of_its_share(metric: str) -> None:
    single = dict(zip(METRICS, (40.0, 0.6, 25.0), strict=True))
    better = single | {metric: single[metric] * (1.1 if metric == "miou" else 0.9)}
    assert score(better, single) == pytest.approx(10 / 3) and score(single, single) == 0
    assert score({metric: better[metric]}, {metric: single[metric]}) == pytest.approx(10)


def test_rows_of_several_tasks_have_all_metrics_and_the_score_by_seed(work: Path) -> None:
    stage.write_table(make_params(), "nyud", "tiny")
    lines = read()
    assert list(lines["mtl"]) == columns([*METRICS, "delta_mtl"])
    for name in ("mtl", "mtl_dejavu"):
        for number, metric in enumerate(METRICS):
            mean = statistics.fmean(values[number] for values in REACHED[name].values())
            assert float(lines[name][f"{metric}_mean"]) == pytest.approx(mean, abs=5e-5)
        scores = by_seed(name)
        assert float(lines[name]["delta_mtl_mean"]) == pytest.approx(
            statistics.fmean(scores.values()), abs=5e-5
        )
        assert float(lines[name]["delta_mtl_std"]) == pytest.approx(
            statistics.stdev(scores.values()), abs=5e-5
        )


def test_the_gain_of_the_score_is_paired(work: Path) -> None:
    stage.write_table(make_params(), "nyud", "tiny")
    ours, base = by_seed("mtl_dejavu"), by_seed("mtl")
    differences = [ours[seed] - base[seed] for seed in SEEDS]
    half = 4.302652729911275 * statistics.stdev(differences) / 3**0.5  # t with two degrees of freedom
    line, mean = read()["mtl_dejavu"], statistics.fmean(differences)
    found = [float(line[f"delta_mtl_gain{end}"]) for end in ("", "_lo", "_hi")]
    assert found == pytest.approx([mean, mean - half, mean + half], abs=5e-5)


def test_rows_of_one_task_have_neither_the_score_nor_other_metrics(work: Path) -> None:
    stage.write_table(make_params(), "nyud", "tiny")
    for name, task in LEARNS.items():
        filled = {key for key, value in read()[name].items() if key.endswith("_mean") and value}
        assert filled == {f"{main_metric(task)}_mean"}
    assert text().count("| — |") >= 3


def test_the_score_is_of_the_seeds_that_there_are_alone(work: Path) -> None:
    Paths("tiny").metrics("alone_d", 4).unlink()
    stage.write_table(make_params(), "nyud", "tiny", partial=True)
    scores = by_seed("mtl")
    assert float(read()["mtl"]["delta_mtl_mean"]) == pytest.approx((scores[0] + scores[1]) / 2, abs=5e-5)
    assert (read()["mtl"]["seeds"], read()["mtl"]["miou_mean"]) == ("3", "40.166667")
    assert "Seeds that these lack do not count there." in text()
    for seed in (0, 1):
        Paths("tiny").metrics("alone_d", seed).unlink()
    stage.write_table(make_params(), "nyud", "tiny", partial=True)
    assert (read()["mtl"]["status"], read()["mtl"]["delta_mtl_mean"]) == ("run", "")
    assert "relative changes" not in text()


def test_nothing_is_a_share_of_zero(work: Path) -> None:
    write_metrics("alone_s", 1, (0.0,))  # a network that has learnt nothing
    stage.write_table(make_params(), "nyud", "tiny")
    scores = by_seed("mtl")
    assert float(read()["mtl"]["delta_mtl_mean"]) == pytest.approx((scores[0] + scores[4]) / 2, abs=5e-5)


def test_the_column_has_its_head_and_says_what_it_is_relative_to(work: Path) -> None:
    stage.write_table(make_params(), "nyud", "tiny")
    heads = next(line for line in text().splitlines() if line.startswith("| Method"))
    assert heads.split(" | ")[-2:] == ["ΔMTL (%) ↑", "Gain [95 % interval] |"]
    assert "ΔMTL: the mean of the relative changes of mIoU, depth error and normals error" in text()
    alone = "'alone: semantic', 'alone: depth' and 'alone: normals'; same seed, last epoch"
    assert f"against learning each task alone ({alone})" in text()
    tex = text("tex")
    assert tex.isascii() and r"\multicolumn{2}{c}{$\Delta$MTL (\%) $\uparrow$}" in tex
    assert "6 epochs of batch 2 with Adam" in text() and "BEST" not in text() + tex
    rows = [line for line in text().splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1


def test_single_task_experiments_without_a_line_are_read_and_named(work: Path) -> None:
    rows = [{"id": "mtl", "method": "MTL", "experiment": "mtl"}]
    stage.write_table(make_params(rows=rows), "nyud", "tiny")
    mean = statistics.fmean(by_seed("mtl").values())
    assert float(read()["mtl"]["delta_mtl_mean"]) == pytest.approx(mean, abs=5e-5)
    assert "(alone_s, alone_d and alone_n; same seed, last epoch)" in text()


@pytest.mark.parametrize(
    ("single", "message"),
    [
        ({}, r"tables.nyud.single: 'mtl' learns semantic and depth and normals, .* name that of semantic"),
        (SINGLE | {"depth": "alone_n"}, "single.depth: 'alone_n' learns normals; .* of depth alone"),
        (SINGLE | {"depth": "mtl"}, "single.depth: 'mtl' learns semantic and depth and normals"),
    ],
)
@pytest.mark.parametrize("epoch", ["last", "best"])
def test_what_the_score_is_against_must_be_named(
    work: Path, single: dict[str, str], message: str, epoch: str
) -> None:
    with pytest.raises(DejavuError, match=message):
        stage.write_table(make_params(single=single, epoch=epoch), "nyud", "tiny")


# ------------------------------------------------ the best epoch


def best(**table: Any) -> dict[str, dict[str, str]]:
    stage.write_table(make_params(epoch="best", **table), "nyud", "tiny")
    return read()


def test_best_epoch_is_that_with_the_highest_score_against_the_last_epochs_of_one_task(work: Path) -> None:
    lines = best()
    chosen = {seed: (v[0] * 1.1, v[1] * 0.9, v[2] * 0.9) for seed, v in REACHED["mtl"].items()}
    for number, metric in enumerate(METRICS):
        mean = statistics.fmean(values[number] for values in chosen.values())
        assert float(lines["mtl"][f"{metric}_mean"]) == pytest.approx(mean, abs=5e-5)
    mean = statistics.fmean(by_seed("mtl", chosen).values())
    assert float(lines["mtl"]["delta_mtl_mean"]) == pytest.approx(mean, abs=5e-5)


def test_all_metrics_are_of_the_one_epoch_that_was_chosen(work: Path) -> None:
    """Epoch 2 has the best mIoU by far, epoch 4 the best score."""
    for seed in SEEDS:
        write_log("mtl", seed, {2: (44.0, 0.70, 29.0), 4: (42.0, 0.50, 24.0), 6: (41.0, 0.60, 26.0)})
    line = best()["mtl"]
    assert [line[f"{metric}_mean"] for metric in METRICS] == ["42.000000", "0.500000", "24.000000"]


def test_of_one_task_the_own_best_epoch_counts(work: Path) -> None:
    for seed in SEEDS:
        write_log("alone_s", seed, {1: (30.0,), 2: (45.0,), 6: (40.0,)})
        write_log("alone_d", seed, {1: (0.9,), 2: (0.5,), 6: (0.6,)})
    lines = best()
    assert (lines["alone_s"]["miou_mean"], lines["alone_d"]["depth_aerr_mean"]) == ("45.000000", "0.500000")
    assert lines["alone_s"]["delta_mtl_mean"] == ""


def test_the_first_of_equal_epochs_counts() -> None:
    epochs = {epoch: {"miou": 40.0, "depth_aerr": 0.5} for epoch in (5, 2)}
    epochs[5]["miou"], epochs[2]["depth_aerr"] = 44.0, 0.45  # a tenth of either
    found = choose(epochs, {"miou": 40.0, "depth_aerr": 0.5})
    assert (found["miou"], found["depth_aerr"], found["delta_mtl"]) == (40.0, 0.45, pytest.approx(5))


def test_cost_and_seeds_are_those_of_the_metrics_files(work: Path) -> None:
    lines = best()
    assert (lines["mtl"]["gmacs"], lines["mtl"]["params_m"], lines["mtl"]["seeds"]) == (
        "68.6000",
        "25.0600",
        "3",
    )
    assert list(lines["mtl"]) == columns([*METRICS, "delta_mtl"])


def test_caption_says_loudly_that_the_epoch_was_chosen_on_test(work: Path) -> None:
    best()
    said = "BEST EPOCH, CHOSEN ON THE TEST SPLIT"
    assert f"**{said}: see below.**" in text()
    assert f"- {said}: of each seed the one of 2 measured epochs (of 6) with the highest ΔMTL there" in text()
    assert "optimistic" in text() and "as the public code (MTPSL) does" in text()
    assert said in text("tex").split(r"\begin{tabular}")[0] and text("tex").isascii()


def test_different_numbers_of_measured_epochs_are_all_said(work: Path) -> None:
    write_log("mtl", 1, {6: (40.0, 0.6, 26.0)})
    best()
    assert "the one of 1 measured epochs (of 6) or 2 measured epochs (of 6)" in text()


def test_a_seed_that_cannot_be_scored_has_no_best_epoch(work: Path) -> None:
    for seed in (0, 1):
        Paths("tiny").metrics("alone_d", seed).unlink()
    stage.write_table(make_params(epoch="best"), "nyud", "tiny", partial=True)
    assert (read()["mtl"]["seeds"], read()["alone_s"]["seeds"]) == ("1", "3")
    Paths("tiny").metrics("alone_d", 4).unlink()
    stage.write_table(make_params(epoch="best"), "nyud", "tiny", partial=True)
    assert (read()["mtl"]["status"], read()["alone_s"]["status"]) == ("not run", "run")


def test_numbers_of_another_split_than_the_rows_are_refused(work: Path) -> None:
    for experiment, seeds in REACHED.items():
        for seed in seeds:
            path = Paths("tiny").metrics(experiment, seed)
            path.write_text(json.dumps(json.loads(path.read_text()) | {"split": "val"}))
    with pytest.raises(DejavuError, match="epoch: 'best' .* split 'test', and .* measured on 'val'"):
        best()


def test_metrics_that_are_not_in_logs_are_refused(work: Path) -> None:
    for seed in SEEDS:
        for experiment in ("mtl", "mtl_dejavu", "alone_d"):
            path = Paths("tiny").metrics(experiment, seed)
            content = json.loads(path.read_text())
            content["metrics"]["rmse"] = 1.0
            path.write_text(json.dumps(content))
    with pytest.raises(DejavuError, match="tables.nyud.metrics: the logs, .* have no rmse, but depth_aerr"):
        best(metrics=["miou", "rmse"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _: None, r"seed0.csv is missing: make it with `dejavu train mtl --scale tiny`"),
        (lambda log: re.sub("val_miou", "miou", log), "is not a training log.*val_miou"),
        (lambda log: log.replace("42.0", "many"), "is not a training log.*could not convert"),
        (lambda log: log.replace("42.0", "nan"), "no finite number"),
        (lambda log: re.sub(r"1.0,1.0,,.*", "1.0,1.0,,,,", log), "has no epoch with miou and depth_aerr and"),
    ],
    ids=["missing", "column", "text", "nan", "unmeasured"],
)
def test_a_log_that_cannot_be_read_is_said(tmp_path: Path, change: Any, message: str) -> None:
    path = tmp_path / "seed0.csv"
    header = "step,epoch,lr,loss,loss_task,loss_dejavu,val_miou,val_depth_aerr,val_normal_merr"
    log = change(f"{header}\n10,1,0.1,1.0,1.0,,42.0,0.5,25.0\n")
    if log is not None:
        path.write_text(log)
    with pytest.raises(DejavuError, match=message):
        read_epochs(path, METRICS, "dejavu train mtl --scale tiny")
