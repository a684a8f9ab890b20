"""docs/loops.md: every block runs, and does what the page says of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import ROOT
from torch import Tensor, nn

import dejavu
from dejavu.engines.launch import free_port

PAGE = (ROOT / "docs" / "loops.md").read_text()
START, *LOOPS = re.split(r"^## ", PAGE, flags=re.M)
CODE = {
    section.partition("\n")[0]: found[1]
    for section in LOOPS
    if (found := re.search(r"^```python\n(.*?)^```", section, re.M | re.S))
}
BEGIN = re.search(r"^```python\n(.*?)^```", START, re.M | re.S)[1]  # type: ignore[index]
DISTRIBUTED = "DistributedDataParallel"
ALONE = [name for name in CODE if name != DISTRIBUTED]
PROCESSES = [DISTRIBUTED, "Accelerate"]
BATCHES, EPOCHS = 4, 2


# torch's compiler asks any tensor for its gradient, and hides the warning where warnings are no errors.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder for what blocks write, and random numbers that others do not notice."""
    monkeypatch.chdir(tmp_path)
    compile_ = nn.Module.compile
    # The default backend calls a C++ compiler for half a minute; what torch traces is the same.
    monkeypatch.setattr(nn.Module, "compile", lambda module: compile_(module, backend="aot_eager"))
    with torch.random.fork_rng():
        yield


def run(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    for block in (BEGIN, code):
        exec(compile(block, "docs/loops.md", "exec"), names)
    return names


def new() -> dict[str, Tensor]:
    """The state that every block starts from."""
    names = run("")
    return dejavu.DejaVu(names["build"](), num_classes=19).state_dict()


def test_the_page_has_all_loops() -> None:
    assert len(CODE) == PAGE.count("```python\n") - 1 == 8


@pytest.mark.parametrize("name", ALONE)
def test_a_block_trains_network_and_regenerator(name: str) -> None:
    names = run(CODE[name])
    model = names["model"]
    assert isinstance(model, dejavu.DejaVu)
    start = dejavu.DejaVu(names["build"](), num_classes=19)
    assert list(model.state_dict()) == list(start.state_dict()), "weights keep their names"
    regenerator = start.regenerator.state_dict()
    for key, value in model.state_dict().items():
        assert bool(value.isfinite().all())
        if key.removeprefix("regenerator.") in regenerator:
            assert not torch.equal(value.cpu(), regenerator[key.removeprefix("regenerator.")]), key
    plain = names["build"]()
    plain.load_state_dict(names.get("weights", model.network.state_dict()), strict=True)


def test_accumulated_gradients_make_one_step() -> None:
    names = run(CODE["Gradient accumulation"])
    steps = {int(state["step"]) for state in names["optimizer"].state.values()}
    assert steps == {EPOCHS * BATCHES // names["accumulated"]}


def test_the_average_is_of_the_network() -> None:
    names = run(CODE["Exponential moving average"])
    average, trained = names["average"], names["model"].network.state_dict()
    assert average.n_averaged == BATCHES
    assert list(names["weights"]) == list(trained)
    assert not torch.equal(names["weights"]["0.weight"], trained["0.weight"])


def test_compiled_modules_train_as_others(monkeypatch: pytest.MonkeyPatch) -> None:
    code = CODE["torch.compile"]
    others = re.sub(r"^.*\.compile\(\)\n", "", code, flags=re.M)
    assert code.count("compile()") == 2 and "compile" not in others
    compiled, plain = (run(each)["model"].state_dict() for each in (code, others))
    for key, value in plain.items():
        torch.testing.assert_close(compiled[key], value, msg=key)


def test_checkpointed_modules_train_as_others() -> None:
    """Up to BatchNorm's statistics, which the page names."""
    code = CODE["Activation checkpointing"]
    others = re.sub(r"^for module in .*\n.*\n", "", code, flags=re.M)
    assert "module" in code and "module" not in others
    again, once = (run(each)["model"] for each in (code, others))
    buffers = {key for key, _ in once.named_buffers()}
    for key, value in once.state_dict().items():
        if key not in buffers:
            torch.testing.assert_close(again.state_dict()[key], value, msg=key)
    assert int(once.network[1].num_batches_tracked) == BATCHES
    assert int(again.network[1].num_batches_tracked) == 2 * BATCHES


def test_a_resumed_training_ends_as_an_uninterrupted_one() -> None:
    code = CODE["Resuming"]
    resumed = run(code)["model"].state_dict()
    definitions = code.partition("model, optimizer = start()")[0]
    names = run(
        f"{definitions}model, optimizer = start()\nfor _ in range(epochs):\n    train(model, optimizer)\n"
    )
    whole = names["model"].state_dict()
    assert list(resumed) == list(whole)
    assert all(torch.equal(resumed[key], whole[key]) for key in whole)


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the states after these blocks in two processes, which run one block after the other."""
    folder = tmp_path_factory.mktemp("processes")
    end = "torch.save(getattr(model, 'module', model).state_dict(), f'{name}-{os.environ[\"RANK\"]}.pt')\n"
    code = ["import os\n"]
    for name in PROCESSES:  # a port for each: the first block's may still be open
        code += [f"name, os.environ['MASTER_PORT'] = {name!r}, '{free_port()}'\n", BEGIN, CODE[name], end]
    (folder / "train.py").write_text("".join(code))
    meeting = {"MASTER_ADDR": "127.0.0.1", "WORLD_SIZE": "2", "PYTHONPATH": str(ROOT)}
    meeting |= {
        "CUDA_VISIBLE_DEVICES": "",
        "ACCELERATE_USE_CPU": "true",
    }  # as `accelerate launch --cpu` sets it
    environments = [os.environ | meeting | {"RANK": rank, "LOCAL_RANK": rank} for rank in "01"]
    command = [sys.executable, "train.py"]
    with ExitStack() as stack:
        started = [
            stack.enter_context(subprocess.Popen(command, cwd=folder, env=env)) for env in environments
        ]
        try:
            assert [process.wait(timeout=300) for process in started] == [0, 0]
        finally:
            for process in started:
                process.kill()
    return folder


def test_one_process_saves_the_plain_network(processes: Path) -> None:
    run("")["build"]().load_state_dict(torch.load(processes / "network.pt"), strict=True)


@pytest.mark.parametrize("name", PROCESSES)
def test_processes_have_one_network_and_one_regenerator(name: str, processes: Path) -> None:
    first, second = (torch.load(processes / f"{name}-{rank}.pt") for rank in "01")
    learnt = [key for key in first if key.endswith(("weight", "bias"))]
    start = new()
    assert any(key.startswith("regenerator.") for key in learnt)
    for key in learnt:
        assert torch.equal(first[key], second[key]), key
        assert not torch.equal(first[key], start[key]), key


# The limits that the page names


@pytest.mark.filterwarnings("ignore:the regeneration loss is computed within no_grad")  # torch's first pass
@pytest.mark.parametrize("use_reentrant", [False, True])
@pytest.mark.parametrize("call", ["loss", "forward"])
def test_a_checkpointed_loss_is_refused(call: str, use_reentrant: bool) -> None:
    """Its second computation would draw other masks, and so give another loss' gradient."""
    from torch.utils.checkpoint import checkpoint

    model = dejavu.DejaVu(run("")["build"](), num_classes=19)
    images = torch.randn(2, 3, 32, 48, requires_grad=True)
    if call == "loss":
        loss = checkpoint(model.regeneration_loss, images, model(images), use_reentrant=use_reentrant)
    else:
        _, loss = checkpoint(partial(model, regeneration=True), images, use_reentrant=use_reentrant)
    with pytest.raises(dejavu.DejavuError, match=r"checkpoint the network or model\.regenerator"):
        loss.backward()


def test_torch_compile_puts_a_prefix_before_names() -> None:
    network = torch.compile(run("")["build"](), backend="eager")
    model = dejavu.DejaVu(network, num_classes=19)
    assert all(key.startswith("_orig_mod.") for key in model.network.state_dict())


@pytest.mark.parametrize("within", [False, True])
def test_the_loss_is_float32_under_autocast(within: bool) -> None:
    model = dejavu.DejaVu(run("")["build"](), num_classes=19)
    images = torch.randn(2, 3, 32, 48)
    with torch.autocast("cpu", dtype=torch.float16):
        logits = model(images)
        assert logits.dtype == torch.float16
        with torch.autocast("cpu", enabled=within, dtype=torch.float16):
            loss = model.regeneration_loss(images, logits)
    assert loss.dtype == torch.float32 and bool(loss.isfinite())
