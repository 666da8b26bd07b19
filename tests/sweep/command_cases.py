"""Bad input for every command, made from the commands' own options, and files that are broken."""

import gzip
import inspect
import io
import json
import zipfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import typer

NUMBERS = ["x", "", " ", "nan", "inf", "-inf", "-1", "1e400", "0.5.5", "1,2", "٣x", "1_"]
COUNTS = [*NUMBERS, "1.5", "-99999999999999999999999"]
WORDS = ["bogus", "", " ", "\x1b[31mred", "[red]x[/red]", "日本", "a" * 3000, "auto,auto"]
LISTS = ["", ",", "a,b", "0.5,,0.5", "nan,1", "-1,2", "inf", "0.5;0.5", "a" * 3000]
PLACES = ["taken/inside.npz", "absent/inside.txt", "n" * 300, "nul\0byte", "taken"]
NEW_FOLDERS = [place for place in PLACES if not place.startswith("absent")]
"""Missing parents of a new folder are made."""

BASES: dict[str, list[str]] = {
    "train": ["--epochs", "1", "--accelerator", "cpu"],
    "evaluate": ["run"],
    "generate": ["run"],
    "encode": ["run"],
    "select": ["table.csv"],
    "infer": ["noisy-or", "--steps", "1"],
    "audit": ["subset", "--replicates", "20"],
    "draw": ["--probs", "0.5,0.5"],
}
"""What makes each command do something; a bad option is added to it."""

NEEDED: dict[str, list[str]] = {
    "--corruption-level": ["--corruption", "mask"],
    "--prior-temperature": ["--kl", "concrete"],
    "--anneal-rate": ["--schedule", "exponential"],
    "--anneal-every": ["--schedule", "exponential"],
    "--subset-size": ["--latent", "k-subset"],
    "--temperature": ["--estimator", "gumbel-softmax"],
    "--baseline": ["--estimator", "score-function", "--num-samples", "2"],
    "--column": ["--data", "two.npz"],
    "--data-dir": ["--data", "mnist"],
}
"""What an option needs beside it to have an effect."""

FREE = {("encode", "--column")}
"""Options that take any word: nothing is bad for them alone."""


class Parameter(NamedTuple):
    """One option of a command, as its signature has it."""

    spelt: str
    kind: type
    metavar: str


def parameters(command: str) -> Iterator[Parameter]:
    """The options of a command."""
    function = getattr(import_module(f"hotgrad.cli.{command}"), command)
    for name, parameter in inspect.signature(function).parameters.items():
        hint = parameter.annotation
        info = next((i for i in getattr(hint, "__metadata__", ()) if hasattr(i, "metavar")), None)
        if not isinstance(info, typer.models.OptionInfo):
            continue
        # typer keeps the first name where a default would be
        names = (info.default, *(info.param_decls or ()))
        declared = [text for text in names if isinstance(text, str) and text.startswith("--")]
        spelt = declared[0] if declared else f"--{name.replace('_', '-')}"
        kinds = [kind for kind in get_args(get_args(hint)[0]) if kind is not type(None)]
        yield Parameter(spelt, kinds[0] if kinds else get_args(hint)[0], info.metavar or "")


def option_cases() -> Iterator[list[str]]:
    """Every option of every command with every value that is bad for its kind."""
    for name in BASES:
        for option in parameters(name):
            if option.kind is bool:
                yield [name, *BASES[name], f"{option.spelt}=maybe"]
                continue
            yield [name, *BASES[name], option.spelt]
            beside = NEEDED.get(option.spelt, []) if name == "train" else []
            if (name, option.spelt) not in FREE:
                for value in _bad(option):
                    yield [name, *BASES[name], *beside, f"{option.spelt}={value}"]


def _bad(option: Parameter) -> list[str]:
    if option.kind is int:
        return COUNTS
    if option.kind is float:
        return NUMBERS
    if "," in option.metavar:
        return LISTS
    if option.metavar == "DIR" and option.spelt == "--out":
        return NEW_FOLDERS
    if option.kind is Path or option.metavar in ("DIR", "RUN") or "FILE" in option.metavar:
        return PLACES
    return WORDS


def argument_cases() -> Iterator[list[str]]:
    """Wrong counts of arguments, unknown options, and arguments that are no run, table, problem."""
    for name in BASES:
        yield [name, "--bogus"]
        yield [name, *BASES[name], "too", "many", "words"]
        yield [name, *BASES[name], "--seed"]
    for name in ("evaluate", "generate", "encode"):
        for run in ("", "absent", "taken", "table.csv", "nul\0byte", "n" * 300, ".", *BROKEN_RUNS):
            yield [name, run]
    for table in ("", "absent.csv", ".", "nul\0byte", "n" * 300, "run", *TABLES):
        yield ["select", table, "--k", "1"]
    for data in ("", "absent.npy", ".", "nul\0byte", "run", *ARRAYS):
        yield ["train", *BASES["train"], "--data", data]
        yield ["encode", "run", "--data", data, "--out", "codes.npz"]
    for name in ("audit", "infer"):
        for problem in ("", ":", "mine.py:", ":problem", "absent.py:f", "os:nothing", "nul\0:f"):
            yield [name, problem]
        for function in FUNCTIONS:
            yield [name, f"mine.py:{function}"]
        for function in MODELS[name]:
            yield [name, f"mine.py:{function}", *BASES[name][1:]]


TABLES: dict[str, bytes] = {
    "empty.csv": b"",
    "blank.csv": b"\n\n\n",
    "header.csv": b"a,b,c\n",
    "one_row.csv": b"a,b,c\n1,2,3\n",
    "one_column.csv": b"a\n" + b"".join(b"%d\n" % i for i in range(60)),
    "ragged.csv": b"a,b,c\n1,2,3\n1,2\n" + b"1,2,3\n" * 30,
    "wide.csv": b"a,b,c\n1,2,3,4\n" + b"1,2,3\n" * 30,
    "twice.csv": b"a,a,c\n" + b"1,2,3\n" * 30,
    "text.csv": b"a,b,c\n" + b"x,y,z\n" * 30,
    "constant.csv": b"a,b,c\n" + b"1,2,3\n" * 30,
    "gaps.csv": b"a,b,c\n" + b"1,,3\n" * 30,
    "infinite.csv": b"a,b,c\n" + b"1,inf,3\n2,1,2\n" * 30,
    "binary.csv": bytes(range(256)) * 20,
    "nul.csv": b"a,b\n1,\0002\n" * 20,
    "quote.csv": b'a,b\n"1,2\n' + b"1,2\n" * 30,
    "utf16.csv": ("a,b\n" + "1,2\n" * 30).encode("utf-16"),
    "latin.csv": b"\xe9,b\n" + b"1,2\n" * 30,
    "short.csv.gz": gzip.compress(b"a,b,c\n" + b"1,2,3\n" * 200)[:-20],
    "junk.parquet": b"PAR1" + bytes(100) + b"PAR1",
    "page.csv": b"<!DOCTYPE html><html><body>404</body></html>",
    "number.csv": b"1\n",
    "escape.csv": b"\x1b[31ma,b\n" + b"x,y\n" * 30,
}


def _npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def _npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _zip(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


_GOOD = _npy(np.zeros((40, 8, 8)))
ARRAYS: dict[str, bytes] = {
    "empty.npy": b"",
    "short.npy": _GOOD[:-9],
    "header.npy": _GOOD[:40],
    "long.npy": _GOOD.replace(b"(40, 8, 8)", b"(99, 8, 8)"),
    "huge.npy": _GOOD.replace(b"(40, 8, 8), }", b"(4000000, 8000, 8000), }"[:13].ljust(13)),
    "negative.npy": _GOOD.replace(b"(40, 8, 8)", b"(-4, 8, 8)"),
    "objects.npy": _npy(np.array([{}, 1], dtype=object)),
    "text.npy": _npy(np.array(["a", "b"])),
    "complex.npy": _npy(np.zeros((40, 4), dtype=complex)),
    "scalar.npy": _npy(np.float64(1)),
    "vector.npy": _npy(np.zeros(40)),
    "none.npy": _npy(np.zeros((0, 4))),
    "narrow.npy": _npy(np.zeros((40, 0))),
    "few.npy": _npy(np.zeros((2, 4))),
    "nan.npy": _npy(np.full((40, 4), np.nan)),
    "large.npy": _npy(np.full((40, 4), 7.0)),
    "records.npy": _npy(np.zeros(40, dtype=[("a", "f4"), ("b", "f4")])),
    "dates.npy": _npy(np.zeros((40, 4), dtype="datetime64[s]")),
    "two.npz": _npz(a=np.zeros((40, 4)), b=np.zeros((40, 4))),
    "empty.npz": _zip(),
    "member.npz": _zip(**{"a.txt": b"no array"}),
    "junk.npz": b"PK\x03\x04" + bytes(60),
    "short.npz": _npz(a=np.zeros((40, 4)))[:-30],
    "junk.mat": b"MATLAB 5.0 MAT-file" + bytes(200),
    "page.npy": b"<html>404</html>",
    "table.txt": b"1 2 3",
}

_RUN_EDITS: dict[str, Any] = {
    "json": "{",
    "list": [],
    "nothing": {},
    "no_config": {"config": None},
    "text": {"num_latents": "4"},
    "fraction": {"num_latents": 0.1},
    "vast": {"num_latents": 10**400},
    "large": {"num_latents": 10**12},
    "negative": {"num_latents": -1},
    "bool": {"num_latents": True},
    "unknown": {"colour": "red"},
    "latent": {"latent": "gaussian"},
    "hidden": {"hidden": "256"},
    "hidden_deep": {"hidden": [[256]]},
    "rate": {"learning_rate": "fast"},
    "temperature": {"temperature": None},
    "data": {"data": 7},
    "network": {"network": "transformer"},
    "other_size": {"num_latents": 5},
    "other_kind": {"latent": "bernoulli"},
}
BROKEN_RUNS = [f"run-{name}" for name in (*_RUN_EDITS, "deep", "shape", "empty_model", "bytes")]

FUNCTIONS = ["raises", "exits", "stops", "interrupts_nothing", "returns_none", "returns_text",
             "returns_three", "needs_argument", "absent", "_number", "recursion"]  # fmt: skip
MODELS = {
    "infer": ["shapeless", "no_gradient", "nan_model", "text_model", "no_callable", "categorical",
              "normal", "relaxed", "event_free", "half_shape", "raises_later", "integers"],
    "audit": ["shapeless", "nan_model", "text_model", "no_callable", "categorical", "normal",
              "relaxed", "event_free", "half_shape", "raises_later", "integers"],
}  # fmt: skip

MINE = """
import sys
import torch
import hotgrad as hg

_number = 3
bits = lambda: hg.Bernoulli(logits=torch.zeros(3)).to_event(1)
total = lambda z: z.sum(-1)

def raises(): raise KeyError("of my own")
def exits(): sys.exit(0)
def stops(): sys.exit("no data")
def interrupts_nothing(): return ()
def returns_none(): return None
def returns_text(): return "f, q"
def returns_three(): return 1, 2, 3, 4
def needs_argument(x): return total, bits()
def recursion(): return recursion()
def shapeless(): return (lambda z: torch.tensor(1.0)), bits()
def no_gradient(): return (lambda z: z.detach().sum(-1).double().numpy()), bits()
def nan_model(): return (lambda z: z.sum(-1) * float("nan")), bits()
def text_model(): return (lambda z: "high"), bits()
def no_callable(): return 3.0, bits()
def categorical(): return total, torch.distributions.Categorical(torch.ones(3) / 3)
def normal(): return total, torch.distributions.Normal(torch.zeros(3), 1.0)
def relaxed(): return total, hg.Concrete(torch.tensor(0.5), logits=torch.zeros(3))
def event_free(): return total, hg.Bernoulli(logits=torch.zeros(3))
def half_shape(): return (lambda z: z[..., 0, :].sum(-1)), bits()
def raises_later(): return (lambda z: 1 / 0), bits()
def integers(): return (lambda z: z.sum(-1).long()), bits()
"""


def write_files(folder: Path) -> None:
    """All files that the cases name, in a folder that holds a trained run."""
    (folder / "taken").write_text("a file")
    (folder / "mine.py").write_text(MINE)
    for name, content in {**TABLES, **ARRAYS}.items():
        (folder / name).write_bytes(content)
    rows = np.random.default_rng(0).normal(size=(60, 3)).round(3)
    lines = ["a,b,c", *(",".join(map(str, row)) for row in rows.tolist())]
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    record = json.loads((folder / "run" / "config.json").read_text())
    model = (folder / "run" / "model.safetensors").read_bytes()
    for name, edit in _RUN_EDITS.items():
        edited = edit
        if isinstance(edit, dict) and edit and "config" not in edit:
            edited = {**record, "config": {**record["config"], **edit}}
        text = edited if isinstance(edited, str) else json.dumps(edited)
        _write_run(folder / f"run-{name}", text, model)
    whole = json.dumps(record)
    _write_run(folder / "run-deep", "[" * 100_000, model)
    _write_run(folder / "run-shape", json.dumps({**record, "item_shape": [8, "8"]}), model)
    _write_run(folder / "run-empty_model", whole, b"")
    _write_run(folder / "run-bytes", whole, model[:200] + b"\xff" + model[201:])


def _write_run(folder: Path, config: str, model: bytes) -> None:
    folder.mkdir()
    (folder / "config.json").write_text(config)
    (folder / "model.safetensors").write_bytes(model)
