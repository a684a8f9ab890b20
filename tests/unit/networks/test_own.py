"""A network that a user's function builds, by its name in params.yaml."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from dejavu import networks, registry
from dejavu.config import Network, loading
from dejavu.errors import DejavuError
from dejavu.system.fingerprint import code_hash

FILE = """
import torch
from torch import nn
def build(num_classes, channels=4):
    first = nn.Conv2d(3, channels, 3, stride=2, padding=1)
    return nn.Sequential(first, nn.Conv2d(channels, num_classes, 2, stride=4))
class Mapped(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.layer = nn.Conv2d(3, num_classes, 1)
    def forward(self, images):
        return {"out": self.layer(images)}
def flat(num_classes):
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(num_classes))
def failing(num_classes):
    return nn.Conv2d(5, num_classes, 1)
def number(num_classes):
    return 3
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "own_nets.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "own_nets", raising=False)
    return tmp_path / "own_nets.py"


@pytest.mark.parametrize(("name", "stride", "options"), [("build", 8, {"channels": 6}), ("Mapped", 1, {})])
def test_it_is_built_with_its_stride(name: str, stride: int, options: dict[str, int]) -> None:
    path = list(sys.path)
    torch.manual_seed(0)
    network = networks.build(f"own_nets:{name}", 5, **options)
    after = torch.rand(1)
    torch.manual_seed(0)
    getattr(sys.modules["own_nets"], name)(5, **options)
    assert torch.equal(after, torch.rand(1))  # finding the stride has drawn no number
    assert network.stride == stride and network.training and sys.path == path
    with torch.device("meta"):
        networks.build(f"own_nets:{name}", 5)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("own_nets:nothing", "has no function 'nothing'"),
        ("no_such_nets:build", "cannot be imported .*looked for in"),
        ("own_nets:number", "returns int, and a torch.nn.Module"),
        ("own_nets:flat", r"returns \(1, 5\), and \(1, 5, h, w\) is needed"),
        ("own_nets:failing", "its network fails on images"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(name: str, sentence: str) -> None:
    with pytest.raises(DejavuError, match=sentence):
        networks.build(name, 5)


def test_it_has_one_size_and_one_task_and_its_own_options() -> None:
    with pytest.raises(DejavuError, match="set width and depth to 1.0"):
        networks.build("own_nets:build", 5, width=0.5)
    with pytest.raises(DejavuError, match="a network of one task, not of semantic and depth"):
        networks.build("own_nets:build", {"semantic": 5, "depth": 1})
    with pytest.raises(DejavuError, match="unexpected keyword argument 'depths'"):
        networks.build("own_nets:build", 5, depths=3)
    assert registry.only_task("own_nets:build") is None and not registry.is_multitask("own_nets:build")


def test_a_result_depends_on_the_file(module: Path) -> None:
    before = code_hash(["networks.own_nets:build", "errors"])
    module.write_text(FILE + "# changed\n")
    code_hash.__globals__["_code_hash"].cache_clear()
    assert code_hash(["networks.own_nets:build", "errors"]) != before
    with pytest.raises(DejavuError, match="there is no module gone"):
        code_hash(["networks.gone:build"])


@pytest.mark.parametrize("name", ["a b:c", "net:", ":net", "../net:build", "a:b:c"])
def test_params_yaml_refuses_other_names(name: str, tmp_path: Path) -> None:
    from helpers import ROOT

    text = (ROOT / "params.yaml").read_text().replace("{module: segnet}", f"{{module: '{name}'}}")
    (tmp_path / "params.yaml").write_text(text)
    (tmp_path / "paper").symlink_to(ROOT / "paper")
    with pytest.raises(DejavuError, match="must be the name of a file in dejavu/networks, or package.module"):
        loading.load(tmp_path / "params.yaml")
    assert Network(module="a.b:c", channels=3).options == {"channels": 3}
