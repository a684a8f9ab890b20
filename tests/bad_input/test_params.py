"""params.yaml: what is no YAML, what is of the wrong kind, missing, unknown, or no name."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from dejavu.commands import main
from dejavu.config import loading
from dejavu.config.file import ParamsFile
from dejavu.config.yaml import LARGEST

from . import samples
from .checks import Refused
from .limits import little_memory

RIGHT = yaml.safe_dump(samples.params() | {"scale": samples.params()["scales"]["smoke"]})
LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30)
)
PAIRS = "&a0 !!pairs [x: 1], " + ", ".join(
    f"&a{n} !!pairs [{', '.join([f'x: *a{n - 1}'] * 9)}]" for n in range(1, 30)
)
MERGES = "m0: &m0 {a: 1, b: 2}\n" + "".join(
    f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 9)}]}}\n" for n in range(1, 12)
)
ONE_LARGE = (
    "a: &a {"
    + ", ".join(f"k{n}: 1" for n in range(10000))
    + "}\n"
    + f"b: {{<<: [{', '.join(['*a'] * 800)}]}}\n"
)
FEWER_MERGES = "".join(MERGES.splitlines(keepends=True)[:6]) + "".join(
    f"n{n}: {{<<: *m5}}\n" for n in range(5000)
)
FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "mapping"),
    "blank": (b"\n\n   \n", "mapping"),
    "a comment": (b"# nothing\n", "mapping"),
    "null": (b"~\n", "mapping"),
    "a number": (b"7\n", "mapping"),
    "a list": (b"- scales\n- scale\n", "mapping"),
    "two documents": (b"a: 1\n---\na: 2\n", "YAML"),
    "binary": (bytes(range(256)), "UTF-8"),
    "UTF-16": ("scales: {}\n".encode("utf-16"), "UTF-8"),
    "NUL": (b"scales: \0\n", "YAML"),
    "an escape": (b"scales: \x1b[2J\n", "YAML"),
    "cut off": (b"scales: {smoke: {name: [sm", "line 1"),
    "a tab": (b"scales:\n\tsmoke: {}\n", "line 2"),
    "an unknown alias": (b"scale: *nowhere\nscales: {}\n", "nowhere"),
    "its own alias": (b"scales: &all {smoke: *all}\n", "themselves"),
    "an alias in a list of itself": (b"scales: &all [*all]\n", "themselves"),
    "a key twice": (RIGHT.encode() + b"tables: {}\n", "'tables'"),
    "a key that is a number": (b"1: 2\n", "1"),
    "a key that is a list": (b"[a, b]: 2\n", "YAML"),
    "a key that is null": (b"~: 2\n", "None"),
    "a tag of Python": (b"scales: !!python/object/apply:os.system ['touch hacked']\n", "YAML"),
    "an unknown tag": (b"scales: !secret x\n", "YAML"),
    "a wrong merge": (b"scales: {<<: 3}\n", "YAML"),
    "no bool": (b"scale: !!bool maybe\n", "tag"),
    "no date": (b"scale: !!timestamp soon\n", "tag"),
    "no number": (b"scale: !!int ''\n", "tag"),
    "no sign of a number": (b"scale: !!int '-'\n", "tag"),
    "no fraction": (b"scale: !!float ''\n", "tag"),
    "one large mapping merged often": (ONE_LARGE.encode() + RIGHT.encode(), "aliases"),
    "a date that is none": (b"scales: 2026-99-99\n", "YAML"),
    "a number that is none": (b"scales: !!int x\n", "YAML"),
    "deep lists": (b"scales: " + b"[" * 50_000 + b"]" * 50_000, "params.yaml"),
    "deep mappings": (b"scales: " + b"{a: " * 50_000 + b"1" + b"}" * 50_000, "params.yaml"),
    "a billion laughs": (LAUGHS.encode() + RIGHT.encode(), "aliases"),
    "merges of merges": (MERGES.encode() + RIGHT.encode(), "aliases"),
    "many merges of one": (FEWER_MERGES.encode() + RIGHT.encode(), "aliases"),
    "merges of merges, of nothing but keys": (
        MERGES.replace("a: 1, b: 2", "a: 1, a: 2").encode() + RIGHT.encode(),
        "'a' is given twice",
    ),
    "a set": (RIGHT.replace("\n      - road\n      - car", " !!set {road, car}").encode(), "set"),
    "a huge hexadecimal number": (
        RIGHT.replace("channels: 18", f"channels: 0x{'f' * 5000}").encode(),
        "digits",
    ),
    "octal of YAML 1.1": (RIGHT.replace("channels: 18", "channels: 022").encode(), "write 18 or 22"),
    "negative octal": (RIGHT.replace("channels: 18", "channels: -022").encode(), "write -18 or -22"),
    "octal of YAML 1.2": (RIGHT.replace("channels: 18", "channels: 0o22").encode(), "write 18, or '0o22'"),
    "base 60": (RIGHT.replace("channels: 18", "channels: 1:30").encode(), "1:30 is a number to the base 60"),
    "base 60 in a text's place": (RIGHT.replace("licence: mine", "licence: 12:30:00").encode(), "in quotes"),
    "base 60 with a fraction": (RIGHT.replace("channels: 18", "channels: 1:30.5").encode(), "base 60"),
    "a key that is read as false": (RIGHT.encode() + b"no: 1\n", "no is false to some readers"),
    "a number of endless hours": (
        RIGHT.replace("channels: 18", f"channels: 1{':1' * 300_000}").encode(),
        "digits",
    ),
    "too long": (b"#" * (LARGEST + 1), f"{LARGEST}"),
    "a huge number": (
        RIGHT.replace("seeds:\n    - 0", f"seeds:\n    - {'9' * 5000}").encode(),
        "params.yaml",
    ),
}


@pytest.mark.parametrize(
    "path",
    [
        *("scales", "scales.smoke.seeds", "scales.smoke.data.cityscapes.size", "datasets.mine.folder.values"),
        *(
            "networks.hrnet18.channels",
            "recipes.hrnet_cityscapes.crop",
            "tables.pair.title",
            "tables.pair.notes",
        ),
        *(
            "experiments.hrnet18_dejavu.dejavu.redaction",
            "experiments.hrnet18.task",
            "tables.pair.rows",
        ),
    ],
)
def test_a_billion_laughs_in_a_values_place(empty: Path, refused: Refused, path: str) -> None:
    """Nine lists of nine lists, thirty deep: short as a file, and endless where anybody spells it out."""
    lists = ["&a0 [x, x, x, x, x, x, x, x, x]"]
    lists += [f"&a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    broken = samples.params()
    samples.put(broken, path, "PLACE")
    samples.write(empty, broken)
    text = (empty / "params.yaml").read_text()
    (empty / "params.yaml").write_text(text.replace("PLACE", f"[{', '.join(lists)}]", 1))
    refused("show", "hrnet18", named=("params.yaml", "aliases"))


def test_pairs_of_pairs_in_an_options_place(empty: Path, refused: Refused) -> None:
    """The same with !!pairs, which are tuples in lists."""
    broken = samples.params()
    samples.put(broken, "networks.hrnet18.channels", "PLACE")
    samples.write(empty, broken)
    text = (empty / "params.yaml").read_text()
    (empty / "params.yaml").write_text(text.replace("PLACE", f"[{PAIRS}]", 1))
    refused("show", "hrnet18", named=("params.yaml", "aliases"))


@pytest.mark.parametrize("how", FILES)
def test_a_file_that_is_no_params_file(empty: Path, refused: Refused, how: str) -> None:
    content, named = FILES[how]
    (empty / "params.yaml").write_bytes(content)
    refused("list", named=("params.yaml", named))


def test_a_folder_in_its_place(empty: Path, refused: Refused) -> None:
    (empty / "params.yaml").unlink()
    (empty / "params.yaml").mkdir()
    refused("list", named=("params.yaml", "directory"))


@pytest.mark.parametrize("file", ["nowhere.yaml", "", "a/b\0c", "x" * 300, "params.yaml/x"])
def test_a_file_that_is_not_there(empty: Path, refused: Refused, file: str) -> None:
    refused("list", "--params", file, named=(file[:5] if "\0" not in file else "a/b",))


def test_a_file_without_end(empty: Path, refused: Refused) -> None:
    with little_memory(2**29):
        refused("list", "--params", "/dev/zero", named=("/dev/zero", f"{LARGEST}"))


def paths(value: Any, prefix: str = "") -> Iterator[str]:
    """The path of every key."""
    for key, inner in value.items() if isinstance(value, dict) else ():
        yield f"{prefix}{key}"
        yield from paths(inner, f"{prefix}{key}.")


def at(path: str) -> Any:
    value = samples.params()
    for key in path.split("."):
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value


EVERY = list(paths(samples.params()))


@pytest.mark.parametrize("path", EVERY)
def test_a_value_of_another_kind_names_its_key(empty: Path, refused: Refused, path: str) -> None:
    broken = samples.params()
    samples.put(broken, path, "no such" if isinstance(at(path), dict) else {"no": "such"})
    samples.write(empty, broken)
    refused("show", "hrnet18", named=("params.yaml", path.rpartition(".")[2]))


@pytest.mark.parametrize("path", ["", *(path for path in EVERY if isinstance(at(path), dict))])
def test_an_unknown_key_is_named(empty: Path, refused: Refused, path: str) -> None:
    broken = samples.params()
    samples.put(broken, f"{path}.no_such_key".lstrip("."), 1)
    samples.write(empty, broken)
    refused("show", "hrnet18", named=("params.yaml", "no_such_key"))


REQUIRED = (
    *("scales", "datasets", "networks", "recipes", "protocols", "experiments", "tables", "scales.open.name"),
    *("scales.open.seeds", "scales.open.width", "scales.open.data", "scales.open.data.cityscapes"),
    *("scales.open.data.cityscapes.source", "scales.open.data.cityscapes.size", "datasets.camvid.licence"),
    *("scales.smoke.data.cityscapes.train", "datasets.synthetic.seed", "datasets.mine.folder.images"),
    *("networks.hrnet18.module", "recipes.hrnet_cityscapes.optimizer", "recipes.hrnet_cityscapes.crop"),
    *("recipes.hrnet_cityscapes.optimizer.lr", "experiments.hrnet18.task", "experiments.hrnet18.network"),
    *("experiments.hrnet18_dejavu.base", "experiments.hrnet18.budget", "scales.smoke.budget.all"),
    *("tables.pair.title", "tables.pair.rows"),
)


@pytest.mark.parametrize("path", REQUIRED)
def test_a_missing_key_is_named(empty: Path, refused: Refused, path: str) -> None:
    broken = samples.params()
    samples.drop(broken, path)
    samples.write(empty, broken)
    refused("show", "hrnet18", named=("params.yaml", path.rpartition(".")[2]))


NAMES = (
    *(
        "../x",
        "a/b",
        "/etc/passwd",
        ".",
        "..",
        ".hidden",
        "a\nb",
        "a\0b",
        "a b",
        "-rf",
        "$(touch hacked)",
        "x" * 65,
    ),
    *("a;b", "ä", "a\u202eb", "", "{seed}", "*", "~", "a\\b", "seed0\n"),
)
SECTIONS = ("experiments", "datasets", "networks", "recipes", "protocols", "tables", "scales", "claims")


@pytest.mark.parametrize("name", NAMES, ids=ascii)
@pytest.mark.parametrize("section", ["experiments"])
def test_a_key_that_is_no_name(empty: Path, refused: Refused, section: str, name: str) -> None:
    broken = samples.params()
    broken[section][name] = next(iter(broken[section].values()))
    samples.write(empty, broken)
    refused("list", named=("params.yaml", section, "is no name"))


@pytest.mark.parametrize("section", SECTIONS)
def test_no_section_takes_a_path_for_a_name(empty: Path, refused: Refused, section: str) -> None:
    broken = samples.params()
    broken[section]["../x"] = next(iter(broken[section].values()))
    samples.write(empty, broken)
    refused("list", named=("params.yaml", section, "'../x' is no name"))


VALUES: dict[str, tuple[Any, ...]] = {
    "scales.smoke.seeds": ([], [-1], [0, 0], [2**31], [0.5], ["0"], [True], [[0]]),
    "scales.smoke.width": (0, -1, 1.5, 1e-300, float("nan"), float("inf"), "0.5"),
    "scales.smoke.depth": (1e-300,),
    "scales.smoke.frozen_width": (1e-300,),
    "scales.smoke.data.cityscapes.size": (
        *([32], [32, 64, 3], [0, 64], [32, -1], [32.5, 64]),
        *([10**9, 10**9], [10**30, 64], {"short": 32, "long": 10**9}),
    ),
    "scales.smoke.data.cityscapes.train": (0, 1, -4, 2.5, 10**12),
    "scales.smoke.data.cityscapes.val": (10**12,),
    "scales.smoke.data.cityscapes.source": ("../synthetic", "mnist", "ade20k "),
    "datasets.camvid.url": ("file:///etc/passwd", "ftp://host/x", "data:,x", "//host/x", ""),
    "datasets.camvid.sha256": ("abc", "Z" * 64, "0" * 63),
    "datasets.synthetic.seed": (-1, 2**31, 0.5),
    "datasets.cityscapes.cost_input": ([10**9, 10**9],),
    "datasets.mine.licence": ("\ud800x", "a\x1b[31m"),
    "datasets.mine.folder.path": ("a\0b", "a\nb"),
    "datasets.mine.folder.classes": ([], ["road"], ["road", "road"], ["c"] * 255, ["road", 3]),
    "datasets.mine.folder.labels": ("{split}/{name}.jpg", "{split}/{id}.png", "{split}/x.png", "{", ""),
    "networks.hrnet18.channels": (0, -18, 18.5, "18", 10**9, 10**30),
    "networks.hrnet18.pretrained": ("\ud800x", "a\x1b[31m", 18),
    "networks.hrnet18.module": ("../hrnet", "os", "parts", "hrnet.py"),
    "recipes.hrnet_cityscapes.optimizer.lr": (0, -1, float("nan"), "0.01", 1e308),
    "recipes.hrnet_cityscapes.optimizer.head": (1e308,),
    "recipes.hrnet_cityscapes.optimizer.weight_decay": (1e308,),
    "recipes.hrnet_cityscapes.schedule.factor": (0, -0.5, 10.0, 1e308),
    "recipes.hrnet_cityscapes.rmi": ({"radius": 10**9}, {"pool": 10**9}),
    "recipes.hrnet_cityscapes.scale_range": ([1e-9, 1e-9], [1e6, 1e6], [0.001, 1.0], [1.0, 1000.0]),
    "recipes.hrnet_cityscapes.scale_choices": ([1e-9], [1.0, 1e6]),
    "scales.smoke.budget.all.epochs": (0, 10**30, 10**400 - 1, 10**4000 - 1),
    "scales.smoke.budget.all.iterations": (0, 10**30),
    "scales.smoke.budget.all.evaluations": (0, 10**30),
    "recipes.hrnet_cityscapes.class_weights": ([1.0, -1.0], [float("inf")] * 19),
    "scales.smoke.budget.all.crop": ([32], [0, 0], [32, 64, 3], [10**9, 64]),
    "scales.smoke.budget.all.batch_size": (0, 5, 2.0),
    "protocols.whole.scales": ([1e9], [1e-9], []),
    "protocols.whole.multiple": (0, 10**12),
    "protocols.whole.fit": ({"short": 32, "long": 10**12},),
    "experiments.hrnet18_dejavu.dejavu.gamma": (-1, float("inf"), "0.3", 1e308),
    "experiments.hrnet18_dejavu.dejavu.stride": (0, 10**9),
    "experiments.hrnet18_dejavu.dejavu.regenerator.width": (10**9, 10**30),
    "experiments.hrnet18_dejavu.dejavu.regenerator.depth": (10**9,),
    "tables.pair.title": ("\ud800x", "a\0b", "a\x1b[31m", "a\x85b", "a\u202eb", "a\u2066b", "a\nb", "a\tb"),
    "tables.pair.rows": ([], {}, ["../hrnet18"], ["hrnet18", "hrnet18"], ["hrnet18_dejavu"], ["nobody"]),
    "tables.pair.rows.hrnet18": ("\ud800x", "a\u202eb"),
    "tables.pair.metrics": ([], ["mious"], ["miou", 3], ["../miou"]),
    "tables.pair.paper": ("../pair", "a/b", "nothing", 3),
    "claims.main": ({}, [], {"../x": {}}),
    "claims.main.helps.says": (3, "a\nb", "a\u202eb"),
    "claims.main.helps.row": ("nobody", "../x", 3),
    "claims.main.helps.metric": ("mious", "depth_aerr", "delta_mtl", ["miou"]),
    "claims.main.helps.against": ("hrnet18_dejavu", "nobody", 3),
    "claims.main.helps.expected": ("good", True),
    "dejavu.gamma": (-1, float("inf"), "0.3", 1e308),
    "dejavu.redaction.ratio": (-0.1, 1.5, "0.5"),
}


@pytest.mark.parametrize(
    ("path", "value"),
    [(path, value) for path, values in VALUES.items() for value in values],
    ids=lambda value: ascii(value)[:40],
)
def test_a_value_out_of_range_names_its_key(empty: Path, refused: Refused, path: str, value: Any) -> None:
    broken = samples.params()
    samples.put(broken, path, value)
    samples.write(empty, broken)
    refused("show", "hrnet18", named=("params.yaml", path.split(".")[-1].rstrip("0123456789.")))


PRINTED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "'row' is missing"),
    "no row": (b"method,miou\nHRNet,77.6\n", "'row' is missing"),
    "an unknown column": (b"row,mious\nhrnet18,77.6\n", "'miou'"),
    "a column twice": (b"row,miou,miou\nhrnet18,77.6,1.0\n", "'miou' is given twice"),
    "a row twice": (b"row\nhrnet18\nhrnet18\n", "line 3: row 'hrnet18' is given twice"),
    "a row that is no name": (b"row\n../hrnet18\n", "is no name"),
    "an experiment that is no name": (b"row,experiment\nhrnet18,a b\n", "is no name"),
    "a row without a name": (b"row,method\n,HRNet\n", "line 2"),
    "fewer cells": (b"row,method,miou\nhrnet18,HRNet\n", "line 2"),
    "more cells": (b"row,method\nhrnet18,HRNet,77.6\n", "line 2"),
    "no number": (b"row,miou\nhrnet18,many\n", "line 2: miou is 'many'"),
    "no finite number": (b"row,miou\nhrnet18,inf\n", "not a finite number"),
    "a huge number": (b"row,miou\nhrnet18," + b"9" * 5000 + b"\n", "not a finite number"),
    "an escape": (b"row,method\nhrnet18,\x1b[2J\n", "U+001B"),
    "two lines in a cell": (b'row,method\nhrnet18,"a\nb"\n', "U+000A"),
    "a quote that does not end": (b'row,method\nhrnet18,"HRNet\n', "pair.csv"),
    "Latin": (b"row,method\nhrnet18,\xe4\n", "UTF-8"),
    "too long": (b"row\n" + b"#" * LARGEST, f"{LARGEST}"),
    "a row that no experiment fills": (b"row\nhrnet18\nhrnet19\n", "'hrnet19'"),
}


@pytest.mark.parametrize("how", PRINTED)
def test_printed_values_that_cannot_be_read(empty: Path, refused: Refused, how: str) -> None:
    content, named = PRINTED[how]
    broken = samples.params()
    broken["tables"]["pair"] |= {"paper": "pair"}
    del broken["tables"]["pair"]["rows"]
    samples.write(empty, broken)
    (empty / "paper").mkdir()
    (empty / "paper" / "pair.csv").write_bytes(content)
    refused("show", "hrnet18", named=("params.yaml", "tables.pair", named))


MEANT: dict[str, dict[str, tuple[tuple[str, str], ...]]] = {
    "whole": {
        "scales.smoke.budget.all.epochs": (
            *(("'8'", "write 8, without quotes"), ("'1e3'", "write 1000: YAML reads 1e3 as text")),
            *(("8.0", "(write 8)"), ("None", "null"), ("'08'", "write 8: YAML reads 08 as text")),
        ),
        "networks.hrnet18.channels": (
            *(("'18'", "write 18, without quotes"), ("'1e3'", "write 1000"), ("18.0", "(write 18)")),
        ),
        "experiments.hrnet18_dejavu.dejavu.regenerator.width": (("'32'", "write 32, without quotes"),),
    },
    "real": {
        "recipes.hrnet_cityscapes.optimizer.lr": (
            *(("'0.01'", "write 0.01, without quotes"), ("'1e-2'", "write 0.01: YAML reads 1e-2 as text")),
        ),
        "dejavu.redaction.ratio": (
            *(
                ("'0.5'", "write 0.5, without quotes"),
                ("'5e-1'", "write 0.5: YAML reads"),
                ("50%", "write 0.5:"),
            ),
        ),
    },
    "flag": {
        "recipes.hrnet_cityscapes.flip": (
            *(
                ("'no'", "write false, without quotes"),
                ("y", "write true: YAML reads y"),
                ("1", "(write true)"),
            ),
        ),
    },
    "name": {
        "datasets.mine.folder.classes": (
            *(("[false, road]", "write 'false', in quotes"), ("[True, a]", "write 'true', in quotes")),
            *(
                ("[12, a]", "write '12', in quotes"),
                ("[~, a]", "null, ~"),
                ("[2026-12-01, a]", "'2026-12-01'"),
            ),
        ),
        "tables.pair.metrics": (("[false]", "write 'false', in quotes"),),
        "networks.hrnet18.pretrained": (("18", "write '18', in quotes"),),
    },
    "list": {
        "scales.smoke.budget.all.crop": (
            *(("(32, 64)", "should be a list (write [32, 64])"), ("32x64", "write [32, 64]")),
            *(("32", "should be a list"), ("[32, 64, 3]", "should have at most 2 items, not 3")),
        ),
        "datasets.mine.folder.classes": (("road", "write [road]"), ("[road]", "at least 2 items, not 1")),
        "scales.smoke.data.cityscapes.size": (("32x64", "or a list of height and width"),),
    },
    "section": {
        "dejavu.redaction": (("random_blocks", "should be a mapping of keys (write {name: random_blocks}"),),
        "recipes.hrnet_cityscapes.optimizer": (("adamw", "write {name: adamw}"),),
        "datasets.mine.folder.splits": (("[train, val]", "should be a mapping of keys"),),
        "networks": (("~", "None should be a mapping of keys"),),
    },
    "choice": {
        "recipes.hrnet_cityscapes.optimizer.name": (("SGD", "did you mean 'sgd'?"),),
        "dejavu.loss": (("L1", "did you mean 'l1'?"),),
        "dejavu.regenerator.norm": (("Batch", "did you mean 'batch'?"), ("~", "did you mean 'none'?")),
        "dejavu.redaction.name": (("Random_Blocks", "did you mean 'random_blocks'?"),),
        "networks.hrnet18.module": (("HRNet", "did you mean 'hrnet'?"),),
        "experiments.hrnet18.network": (("HRNet18", "did you mean 'hrnet18'?"),),
        "experiments.hrnet18.task": (("Semantic", "did you mean 'semantic'?"),),
        "tables.pair.metrics": (("[mIoU]", "did you mean 'miou'?"),),
    },
}
"""By the kind of the right value: keys, wrong values as they are written, and the hint that follows."""


@pytest.mark.parametrize(
    ("path", "written", "hint"),
    [(path, *one) for keys in MEANT.values() for path, ones in keys.items() for one in ones],
    ids=lambda value: value[:40],
)
def test_the_sentence_says_how_the_value_is_written(
    empty: Path, refused: Refused, path: str, written: str, hint: str
) -> None:
    broken = samples.params()
    if path == "dejavu.regenerator.norm":
        broken["dejavu"]["regenerator"]["norm"] = None
    samples.put(broken, path, "PLACE")
    samples.write(empty, broken)
    text = (empty / "params.yaml").read_text()
    (empty / "params.yaml").write_text(text.replace("PLACE", written, 1))
    refused("show", "hrnet18", named=("params.yaml", path.removesuffix(".name").split(".")[-1], hint))


WORDS = (
    "yes",
    "no",
    "on",
    "off",
    "Yes",
    "NO",
    "oN",
    "1e3",
    "1e-3",
    "08",
    "-.5",
    "010",
    "0o17",
    "1:30",
    "-_1",
)
"""values that PyYAML and DVC read differently; oN is text to both"""
PLACES = ("scales.smoke.width", "recipes.hrnet_cityscapes.flip", "datasets.mine.licence", "dejavu.gamma")


@pytest.mark.parametrize("path", PLACES)
@pytest.mark.parametrize("word", WORDS)
def test_a_value_of_two_readings_is_named_as_it_is_written(
    empty: Path, refused: Refused, word: str, path: str
) -> None:
    """In a key of any kind."""
    broken = samples.params()
    samples.put(broken, path, "PLACE")
    samples.write(empty, broken)
    text = (empty / "params.yaml").read_text()
    line = text[: text.index("PLACE")].count("\n") + 1
    (empty / "params.yaml").write_text(text.replace("PLACE", word, 1))
    if word != "oN":
        refused(
            "list", named=(f"params.yaml, line {line}: {word} is ", f"'{word}' in quotes where it is text")
        )
    elif path != "datasets.mine.licence":
        refused("list", named=("params.yaml", "'oN' should be"))


PYTHONS = ("tuple", "dictionary", "string", "integer", "boolean")
"""words of Python, which a reader of YAML need not know"""


@pytest.mark.parametrize("value", [True, "x", 7, 0.5, [], {}, [[1]], None], ids=repr)
def test_no_sentence_has_words_of_python(value: Any) -> None:
    """In every key's place; some values are right for some keys."""
    sentences = []
    for path in EVERY:
        broken = samples.params()
        samples.put(broken, path, value)
        try:
            ParamsFile.model_validate(broken | {"scale": samples.params()["scales"]["smoke"]})
        except ValidationError as error:
            sentences.append(loading.one_sentence(error))
    assert len(sentences) > 60
    assert [one for one in sentences if any(word in one for word in PYTHONS)] == []


def test_a_norm_that_would_see_one_value_is_refused_before_any_training(
    empty: Path, refused: Refused
) -> None:
    """The same row with another norm, with two images, or with a finer grid is right."""
    broken = samples.params()
    samples.put(broken, "scales.smoke.budget.all.batch_size", 1)
    samples.put(broken, "experiments.hrnet18_dejavu.dejavu", {"stride": 64})
    samples.write(empty, broken)
    refused("list", named=("params.yaml", "regenerator.norm", "one value a channel", "set it to group"))
    mended = {
        "scales.smoke.budget.all.batch_size": 2,
        "experiments.hrnet18_dejavu.dejavu.stride": 32,
        "experiments.hrnet18_dejavu.dejavu.regenerator": {"name": "crm_f", "norm": "group"},
    }
    for path, value in mended.items():
        right = copy.deepcopy(broken)
        samples.put(right, path, value)
        samples.write(empty, right)
        assert main(["list"]) == 0
