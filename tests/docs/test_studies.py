"""Studies in studies/: what each params.yaml reads, and that it shows all that it tries."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import ROOT

from dejavu.config import loading

STUDIES = sorted(path.parent for path in (ROOT / "studies").glob("*/params.yaml"))


@pytest.mark.parametrize("study", STUDIES, ids=lambda path: path.name)
def test_a_study_never_reads_the_test_split(study: Path) -> None:
    params = loading.load(study / "params.yaml")
    for scale in params.scales.values():
        assert all(source.source.endswith("_val") for source in scale.data.values())
        assert min(scale.seeds) >= 100


@pytest.mark.parametrize("study", STUDIES, ids=lambda path: path.name)
def test_every_setting_that_is_tried_is_in_a_table(study: Path) -> None:
    params = loading.load(study / "params.yaml")
    shown = {name for table in params.tables.values() for name in table.experiments}
    assert shown == set(params.experiments)
