"""A job's start: the compiler is left out, and is there as soon as it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

BEFORE = (
    "from dejavu.compute.skip_compiler import leave_compiler_out; leave_compiler_out(); import sys, torch;"
)
LOADED = "'torch._dynamo.convert_frame' in sys.modules"  # a part of the compiler that everything of it needs


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", BEFORE + code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_training_step_does_not_load_the_compiler() -> None:
    step = "o = torch.optim.AdamW([w := torch.zeros(1, requires_grad=True)]); w.sum().backward(); o.step();"
    assert run(f"import timm.models.hrnet; {step} print({LOADED}, w.item() < 0)") == "False True"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("print(torch.compile(lambda x: x + 1, backend='eager')(torch.ones(1)).item())", "2.0"),
        ("import torch._dynamo.config as c; print(c.__name__)", "torch._dynamo.config"),
        (f"import torch._dynamo; torch._dynamo.reset(); print({LOADED})", "True"),
    ],
    ids=["compile", "a module of it", "a function of it"],
)
def test_the_compiler_is_there_when_it_is_asked_for(code: str, said: str) -> None:
    assert run(code) == said


def test_a_compiler_that_is_loaded_stays() -> None:
    code = (
        "import torch._dynamo as real; "
        "from dejavu.compute.skip_compiler import leave_compiler_out; leave_compiler_out();"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{code} import sys; print(sys.modules['torch._dynamo'] is real)"],
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "True", done.stderr
