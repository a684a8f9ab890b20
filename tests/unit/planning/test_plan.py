"""What a training will take: counted numbers against those worked out by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers import ROOT, copy_params
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dejavu import config
from dejavu.commands import main
from dejavu.commands import plan as stage
from dejavu.compute.random import generator
from dejavu.config import loading
from dejavu.config.paths import Paths
from dejavu.errors import DejavuError
from dejavu.planning import data, plan, speed
from dejavu.planning.activation_memory import ActivationCounter, tensors_of
from dejavu.planning.plan import Planner, RowPlan, Speeds, StepTime, choose
from dejavu.planning.speed import Speed
from dejavu.planning.step_cost import Meaning, Operations, Step, Work, build, count, empty_batch
from dejavu.training.batches import Batch
from dejavu.training.loop import learn
from dejavu.training.optimizer import build_optimizer

N, H, W = 2, 8, 12


def counted(network: nn.Module, *inputs: torch.Tensor) -> tuple[int, int]:
    """Operations of forward and backward, and bytes that are saved in between."""
    operations, saved = Operations(), ActivationCounter(tensors_of(network))
    with operations, saved.counting():
        network(*inputs).sum().backward()
    return operations.total, saved.bytes


# ------------------------------------------------ operations


@pytest.mark.parametrize("groups", [1, 4])
def test_convolutions_cost_what_they_cost_by_hand(groups: int) -> None:
    """The second convolution has both gradients, the first none of the image."""
    with torch.device("meta"):
        network = nn.Sequential(
            nn.Conv2d(4, 8, 3, padding=1), nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=groups)
        )
        images = torch.zeros(N, 4, H, W)
    first = 2 * N * H * W * 8 * 4 * 9
    second = 2 * N * (H // 2) * (W // 2) * 8 * (8 // groups) * 9
    assert counted(network, images)[0] == 2 * first + 3 * second


def test_transposed_convolutions_and_linear_layers_cost_what_they_cost_by_hand() -> None:
    with torch.device("meta"):
        up, images = nn.ConvTranspose2d(4, 6, 2, stride=2), torch.zeros(N, 4, H, W)
        linear, tokens = nn.Linear(5, 7), torch.zeros(N, 3, 5)
    assert counted(up, images)[0] == 2 * (2 * N * H * W * 4 * 6 * 4)
    assert counted(linear, tokens)[0] == 2 * (2 * N * 3 * 5 * 7)


def test_operations_are_torchs_own_where_there_are_no_groups() -> None:
    """On attention and convolutions of a real network part."""
    with torch.device("meta"):
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        tokens = torch.zeros(2, 10, 8, requires_grad=True)
    operations, torchs = Operations(), FlopCounterMode(display=False)
    with torchs:
        layer(tokens).sum().backward()
    with operations:
        layer(tokens).sum().backward()
    assert operations.total == torchs.get_total_flops() > 0


# ------------------------------------------------ memory


def test_saved_bytes_of_two_layers_are_those_by_hand() -> None:
    """Convolution, ReLU, convolution: the image and what came of the ReLU, which both layers keep once."""
    with torch.device("meta"):
        network = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 2, 1))
        images = torch.zeros(N, 3, H, W)
    assert counted(network, images)[1] == 4 * N * H * W * (3 + 5)


def test_a_norm_keeps_its_input_and_attention_no_map() -> None:
    class Attend(nn.Module):
        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return F.scaled_dot_product_attention(tokens, tokens, tokens)

    with torch.device("meta"):
        norm, images = nn.BatchNorm2d(3), torch.zeros(N, 3, H, W, requires_grad=True)
        tokens = torch.zeros(1, 1, 100, 4, requires_grad=True)
    assert counted(norm, images)[1] == 4 * N * H * W * 3
    assert counted(Attend(), tokens)[1] == 4 * 2 * 100 * 4  # tokens and output; the map has 100 x 100


def test_saved_bytes_are_the_same_with_values() -> None:
    """On the processor, where norms and losses are the real ones."""

    def network() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Conv2d(8, 4, 1))

    with torch.device("meta"):
        on_meta = counted(network(), torch.zeros(N, 3, H, W))
    real = counted(network(), torch.zeros(N, 3, H, W))
    assert on_meta[0] == real[0]
    assert 0 <= real[1] - on_meta[1] <= 2 * 8 * 4 + 8  # a batch norm's mean and deviation


# ------------------------------------------------ rows of params.yaml


@pytest.fixture(scope="module")
def params() -> config.Params:
    return loading.load(ROOT / "params.yaml")


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    copy_params(tmp_path)
    return tmp_path


MEANING = Meaning([f"class {i}" for i in range(19)])


def test_a_real_row_is_counted_as_torch_counts_it(params: config.Params) -> None:
    """Of HRNet18 with values on the processor, forward and backward with its loss."""
    run = params.run("hrnet18", "smoke")
    found = count(run, MEANING)
    objective = build(run, MEANING).train()
    images, labels = torch.randn(4, 3, *run.train.crop), torch.zeros(4, *run.train.crop, dtype=torch.long)
    with FlopCounterMode(display=False) as forward:
        objective.network(images)
    with FlopCounterMode(display=False) as both:
        objective(Batch(images, labels), 1.0, torch.Generator()).total.backward()
    assert (found.forward, found.flops) == (forward.get_total_flops(), both.get_total_flops())
    parameters = sum(parameter.numel() for parameter in objective.parameters())
    assert found.parameters == found.deployed == parameters
    assert found.state == 2 * 4 * parameters  # AdamW
    assert found.loss and found.batch == 4
    assert found.memory == found.weights + 4 * parameters + found.state + found.saved
    assert found.memory - found.memory_half == found.saved // 2


def test_a_dejavu_row_is_its_base_and_the_crm(params: config.Params) -> None:
    """The CRM's three convolutions at stride 4, and a gradient of weights and of inputs for each."""
    base, ours = (count(params.run(name, "smoke"), MEANING) for name in ("hrnet18", "hrnet18_dejavu"))
    height, width = params.run("hrnet18", "smoke").train.crop
    folded = 3 * 4**2
    first, second, third = (folded + 19) * 32 * 9, 32 * 32 * 9, 32 * folded * 9
    places = 4 * (height // 4) * (width // 4)
    assert ours.flops - base.flops == 3 * 2 * places * (first + second + third)
    assert ours.forward == base.forward and ours.deployed == base.deployed
    assert ours.parameters - base.parameters == first + second + third + 4 * 32 + folded
    assert ours.saved > base.saved


def test_the_optimisers_state_is_its_own(params: config.Params) -> None:
    run = params.run("hrnet18", "smoke")
    states = {}
    for name, momentum in (("sgd", 0.0), ("sgd", 0.9), ("adamw", 0.9)):
        optimizer = run.train.optimizer.model_copy(update={"name": name, "momentum": momentum})
        train = run.train.model_copy(update={"optimizer": optimizer})
        found = count(run.model_copy(update={"train": train}), MEANING)
        states[name, momentum] = found.state / found.parameters
    assert states == {("sgd", 0.0): 0, ("sgd", 0.9): 4, ("adamw", 0.9): 8}


@pytest.mark.parametrize(
    "name",
    ["ablation_low_pass", "ablation_text", "normals_blocks"],
)
def test_every_part_of_the_method_can_be_counted(params: config.Params, name: str) -> None:
    run = params.run(name, "smoke")
    base = count(params.run(run.base, "smoke") if run.base else run, MEANING)
    assert (count(run, MEANING).flops > base.flops) == (run.base is not None)


def test_steps_images_hours_and_disk_follow_from_each_other(params: config.Params, work: Path) -> None:
    planner = Planner(params, "paper")
    run = params.run("hrnet18", "paper")
    counted = Work(
        12, flops=600, forward=190, parameters=10, deployed=8, weights=40, state=40, saved=100, loss=True
    )
    row = plan.RowPlan(run, counted, planner.steps(run), StepTime(0.5, "measured", "hrnet18", "a GPU"))
    assert row.steps == 484 * (2975 // 12) and row.images == row.steps * 12
    assert row.hours == pytest.approx(row.steps * 3 * 0.5 / 3600)
    assert row.flops == row.steps * 3 * 600
    assert row.disk == 2 * 3 * 40 + 40 + 40
    assert row.gmacs == pytest.approx(190 / 2 / 12 / 1e9) and row.overhead == pytest.approx(600 / 570)
    assert row.as_dict()["hours_from"] == {
        "kind": "measured",
        "row": "hrnet18",
        "device": "a GPU",
        "step": 0.5,
    }


def test_what_shares_network_and_recipe_is_counted_once(
    params: config.Params, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks, methods = [], []

    class Watched(Step):
        def __init__(self, run: config.Run, meaning: Meaning) -> None:
            networks.append(run.experiment)
            super().__init__(run, meaning)

        def with_method(self, run: config.Run) -> Work:
            methods.append(run.experiment)
            return super().with_method(run)

    monkeypatch.setattr("dejavu.planning.step_cost.Step", Watched)
    planner = Planner(params, "smoke")
    first = planner.row("hrnet18_dejavu", None)
    assert planner.row("ablation_gamma_3", None).work == first.work  # gamma costs nothing
    for name in ("hrnet18", "ablation", "ablation_dejavu", "ablation_crm_r"):
        planner.row(name, None)
    assert (networks, methods) == (["hrnet18_dejavu"], ["hrnet18_dejavu", "ablation_crm_r"])
    again = Planner(params, "smoke")  # kept in runs/plan
    assert again.row("hrnet18_dejavu", None).work == first.work and len(networks) == 1


@pytest.mark.parametrize(
    "name",
    [
        *("hrnet18_dejavu", "hrnet18_dejavu_sa", "ablation_cycle", "ablation_crm_r", "ablation_detached"),
        *("mtl_dejavu", "xtc_dejavu"),
    ],
)
def test_a_method_counted_beside_its_network_is_the_whole_objective(params: config.Params, name: str) -> None:
    """Forward and backward of all in one graph, as training has it: the same operations and bytes."""
    run = params.run(name, "smoke")
    with torch.device("meta"):
        objective = build(run, MEANING).train()
        batch = empty_batch(run)
    operations, saved = Operations(), ActivationCounter(tensors_of(objective))
    with operations, saved.counting():
        objective(batch, 1.0, generator(0, "redact"), generator(0, "gumbel")).total.backward()
    found = count(run, MEANING)
    assert (found.flops, found.saved) == (operations.total, saved.bytes)
    assert found.parameters == sum(parameter.numel() for parameter in objective.parameters())


@pytest.mark.parametrize("name", ["dwa", "gradnorm", "mgda"])
def test_weighing_tasks_is_counted_as_torch_counts_it(params: config.Params, name: str) -> None:
    """A real step with values on the processor, whatever backward passes the balancer makes."""
    run = params.run(name, "smoke")
    objective = build(run, MEANING).train()
    batch = speed.random_batch(run, len(MEANING.classes), generator(0, "plan"), torch.device("cpu"))
    optimizer = build_optimizer(objective, run.train.optimizer)
    with FlopCounterMode(display=False) as torchs:
        learn(objective, optimizer, batch, 1.0, generator(0, "redact"), generator(0, "gumbel"))
    found = count(run, MEANING)
    assert found.flops == torchs.get_total_flops() and found.loss


def test_mgda_is_a_backward_pass_and_a_gradient_for_each_task(params: config.Params) -> None:
    """By hand: three passes instead of one, and the products of three gradients of the trunk."""
    plain, mgda = (count(params.run(name, "smoke"), MEANING) for name in ("mtl", "mgda"))
    network = build(params.run("mgda", "smoke"), MEANING).network
    trunk = sum(parameter.numel() for parameter in network.trunk.parameters())
    assert mgda.flops - plain.flops == 2 * (plain.flops - plain.forward) + 2 * 3 * 3 * trunk
    assert (mgda.saved, mgda.state) == (plain.saved, plain.state)
    own = mgda.weights - plain.weights  # of the balancer: three weights
    assert own == 3 * 4 and mgda.memory - plain.memory == 2 * 4 * plain.deployed + own


def test_gradnorm_looks_at_the_last_shared_convolution_alone(params: config.Params) -> None:
    """By hand: for each task the gradient of that layer's weights, and of what the heads are shown."""
    run = params.run("gradnorm", "smoke")
    plain, found = count(params.run("mtl", "smoke"), MEANING), count(run, MEANING)
    network = build(run, MEANING).network
    height, width = (32 * math.ceil(side / 32) for side in run.train.crop)  # SegNet pads
    places = run.train.batch_size * height * width
    outputs = len(MEANING.classes) + 1 + 3
    heads = 9 * network.last_shared.out_channels * outputs  # one convolution in training
    extra = 3 * 2 * places * (network.last_shared.weight.numel() + heads)
    assert found.flops - plain.flops == extra
    assert found.memory - plain.memory < 100  # some numbers for each task


@pytest.mark.filterwarnings("ignore:grad and param do not obey")  # the order in memory of a step in one
def test_what_mgda_adds_a_method_to_has_a_pass_of_its_own(params: config.Params) -> None:
    """Counted beside the network, and in one with it."""
    run = params.run("mtl_dejavu", "smoke").model_copy(
        update={"balance": params.run("mgda", "smoke").balance}
    )
    with torch.device("meta"):
        objective = build(run, MEANING).train()
        batch = empty_batch(run)
    operations, saved = Operations(), ActivationCounter(tensors_of(objective))
    assert objective.balancer is not None
    with operations, saved.counting():
        losses = objective(batch, 1.0, generator(0, "redact"), generator(0, "gumbel"))
        objective.balancer.backward(losses.tasks, losses.added)
    found = count(run, MEANING)
    assert (found.flops, found.saved) == (operations.total, saved.bytes)


def test_rows_of_one_network_that_are_trained_otherwise_are_counted_apart(
    params: config.Params, work: Path
) -> None:
    planner = Planner(params, "smoke")
    names = ("mtl", "dwa", "gradnorm", "mgda", "xtc", "mtl_onelabel", "xtc_onelabel")
    assert len({planner.key(params.run(name, "smoke")) for name in names}) == len(names)
    cooler = config.Balance(name="dwa", temperature=1.0)
    run = params.run("dwa", "smoke")
    assert planner.key(run.model_copy(update={"balance": cooler})) == planner.key(run)


def test_of_xtcs_two_views_one_is_told(params: config.Params) -> None:
    """The step has both, the cost of an image one."""
    plain, both = (count(params.run(name, "smoke"), MEANING) for name in ("mtl", "xtc"))
    assert both.forward == pytest.approx(plain.forward, rel=1e-3) and both.flops > 2 * plain.flops


def test_images_and_disk_are_those_of_the_prepared_data_or_as_published(
    params: config.Params, work: Path
) -> None:
    assert data.counts(params, "cityscapes", "paper") == {"train": 2975, "val": 500}
    assert data.counts(params, "cityscapes", "smoke") == {"train": 8, "val": 4}
    assert data.disk(params, "cityscapes", "paper") == 3475 * 1024 * 2048 * 4
    assert data.disk(params, "nyudv2", "paper") == (795 + 654) * 288 * 384 * (3 + 1 + 4 + 6)
    folder = Path("data/paper/prepared/cityscapes")
    folder.mkdir(parents=True)
    (folder / "train_images.npy").write_bytes(b"12345")
    (folder / "report.json").write_text(
        json.dumps({"source": "cityscapes", "splits": {"train": {"count": 7}}})
    )
    assert data.counts(params, "cityscapes", "paper") == {"train": 7}
    assert data.disk(params, "cityscapes", "paper") == 5 + (folder / "report.json").stat().st_size
    (folder / "report.json").write_text(json.dumps({"source": "camvid", "splits": {"train": {"count": 7}}}))
    assert data.counts(params, "cityscapes", "paper")["train"] == 2975


# ------------------------------------------------ hours


def made(experiment: str, device: str, seconds: float = 2.0, flops: int = 100, **more: object) -> Speed:
    values = {"key": experiment, "module": "hrnet", "torch": "2", "precision": "float32", "threads": 1}
    values |= {"batch": 2, "crop": (8, 8), "steps": 5}
    return Speed(experiment=experiment, device=device, seconds=seconds, flops=flops, **(values | more))


WORK = Work(8, flops=4000, forward=1, parameters=1, deployed=1, weights=1, state=1, saved=1, loss=True)


def test_hours_come_from_the_row_itself_else_from_the_most_similar_one(params: config.Params) -> None:
    run = params.run("hrnet18", "smoke")
    own, other = made("own", "d", seconds=3.0), made("other", "d", flops=1000)
    far, attention = made("far", "d", flops=10), made("attention", "d", flops=1001, module="segformer")
    speeds = Speeds("d", (far, attention, other, own))
    found = speeds.of("own", run, WORK)
    assert (found.kind, found.of, found.seconds) == ("measured", "own", 3.0 / 2 * 8)  # of two images
    found = speeds.of("new", run, WORK)
    assert (found.kind, found.of) == (
        "similar",
        "other",
    )  # an image has 500 operations, and so has this row's
    assert found.seconds == pytest.approx(4000 / (1000 / 2.0))
    given = Speeds("given", rate=2000.0).of("own", run, WORK)
    assert (given.kind, given.seconds) == ("given", 2.0)


def test_plans_are_made_for_a_graphics_card_else_for_the_device_at_hand() -> None:
    here, there = made("a", "here"), made("a", "there")
    card = made("b", "NVIDIA H200", precision="bfloat16")
    assert choose([], "here") is None
    assert choose([there, made("b", "there"), here], "here").device == "here"
    assert choose([here, card], "here").device == "NVIDIA H200" and choose([card], "here").gpu
    assert [one.experiment for one in choose([here, card, there], "x").measured] == ["b"]


def test_measurements_are_kept_by_row_and_device(work: Path) -> None:
    assert speed.read_speeds("smoke") == []
    for found in (made("a", "d"), made("b", "d"), made("a", "e"), made("a", "d", seconds=9.0)):
        speed.keep("smoke", found)
    kept = speed.read_speeds("smoke")
    assert [(one.experiment, one.device, one.seconds) for one in kept] == [
        ("a", "d", 9.0),
        ("b", "d", 2.0),
        ("a", "e", 2.0),
    ]
    assert kept[0].crop == (8, 8)
    Paths("smoke").speed().write_text('{"measurements": [{"a": 1}]}')
    with pytest.raises(DejavuError, match=r"speed.json holds no measurements of `dejavu plan --measure`"):
        speed.read_speeds("smoke")


def test_a_step_is_timed_and_told_with_its_device(
    params: config.Params, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.print_plan(params, ["hrnet18"], "smoke", measure=True)
    (found,) = speed.read_speeds("smoke")
    assert found.experiment == "hrnet18" and found.batch == 2 and found.seconds > 0 and found.steps >= 1
    assert found.flops == count(params.run("hrnet18", "smoke"), MEANING).flops // 2  # of 2 images, not 4
    said = capsys.readouterr()
    assert found.device in said.out and "its own steps" in said.out and "float32" in said.err
    stage.print_plan(params, ["hrnet18", "hrnet18_dejavu"], "smoke", as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert [row["hours_from"]["kind"] for row in told["rows"]] == ["measured", "similar"]
    rate = found.flops / found.seconds
    ours = told["rows"][1]
    assert ours["hours"] == pytest.approx(ours["flops"] / rate / 3600)
    assert told["total"]["hours"] == pytest.approx(sum(row["hours"] for row in told["rows"]))


def test_a_step_that_does_not_fit_is_not_tried(
    params: config.Params, work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """First with fewer images; a row of which no single one fits is said and passed over."""
    run = params.run("hrnet18", "smoke")
    smaller = run.train.model_copy(update={"batch_size": 1})
    one = count(run.model_copy(update={"train": smaller}), MEANING).memory
    monkeypatch.setattr("dejavu.planning.speed.main_memory", lambda: one / speed.SHARE)
    assert speed.time_row(run, MEANING, "key").batch == 1
    monkeypatch.setattr("dejavu.planning.speed.main_memory", lambda: one)
    stage.print_plan(params, ["hrnet18"], "smoke", measure=True, tflops=1.0)
    said = capsys.readouterr().err
    assert said.startswith("not timed: experiment 'hrnet18': one image of 64 x 64 pixels does not fit")
    assert not Paths("smoke").speed().exists()


def test_without_measurements_a_probe_is_made_and_said(
    params: config.Params, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.print_plan(params, ["hrnet18_dejavu"], "smoke")
    said = capsys.readouterr()
    assert (
        "nothing was measured at scale smoke" in said.err and "rate of a probe (hrnet18_dejavu)" in said.out
    )
    assert not Paths("smoke").speed().exists()  # a probe is no measurement of a row


def test_the_table_has_sums_and_counts_shared_rows_once(
    params: config.Params, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """10 TFLOP/s, by hand: no step is timed."""
    assert main(["plan", "ablation", "ablation_dejavu", "--scale", "smoke", "--tflops", "10"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Scale smoke: hours on 10 TFLOP/s, given by hand.")
    lines = [line.split() for line in said.splitlines()]
    assert [line[1] for line in lines if line[:1] in (["sum"], ["total"])] == ["2", "2", "2"]
    assert "The total counts rows that stand in several tables once." in said
    assert main(["plan", "ablation", "--scale", "smoke", "--tflops", "10", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)["rows"][0]
    assert row["hours"] == pytest.approx(row["flops"] / 10e12 / 3600) and row["hours_from"]["kind"] == "given"


def test_a_row_that_cannot_be_counted_is_one_sentence(
    params: config.Params, work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(step: Step, run: config.Run) -> Work:
        raise NotImplementedError("no meta kernel\nmore")

    monkeypatch.setattr("dejavu.planning.step_cost.Step.with_method", broken)
    with pytest.raises(
        DejavuError,
        match=r"1 of 2 rows are not in this plan: experiment 'hrnet18_dejavu' cannot.*no meta kernel$",
    ):
        stage.print_plan(params, ["hrnet18", "hrnet18_dejavu"], "smoke", tflops=1.0)
    assert "hrnet18 " in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["nobody"], ["hrnet18", "--tflops", "0"], ["hrnet18", "--tflops", "x"]]
)
def test_wrong_arguments_are_refused_in_one_line(
    work: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", *arguments]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_gpus_that_share_a_batch_keep_a_part_of_it_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    params = loading.load(ROOT / "params.yaml")
    run, planner = params.run("hrnet18", "smoke"), Planner(params, "smoke")
    work = planner.work(run)
    alone, shared = (RowPlan(run.model_copy(update={"gpus": gpus}), work, 100, None) for gpus in (1, 4))
    assert (alone.memory, alone.memory_half) == (work.memory, work.memory_half)
    # Weights, gradients and optimiser are everybody's, as of one GPU with a quarter of the batch.
    quarter = run.train.model_copy(update={"batch_size": run.train.batch_size // 4})
    expected = planner.work(run.model_copy(update={"train": quarter}))
    assert shared.memory == pytest.approx(expected.memory, rel=0.05)
    assert shared.memory_half == pytest.approx(expected.memory_half, rel=0.05)
    assert shared.flops == alone.flops
