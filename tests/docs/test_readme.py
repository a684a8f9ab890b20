"""What the README shows is what the repository holds and does."""

from __future__ import annotations

import re

import pytest
from helpers import ROOT

README = (ROOT / "README.md").read_text()


def test_the_results_are_those_of_the_committed_tables() -> None:
    """The lines between the marks stand in results/open/tables, table by table, in that order."""
    block = re.search(r"<!-- results: begin -->\n(.*)<!-- results: end -->", README, re.S)
    assert block is not None
    tables = ROOT / "results" / "open" / "tables"
    table = [
        line
        for name in ("cityscapes", "shared_attention", "ablations", "nyud_mtl", "band_study")
        for line in re.sub(" +", " ", (tables / f"{name}.md").read_text()).splitlines()
    ]
    shown = [line for line in block[1].splitlines() if line.startswith(("|", "**Scale"))]
    shown = [re.sub(" +", " ", line) for line in shown if not line.startswith("| ---")]
    assert len(shown) > 4
    places = [table.index(line) for line in shown]
    assert places == sorted(places)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)", README))))
def test_links_lead_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


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
    from dejavu.config import loading

    params = loading.load(ROOT / "params.yaml")
    row = re.search(rf"^\| `{scale}` \|(.*)\|$", README, re.M)
    assert row is not None
    data, networks, seeds, *_ = (cell.strip() for cell in row[1].split("|"))
    assert int(seeds.split(";")[0]) == len(params.scales[scale].seeds)
    width = params.scales[scale].width
    assert networks.startswith("full" if width == 1 else f"width {width:g}")
    shown = {"synthetic": "rendered", "camvid": "CamVid", "cityscapes": "Cityscapes"}
    assert shown[params.scales[scale].data["cityscapes"].source] in data
