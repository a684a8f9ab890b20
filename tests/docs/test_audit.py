"""docs/tools/audit.py: which locked versions an advisory is about."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from helpers import ROOT


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", ROOT / "docs" / "tools" / "audit.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["audit"] = module
    spec.loader.exec_module(module)
    return module


def advisory(*events: dict[str, str], versions: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    """About the package `some.package`, in OSV's form."""
    ranges = [{"type": "ECOSYSTEM", "events": list(events)}] if events else []
    about = {"package": {"name": "Some.Package"}, "ranges": ranges, "versions": list(versions)}
    return {"id": "PYSEC-1", "details": "It breaks. Very much.", "affected": [about], **more}


BEGINS, ENDS = {"introduced": "0"}, {"fixed": "2.10"}
AGAIN = [{"introduced": "3.0"}, {"fixed": "3.1"}]


@pytest.mark.parametrize(
    ("said", "affected", "clean"),
    [
        (advisory(BEGINS), ["0.1", "9"], []),  # never mended
        (advisory(BEGINS, ENDS), ["0.1", "2.9", "2.10rc1"], ["2.10", "2.11"]),  # 2.10 is behind 2.9
        (advisory(ENDS, *AGAIN, BEGINS), ["2.9", "3.0", "3.0.5"], ["2.10", "3.1"]),  # events in any order
        (advisory(BEGINS, {"last_affected": "1.5"}), ["1.5"], ["1.6"]),
        (advisory(versions=("1.2", "1.3")), ["1.2", "1.3"], ["1.4"]),
        (advisory(BEGINS, withdrawn="2024-01-01T00:00:00Z"), [], ["1"]),
    ],
)
def test_versions_in_the_range(audit: ModuleType, said: Any, affected: list[str], clean: list[str]) -> None:
    assert all(audit.affects(said, "some-package", version) for version in affected)
    assert not any(audit.affects(said, "some-package", version) for version in clean)
    assert not any(audit.affects(said, "other", version) for version in affected)


def test_faults_are_told_and_counted(
    audit: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = tmp_path / "requirements.lock"
    monkeypatch.setattr(audit, "LOCK", lock)
    folder = tmp_path / "vulns" / "some-package"
    folder.mkdir(parents=True)
    (folder / "PYSEC-1.yaml").write_text(yaml.safe_dump(advisory(BEGINS, ENDS)))
    for version, status, said in (("2.9", 1, "some-package 2.9: PYSEC-1: It breaks\n"), ("2.10", 0, "")):
        lock.write_text(f"some_package=={version}\nother==1\n")
        assert audit.main([str(tmp_path)]) == status
        out = capsys.readouterr().out
        assert out.startswith(f"{said}2 packages, 1 advisories of ") and out.endswith(f": {status} faults\n")


def test_without_advisories_nothing_is_called_clean(
    audit: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit.main([]) == audit.main([str(tmp_path)]) == 2
    (tmp_path / "vulns").mkdir()
    assert audit.main([str(tmp_path)]) == 2
    assert "0 faults" not in capsys.readouterr().out


def test_every_locked_package_is_compared(audit: ModuleType) -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert len(audit.locked(text)) == len(text.split())
