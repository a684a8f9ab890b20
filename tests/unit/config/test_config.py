"""params.yaml is checked as a whole: a fault is one sentence that names the key and what would be right."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import ROOT

from dejavu import config
from dejavu.config import loading
from dejavu.config.yaml import read_yaml
from dejavu.errors import DejavuError

PARAMS = loading.load(ROOT / "params.yaml")


def raw() -> dict[str, Any]:
    # Through JSON, which has no aliases: every part must be changeable alone.
    return json.loads(json.dumps(yaml.safe_load((ROOT / "params.yaml").read_text())))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A params.yaml to write, with the paper's values beside it."""
    shutil.copytree(ROOT / "paper", tmp_path / "paper")
    return tmp_path / "params.yaml"


def put(value: dict[str, Any], path: str, new: Any) -> None:
    *parents, last = path.split(".")
    for key in parents:
        value = value[int(key)] if isinstance(value, list) else value[key]
    value[last] = new


def drop(value: dict[str, Any], path: str) -> None:
    *parents, last = path.split(".")
    for key in parents:
        value = value[key]
    del value[last]


# key to set, value, and what the sentence must name
FAULTS = [
    ("extra", 1, ["extra", "known:"]),
    ("scale", "smoke", ["scale", "*smoke"]),
    ("scale", "smok", ["scale", "'smoke'"]),
    ("scale.seeds", [7], ["scale", "alias"]),
    ("claims.main.miou.row", "fpn_lite0", ["claims.main.miou.against is missing", "'fpn_lite0' has no base"]),
    ("claims.main.miou.against", "fpn_lite0_dejavu", ["claims.main.miou.against", "the row itself"]),
    ("claims.main.miou.against", "hrnet18", ["claims.main.miou.against", "on cityscapes", "on camvid"]),
    ("claims.main.miou.metric", "depth_aerr", ["claims.main.miou.metric", "of depth", "learns semantic"]),
    (
        "claims.main.depth.metric",
        "delta_mtl",
        ["claims.main.depth.metric", "of several tasks", "learns depth"],
    ),
    ("tables.practical_nyud.metrics", ["miou"], ["claims.main.mtl.metric", "no table has delta_mtl"]),
    ("claims.main.miou.agianst", "hrnet18", ["claims.main.miou", "'agianst'", "'against'"]),
    (
        "tables.verdicts",
        {"title": "x", "dataset": "camvid", "metrics": ["miou"], "rows": ["fpn_lite0"]},
        ["tables.verdicts", "choose another"],
    ),
    ("experiments.depth.head", "binary", ["experiments.depth", "head is for segmentation"]),
    ("experiments.mtan.head", "binary", ["experiments.mtan", "head is for segmentation"]),
    ("experiments.hrnet18.head", "sigmoid", ["experiments.hrnet18.head", "'binary'"]),
    ("experiments.hrnet18_dejavu.head", "binary", ["experiments.hrnet18_dejavu.head", "'hrnet18'", "only"]),
    ("experiments.depth.protocol", "slide", ["experiments.depth", "protocol is for segmentation"]),
    ("recipes.hrnet_nyud.class_uniform", 0.5, ["experiments.depth", "class_uniform is for segmentation"]),
    ("recipes.hrnet_cityscapes.rmi", {"weight": 0.5}, ["class_weights", "rmi replaces"]),
    ("recipes.hrnet_cityscapes.iterations", 10, ["epochs or iterations"]),
    ("scales.demo.pretrained", True, ["scales.demo", "full size"]),
    ("scales.demo.budget.lite.width", 0.5, ["scales.demo", "full size", "budget lite"]),
    ("scales.demo.budget.nyud.pretrained", True, ["scales.demo", "full size", "budget nyud"]),
    ("scales.demo.budget.lite.pretrained", "yes", ["scales.demo.budget.lite.pretrained"]),
    ("scales.demo.sedes", [0], ["scales.demo", "sedes", "'seeds'"]),
    ("scales.demo.seeds", [], ["scales.demo.seeds"]),
    ("scales.demo.seeds", [0, 0], ["scales.demo", "differ"]),
    ("scales.demo.seeds", [-1], ["scales.demo.seeds.0"]),
    ("scales.demo.width", "0.5", ["scales.demo.width", "'0.5'"]),
    ("scales.demo.width", 0, ["scales.demo.width"]),
    ("scales.demo.width", 1.5, ["scales.demo.width"]),
    ("scales.demo.name", "dema", ["scales.demo.name", "'demo'"]),
    ("scales.demo.data.cityscapes.source", "camvidd", ["scales.demo.data.cityscapes.source", "'camvid'"]),
    ("scales.demo.data.cityscapes.size", [96], ["scales.demo.data.cityscapes.size"]),
    ("scales.demo.data.cityscapes.size", [96, 0], ["scales.demo.data.cityscapes.size.1"]),
    ("scales.demo.data.cityscapes.train", 2.5, ["scales.demo.data.cityscapes.train", "2.5"]),
    ("scales.demo.frozen_width", 0, ["scales.demo.frozen_width"]),
    ("scales.paper.frozen_width", 0.5, ["scales.paper", "full size"]),
    ("experiments.depth.budget", "nyd", ["experiments.depth.budget", ".budget.nyd is missing", "'nyud'"]),
    ("experiments.depth.budget", None, ["experiments.depth.budget"]),
    ("scales.demo.budget.all.epochs", 0, ["scales.demo.budget.all.epochs"]),
    ("scales.demo.budget.all.epochs", True, ["scales.demo.budget.all.epochs"]),
    ("scales.demo.budget.all.seeds", 4, ["scales.demo", "all.seeds", "at most 3"]),
    ("scales.demo.budget.all.seeds", 0, ["scales.demo.budget.all.seeds"]),
    ("datasets.camvid.url", "file:///etc/passwd", ["datasets.camvid.url"]),
    ("datasets.camvid.sha256", "abc", ["datasets.camvid.sha256"]),
    ("networks.hrnet18.module", "hrnets", ["networks.hrnet18", "'hrnets'", "'hrnet'"]),
    ("networks.hrnet18.chanels", 18, ["networks.hrnet18.chanels", "'channels'"]),
    ("networks.hrnet18.channels", "18", ["networks.hrnet18.channels", "'18'"]),
    ("networks.hrnet18.channels", 0, ["networks.hrnet18.channels"]),
    ("recipes.hrnet_cityscapes.optimizer.lr", "1e-5", ["line ", "1e-5", "1.0e-05"]),
    ("recipes.hrnet_cityscapes.optimizer.lr", "1e-2", ["line ", "1e-2", "write 0.01"]),
    ("recipes.hrnet_cityscapes.optimizer.lr", -0.1, ["recipes.hrnet_cityscapes.optimizer.lr"]),
    ("recipes.hrnet_cityscapes.optimizer.lr", float("nan"), ["recipes.hrnet_cityscapes.optimizer.lr"]),
    ("recipes.hrnet_cityscapes.optimizer.name", "sdg", ["recipes.hrnet_cityscapes.optimizer.name", "'sgd'"]),
    (
        "recipes.hrnet48_cityscapes.schedule.name",
        "pole",
        ["schedule.name", "'poly'"],
    ),
    ("recipes.hrnet_cityscapes.scale_range", [2.0, 0.5], ["recipes.hrnet_cityscapes", "scale_range"]),
    ("recipes.hrnet_cityscapes.flip", "yes", ["recipes.hrnet_cityscapes.flip"]),
    ("experiments.hrnet18.dataset", "cityscape", ["experiments.hrnet18.dataset", "'cityscapes'"]),
    ("experiments.hrnet18.network", "hrnet188", ["experiments.hrnet18.network", "'hrnet18'"]),
    ("experiments.hrnet18.recipe", "hrnet_cityscape", ["experiments.hrnet18.recipe", "'hrnet_cityscapes'"]),
    ("experiments.hrnet18.task", "semantics", ["experiments.hrnet18.task", "'semantic'"]),
    ("experiments.hrnet18_dejavu.base", "hrnet188", ["experiments.hrnet18_dejavu.base", "'hrnet18'"]),
    ("experiments.hrnet18_dejavu.base", None, ["experiments.hrnet18_dejavu", "'base'"]),
    (
        "experiments.hrnet18_dejavu.train",
        {"epochs": 3},
        ["experiments.hrnet18_dejavu.train", "'hrnet18'", "only"],
    ),
    ("experiments.hrnet18_dejavu.dejavu.gamma", -1, ["experiments.hrnet18_dejavu.dejavu.gamma"]),
    ("experiments.hrnet18_dejavu.dejavu.gama", 1, ["experiments.hrnet18_dejavu.dejavu", "'gama'", "'gamma'"]),
    ("experiments.hrnet18_dejavu.dejavu.loss", "l3", ["experiments.hrnet18_dejavu.dejavu.loss", "l3"]),
    (
        "experiments.ablation_blocks_8.dejavu.redaction.name",
        "random_block",
        ["dejavu.redaction", "'random_block'", "'random_blocks'"],
    ),
    (
        "experiments.ablation_blocks_8.dejavu.redaction.ratio",
        1.5,
        ["dejavu.redaction.ratio", "1.5", "between 0 and 1"],
    ),
    ("experiments.ablation_blocks_8.dejavu.redaction.ration", 0.5, ["dejavu.redaction.ration", "'ratio'"]),
    ("experiments.ablation_depth_2.dejavu.regenerator.name", "crm", ["dejavu.regenerator", "'crm'", "crm_"]),
    ("experiments.ablation_depth_2.dejavu.regenerator.width", 0, ["dejavu.regenerator.width", "at least 1"]),
    (
        "experiments.ablation_depth_2.dejavu.regenerator.norm",
        "layer",
        ["dejavu.regenerator.norm", "batch, group, none"],
    ),
    ("experiments.ablation_text.dejavu.text.wieght", 1.0, ["dejavu.text", "'wieght'", "'weight'"]),
    ("experiments.ablation_text.dejavu.text.template", "a photo", ["dejavu.text.template", "{}"]),
    ("experiments.ablation_cycle.dejavu.detach", True, ["dejavu.detach", "cycle"]),
    ("experiments.depth_blocks.dejavu.text", {"weight": 0.1}, ["dejavu.text", "depth"]),
    ("experiments.ablation_cycle.dejavu.cycle.target", "label", ["dejavu.cycle.target", "labels"]),
    ("experiments.ablation_low_pass.dejavu.redaction.cutoff", 1.5, ["dejavu.redaction.cutoff", "1.5"]),
    ("experiments.ablation_low_pass.dejavu.redaction", [], ["dejavu.redaction"]),
    ("experiments.ablation_low_pass.dejavu.redaction", "low_pass", ["dejavu.redaction"]),
    (
        "experiments.ablation_low_pass.dejavu.redaction",
        [{"name": "low_pass"}, {"name": "hi_pass"}],
        ["dejavu.redaction", "'high_pass'"],
    ),
    ("tables.ablations.figures", ["gain"], ["tables.ablations.figures", "gains"]),
    ("tables.cityscapes.dataset", "city", ["tables.cityscapes.dataset", "'city'"]),
    ("scales.demo.budget.all.scale_range", [2.0, 0.5], ["demo", "scale_range"]),
    ("scales.demo.budget.all.batch_size", 161, ["demo", "batch_size 161", "160"]),
    ("scales.demo.data.cityscapes.train", None, ["scales.demo.data.cityscapes", "'train'"]),
    ("recipes.hrnet_cityscapes.optimizer.betas", [0.9, 1.0], ["recipes.hrnet_cityscapes.optimizer.betas.1"]),
    ("tables.cityscapes.rows", ["hrnet188"], ["tables.cityscapes.rows", "'hrnet18'"]),
    (
        "tables.cityscapes.rows",
        ["hrnet18", "hrnet18"],
        ["tables.cityscapes.rows", "is given twice"],
    ),
    ("tables.cityscapes.rows", ["hrnet18_dejavu"], ["tables.cityscapes.rows.hrnet18_dejavu", "'hrnet18'"]),
    ("tables.cityscapes.rows", ["depth"], ["tables.cityscapes.rows.depth", "nyudv2"]),
    ("tables.cityscapes.rows", [], ["tables.cityscapes.rows"]),
    ("tables.cityscapes.rows", {"hrnet18": {"title": "HRNet"}}, ["tables.cityscapes.rows.hrnet18"]),
    ("tables.cityscapes.paper", "nothing", ["nothing.csv", "cannot be read"]),
    ("tables.pair.paper", None, ["tables.pair.rows is missing"]),
    ("dejavu.gamma", None, ["experiments.", ".dejavu.gamma is missing", "top-level 'dejavu'"]),
    ("dejavu.gama", 1.0, ["dejavu", "'gama'", "'gamma'"]),
    ("dejavu.redaction.ratio", 1.5, ["dejavu.redaction.ratio", "between 0 and 1"]),
    ("dejavu.regenerator.name", "crm", ["dejavu.regenerator", "crm_"]),
    ("experiments.internimage", {"task": "semantics"}, ["experiments.internimage"]),
    ("datasets.cityscapes.cost_input", "512x1024", ["datasets.cityscapes.cost_input"]),
    ("datasets.cityscapes.cost_input", None, ["datasets.cityscapes.cost_input", "tables."]),
    ("tables.cityscapes.metrics", ["mio"], ["tables.cityscapes.metrics", "'miou'"]),
    ("protocols.kitti.depth.maximum", 0.0001, ["protocols.kitti.depth", "above minimum"]),
    ("protocols.kitti.depth.crop", "grag", ["protocols.kitti.depth.crop", "'garg'"]),
    ("experiments.hrnet18.protocol", "kitti", ["experiments.hrnet18.protocol", "how depth is scored"]),
    # Panoptic segmentation
    ("experiments.mask2former_swint_coco.network", "hrnet18", ["network", "does not", "maskformer_swint"]),
    ("experiments.hrnet18.network", "maskformer_swint", ["hrnet18.network", "does panoptic segmentation"]),
    ("experiments.mtl.task", ["panoptic", "depth"], ["experiments.mtl.task", "learnt alone"]),
    ("experiments.mask2former_swint_coco.protocol", "slide", ["protocol is for segmentation"]),
    (
        "protocols.whole",
        {"panoptic": {"name": "mask2former", "threshold": 0.5}},
        ["protocol", "queries become segments"],
    ),
    ("protocols.whole", {"panoptic": {"name": "mask2fromer"}}, ["panoptic", "'mask2former'"]),
    ("protocols.whole", {"panoptic": {"threshold": 0.5}}, ["protocols.whole.panoptic.name"]),
    ("experiments.hrnet18.protocol", "slide_scores", ["experiments.hrnet18.protocol", "'hrnet' has others"]),
    ("protocols.whole", {"average": "scores"}, ["protocols.whole", "without slide there are no windows"]),
    ("protocols.slide.average", "score", ["protocols.slide.average", "'scores'"]),
    ("recipes.vit_adapter_cityscapes.optimizer.layer_decay", 1.1, ["layer_decay", "to 1"]),
    ("protocols.coco_800.fit.short", 2000, ["protocols.coco_800.fit", "at most long"]),
    (
        "protocols.coco_800.panoptic",
        {"name": "mask2former", "overlap": 1.5},
        ["protocols.coco_800.panoptic.overlap", "from 0 to 1"],
    ),
    ("scales.demo.budget.panoptic.protocol", "whol", ["protocol", "'whole'"]),
    ("recipes.mask2former_swint_coco.schedule.at", [], ["recipes.mask2former_swint_coco.schedule", "at"]),
    ("recipes.mask2former_swint_coco.schedule.at", [0.9, 0.8], ["schedule", "at must rise"]),
    ("recipes.hrnet48_cityscapes.schedule.at", [0.5], ["recipes.hrnet48_cityscapes.schedule", "multistep"]),
    # Several tasks
    ("experiments.mtl.task", ["semantic", "semantic", "depth"], ["experiments.mtl.task", "twice"]),
    ("experiments.mtl.task", ["semantic"], ["experiments.mtl.task"]),
    ("experiments.mtl.network", "hrnet18", ["experiments.mtl.network", "one task", "segnet"]),
    ("experiments.dwa.balance.name", "dw", ["experiments.dwa.balance", "'dwa'"]),
    ("experiments.dwa.balance.temperature", 0.0, ["experiments.dwa.balance.temperature", "above 0"]),
    ("experiments.gradnorm.balance.alpha", -1, ["experiments.gradnorm.balance.alpha", "at least 0"]),
    ("experiments.dwa.balance.temprature", 1.0, ["experiments.dwa.balance.temprature", "'temperature'"]),
    ("experiments.stl_depth.balance", {"name": "dwa"}, ["experiments.stl_depth.balance", "several tasks"]),
    ("experiments.stl_depth.consistency", {}, ["experiments.stl_depth.consistency", "several tasks"]),
    ("experiments.stl_depth.train", {"labelled": "onelabel"}, ["experiments.stl_depth", "labelled"]),
    ("experiments.stl_depth.train", {"labelled": 1}, ["experiments.stl_depth.train.labelled", "less than 1"]),
    (
        "experiments.stl_depth.train",
        {"labelled": 0.0},
        ["experiments.stl_depth.train.labelled", "greater than 0"],
    ),
    ("experiments.stl_depth.train", {"labelled": "0.5"}, ["experiments.stl_depth.train.labelled", "'0.5'"]),
    ("experiments.stl_depth.train", {"labelled": True}, ["experiments.stl_depth.train.labelled", "True"]),
    ("experiments.mtl.train", {"labelled": 0.5}, ["experiments.mtl", "labelled 0.5", "one task"]),
    ("experiments.maskformer_swint_coco.train", {"labelled": 0.5}, ["labelled 0.5", "one task"]),
    ("experiments.stl_depth.train", {"labelled": 0.5, "batch_size": 1}, ["labelled 0.5", "batch_size"]),
    ("experiments.segformer_b5.train", {"labelled": 0.5}, ["experiments.segformer_b5", "cat_max_ratio"]),
    ("experiments.hrnet48.train", {"labelled": 0.5}, ["experiments.hrnet48", "class_uniform"]),
    ("recipes.hrnet_ablation.labelled", 0.5, ["experiments.ablation_text", "dejavu.text"]),
    ("tables.pair.scales", ["opn"], ["tables.pair.scales", "'open'"]),
    ("tables.pair.scales", [], ["tables.pair.scales"]),
    ("experiments.ablation_perceptual.dejavu.perceptual.network", "vgg19", ["perceptual.network", "'vgg16'"]),
    (
        "experiments.ablation_perceptual.dejavu.perceptual",
        {"network": "tf_efficientnet_lite0"},
        ["experiments.ablation_perceptual.dejavu.perceptual", "weights is missing"],
    ),
    ("experiments.mgda.train", {"auxiliary": {"aux": 0.4}}, ["experiments.mgda", "auxiliary"]),
    ("experiments.xtc_dejavu.consistency", None, ["experiments.xtc_dejavu.consistency", "'xtc'"]),
    ("experiments.mtl_dejavu_by_task.dejavu.redaction.0.tasks", [], ["dejavu", "list of tasks"]),
    ("experiments.mtl_dejavu_by_task.dejavu.redaction.0.tasks", "semantic", ["dejavu", "list of tasks"]),
    ("experiments.mtl_dejavu_by_task.dejavu.redaction.0.tasks", ["dept"], ["redaction.tasks", "'depth'"]),
    ("recipes.segnet_nyud.schedule", {"name": "step"}, ["recipes.segnet_nyud.schedule", "every"]),
    ("recipes.segnet_nyud.scale_range", [1.0, 1.5], ["recipes.segnet_nyud", "scale_choices"]),
    ("tables.nyud_mtl.single.depth", "depth", ["tables.nyud_mtl.single.depth", "network or recipe"]),
    ("tables.nyud_mtl.single.depth", "depth_blocks", ["tables.nyud_mtl.single.depth", "DejaVu row"]),
    ("tables.nyud_mtl.single.depth", "stl_normals", ["tables.nyud_mtl.single.depth", "depth alone"]),
    ("tables.nyud_mtl.single.depth", "stl_dept", ["tables.nyud_mtl.single.depth", "'stl_depth'"]),
    ("tables.nyud_mtl.single", {"depth": "stl_depth"}, ["tables.nyud_mtl.single.semantic", "missing"]),
    ("tables.nyud_mtl_best.metrics", ["rmse"], ["tables.nyud_mtl_best.metrics", "depth_aerr"]),
]


@pytest.mark.parametrize(
    ("key", "value", "named"), FAULTS, ids=[f"{key}={value!r}" for key, value, _ in FAULTS]
)
def test_a_fault_is_one_sentence_that_names_it(key: str, value: Any, named: list[str], file: Path) -> None:
    broken = raw()
    if key.startswith("scale."):
        broken["scale"] = copy.deepcopy(broken["scale"])
    put(broken, key, value)
    if key.split(".")[0] != "scale":
        broken["scale"] = broken["scales"]["demo"]  # an alias of it, as in the file
    file.write_text(yaml.safe_dump(broken))
    with pytest.raises(DejavuError) as caught:
        loading.load(file)
    sentence = str(caught.value)
    assert "\n" not in sentence and str(file) in sentence
    for word in named:
        assert word in sentence


@pytest.mark.parametrize(
    "key",
    [
        *("scales", "scale", "tables", "scales.demo.seeds", "experiments.hrnet18.network"),
        *("experiments.hrnet18.budget", "scales.demo.budget.all"),
    ],
)
def test_a_missing_key_is_named(key: str, file: Path) -> None:
    broken = raw()
    drop(broken, key)
    file.write_text(yaml.safe_dump(broken))
    with pytest.raises(DejavuError, match=f"{key} is missing"):
        loading.load(file)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "must be a mapping"),
        ("- 1\n", "must be a mapping"),
        ("scales: {a: [}\n", "line 1"),
        ("scales: {}\nscales: {}\n", "'scales' is given twice"),
        ("scales: *nowhere\n", "nowhere"),
        ("1: 2\n", "1"),
        ("scale: !!python/object:os.system {}\n", "not valid YAML"),
        ("\x00", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_params_file(text: str, named: str, tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(text)
    with pytest.raises(DejavuError) as caught:
        loading.load(file)
    assert named in str(caught.value) and "\n" not in str(caught.value)


def test_a_merged_mapping_may_be_made_after_it_was_merged(tmp_path: Path) -> None:
    """PyYAML makes what is deeper later; what it merged is by then among its keys."""
    file = tmp_path / "any.yaml"
    file.write_text("deep: {deeper: &b {<<: &c {x: 1, y: 1}, x: 2}}\ntop: {<<: *b, z: 3}\nlast: *c\n")
    b = {"x": 2, "y": 1}
    assert read_yaml(file) == {"deep": {"deeper": b}, "top": b | {"z": 3}, "last": {"x": 1, "y": 1}}


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(DejavuError, match=r"nowhere\.yaml is missing"):
        loading.load(tmp_path / "nowhere.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(DejavuError, match="not UTF-8"):
        loading.load(tmp_path / "latin.yaml")
    with pytest.raises(DejavuError, match="cannot be read"):
        loading.load(tmp_path)


@pytest.mark.parametrize("scale", PARAMS.scales)
@pytest.mark.parametrize("experiment", PARAMS.experiments)
def test_every_experiment_resolves_at_every_scale(experiment: str, scale: str) -> None:
    run = PARAMS.run(experiment, scale)
    assert (run.experiment, run.scale) == (experiment, scale)
    budgets = PARAMS.scales[scale].budget
    all_, own = budgets["all"], budgets[PARAMS.experiments[experiment].budget]
    over = {key: getattr(layer, key) for layer in (all_, own) for key in layer.model_fields_set}
    for key in over.keys() & set(config.Recipe.model_fields):
        default = config.Recipe.model_fields[key].default
        assert getattr(run.train, key) == (default if over[key] is None else over[key])
    for key in ("width", "depth"):
        assert getattr(run.network, key) == (over.get(key) or getattr(PARAMS.scales[scale], key))
    assert run.seeds == PARAMS.scales[scale].seeds[: over.get("seeds")]
    written = PARAMS.networks[run.network.name].options.get("pretrained")
    starts = over.get("pretrained", PARAMS.scales[scale].pretrained)
    assert run.network.options.get("pretrained") == (written if starts else None)
    assert run.pretrained == PARAMS.scales[scale].pretrained  # of the frozen networks of losses


@pytest.mark.parametrize("scale", PARAMS.scales)
@pytest.mark.parametrize("experiment", [name for name, row in PARAMS.experiments.items() if row.base])
def test_a_pair_differs_in_nothing_but_the_method(experiment: str, scale: str) -> None:
    ours = PARAMS.run(experiment, scale).as_dict()
    base = PARAMS.run(PARAMS.experiments[experiment].base or "", scale).as_dict()
    frozen = {"pretrained", "frozen_width"}  # of the networks that judge, which only such rows have
    differing = {key for key in ours if key not in frozen and ours[key] != base[key]} - {"seeds"}
    assert set(ours["seeds"]) <= set(base["seeds"])
    attention = "network" in differing  # DejaVu-SA is compared with the network without it
    if attention:
        options = ours["network"]["options"]
        assert {key: value for key, value in options.items() if key != "attention"} == base["network"][
            "options"
        ]
    method = {"dejavu"} if ours["dejavu"] else set()
    assert differing - {"network"} == {"experiment", "base"} | method and (method or attention)
    method = ours["dejavu"] or {}
    assert (frozen <= ours.keys()) == bool(method.get("text") or method.get("perceptual"))


def test_the_paper_scale_is_the_recipe_itself() -> None:
    run, recipe = PARAMS.run("hrnet18", "paper"), PARAMS.recipes["hrnet_cityscapes"]
    assert recipe.sync_norm and run.gpus == 1  # all statistics of one GPU are of the whole batch
    assert run.train == recipe.model_copy(update={"sync_norm": False})
    assert run.network.width == 1.0
    shared, recipe = PARAMS.run("hms_hrnet48", "paper"), PARAMS.recipes["hms_cityscapes"]
    assert shared.gpus == 8 and shared.train == recipe


def test_unknown_names_have_a_hint() -> None:
    with pytest.raises(DejavuError, match="did you mean 'hrnet18'"):
        PARAMS.run("hrnet188", "demo")
    with pytest.raises(DejavuError, match="did you mean 'smoke'"):
        PARAMS.get_scale("smok")
    with pytest.raises(DejavuError, match="unknown table"):
        PARAMS.get_table("nope")


def test_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        PARAMS.scale.name = "other"  # type: ignore[misc]
