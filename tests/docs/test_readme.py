"""What the README shows is what the repository holds and does."""

from __future__ import annotations

import re

import pytest
from helpers import ROOT

from dejavu.config import loading
from dejavu.config.paths import Paths
from dejavu.reports.results_page import results_page
from dejavu.reports.short_table import fill, short_table

README = (ROOT / "README.md").read_text()
OPEN = Paths("open", ROOT).page
LINK = r"\]\((?!https?:)([^)#]+)"


UPDATE = "write it again: dejavu index --scale open --readme README.md"


def test_the_short_table_is_that_of_the_committed_results() -> None:
    block = short_table(loading.load(ROOT / "params.yaml"), "open", ROOT)
    assert fill(README, block, ROOT / "README.md") == README, UPDATE


def test_the_page_of_the_open_scale_is_that_of_the_committed_results() -> None:
    page = results_page(loading.load(ROOT / "params.yaml"), "open", ROOT)
    assert page == OPEN.read_text(), UPDATE


@pytest.mark.parametrize("link", sorted(set(re.findall(LINK, README))))
def test_links_lead_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


def test_links_of_the_open_scales_page_lead_somewhere() -> None:
    links = re.findall(LINK, OPEN.read_text())
    assert len(links) > 20 and [link for link in links if not (OPEN.parent / link).exists()] == []


def test_the_example_runs_and_leaves_the_plain_network(tmp_path, monkeypatch) -> None:
    import torch
    from torch import nn

    monkeypatch.chdir(tmp_path)
    code = re.search(r"```python\n(.*?)```", README, re.S)
    assert code is not None
    network = nn.Conv2d(3, 19, 3, stride=4, padding=1)
    names = {
        "torch": torch,
        "network": network,
        "loader": [(torch.randn(2, 3, 32, 64), torch.randint(19, (2, 8, 16)))] * 2,
        "criterion": nn.CrossEntropyLoss(),
    }
    before = {key: value.clone() for key, value in network.state_dict().items()}
    exec(code[1], names)
    saved = torch.load(tmp_path / "network.pt", weights_only=True)
    assert saved.keys() == before.keys()
    assert not any(torch.equal(saved[key], before[key]) for key in before)


@pytest.mark.parametrize("scale", re.findall(r"^\| `(\w+)` \|", README, re.M))
def test_scales_are_described_as_they_are(scale: str) -> None:
    params = loading.load(ROOT / "params.yaml")
    row = re.search(rf"^\| `{scale}` \|(.*)\|$", README, re.M)
    assert row is not None
    data, networks, seeds, *_ = (cell.strip() for cell in row[1].split("|"))
    assert int(seeds.partition(";")[0].split()[0]) == len(params.scales[scale].seeds)
    width = params.scales[scale].width
    assert networks.startswith("full" if width == 1 else f"width {width:g}")
    shown = {"synthetic": "rendered", "camvid": "CamVid", "cityscapes": "Cityscapes"}
    assert shown[params.scales[scale].data["cityscapes"].source] in data
