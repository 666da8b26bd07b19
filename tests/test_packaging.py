"""The distribution as a user meets it: built, installed beside torch alone, imported and called.

A finder that doesn't find the packages that an extra brings stands for an environment without
them, so no test downloads anything.
"""

import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator, Mapping, Set
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import NamedTuple

import pytest

import hotgrad

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = {
    "arviz",
    "joblib",
    "lightning_fabric",
    "lightning_utilities",
    "matplotlib",
    "numpy",
    "pandas",
    "pyarrow",
    "pydantic",
    "rich",
    "safetensors",
    "scipy",
    "sklearn",
    "tensorboard",
    "tqdm",
    "typer",
    "xarray",
}


def hiding(packages: Set[str]) -> str:
    """The beginning of a program in an environment without these packages."""
    return f"""
import sys
from importlib.machinery import PathFinder

class Hide(PathFinder):
    hidden = {set(packages)!r}

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] in cls.hidden:
            return None
        return super().find_spec(name, path, target)

    @classmethod
    def find_distributions(cls, context):
        name = (context.name or "").replace("-", "_").replace("scikit_learn", "sklearn")
        return iter(()) if name in cls.hidden else super().find_distributions(context)

sys.meta_path[sys.meta_path.index(PathFinder)] = Hide
assert not Hide.hidden & {{*sys.modules}}
"""


HELP = "import sys; sys.argv[1:] = ['--help']\n"
CONSOLE = "from hotgrad_command import main; main()"
MODULE = "import runpy; runpy.run_module('hotgrad', run_name='__main__', alter_sys=True)"


class Said(NamedTuple):
    """What a program did."""

    status: int
    out: str
    err: str


# One process that has imported torch forks: many programs for one start.
FORKING = """
import json, os, sys, traceback
for name, program in json.load(sys.stdin).items():
    os.mkdir(name)
    child = os.fork()
    if child == 0:
        os.chdir(name)
        for number, file in ((1, "out"), (2, "err")):
            os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
        status = 0
        try:
            exec(program, {"__name__": "__main__"})
        except SystemExit as end:
            status = end.code or 0
        except BaseException:
            traceback.print_exc()
            status = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    print(name, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), sep="=", flush=True)
"""


def forks(
    beginning: str, programs: Mapping[str, str], folder: Path, *, path: Path
) -> dict[str, Said]:
    """Runs each program in a process and folder of its own, with `path` first on sys.path."""
    # an installed copy of the library is no part of the coverage
    hidden = ("COVERAGE_", "COV_CORE_", "PYTHON")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(hidden)}
    # torch's own warning wherever numpy is absent
    environment["PYTHONWARNINGS"] = "ignore:Failed to initialize NumPy"
    environment["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [sys.executable, "-c", beginning + FORKING],
        input=json.dumps(programs),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    statuses = dict(line.split("=") for line in done.stdout.splitlines())
    return {
        name: Said(
            int(statuses[name]), *((folder / name / file).read_text() for file in ("out", "err"))
        )
        for name in programs
    }


END = "-- ended with"


def calling(calls: list[list[str]]) -> str:
    """A program that gives commands one after another; `each_said` tells what each did."""
    return (
        "import sys\nfrom hotgrad_command import main\n"
        f"for call in {calls!r}:\n"
        "    sys.argv, status = ['hotgrad', *call], 0\n"
        "    try:\n        main()\n"
        "    except SystemExit as end:\n        status = end.code or 0\n"
        "    for stream in (sys.stdout, sys.stderr):\n"
        f"        print({END!r}, status, file=stream, flush=True)\n"
    )


def each_said(all_said: Said) -> list[Said]:
    assert all_said.status == 0, all_said.err
    outs, errs = (re.split(rf"{END} (\d+)\n", stream) for stream in all_said[1:])
    return [
        Said(int(status), out, err)
        for out, status, err in zip(outs[:-1:2], outs[1::2], errs[:-1:2], strict=True)
    ]


def run_tool(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *arguments], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source archive, and the wheel that is built from that archive alone."""
    folder = tmp_path_factory.mktemp("dist")
    run_tool("build", "--no-isolation", "--outdir", str(folder), str(ROOT))
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Iterator[zipfile.ZipFile]:
    (path,) = dist.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return Parser().parsestr(wheel.read(name).decode())


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    (path,) = dist.glob("*.whl")
    target = tmp_path_factory.mktemp("site")
    run_tool(
        "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target), str(path)
    )
    return target


def test_wheel_holds_the_library_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    sources = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src").rglob("*")
        if path.suffix == ".py" or path.name == "py.typed"
    }
    assert "hotgrad/py.typed" in sources
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == sources


def test_wheel_holds_licence_and_entry_point(wheel: zipfile.ZipFile) -> None:
    prefix = f"hotgrad-{hotgrad.__version__}.dist-info"
    assert wheel.read(f"{prefix}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert "hotgrad = hotgrad_command:main" in wheel.read(f"{prefix}/entry_points.txt").decode()


def test_core_depends_on_torch_alone(metadata: Message) -> None:
    requirements = metadata.get_all("Requires-Dist", [])
    core = [requirement for requirement in requirements if "extra ==" not in requirement]
    assert [re.split(r"[<>=!~ ]", requirement)[0] for requirement in core] == ["torch"]


def test_extra_all_is_what_a_user_may_want() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    assert set(extras) == {
        "train",
        "select",
        "infer",
        "audit",
        "tensorboard",
        "fast",
        "all",
        "test",
    }
    assert extras["all"] == ["hotgrad[train,select,infer,audit,tensorboard,fast]"]


def test_a_package_has_one_lower_bound_in_every_extra(metadata: Message) -> None:
    """Else the lower would be tested by nothing: `make test-lowest` installs all extras at once."""
    from packaging.requirements import Requirement

    bounds: dict[str, set[str]] = {}
    for text in metadata.get_all("Requires-Dist", []):
        requirement = Requirement(text)
        if requirement.name != "hotgrad":
            (lowest,) = (s.version for s in requirement.specifier if s.operator == ">=")
            bounds.setdefault(requirement.name, set()).add(lowest)
    assert {name: found for name, found in bounds.items() if len(found) > 1} == {}
    # older ones read a file's pickle, weights alone, past the end of its memory
    assert bounds["torch"] == {"2.10"}


def test_constraints_pin_every_requirement_within_its_range(metadata: Message) -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    pins = {canonicalize_name(name): version for name, version in pins.items()}
    assert pins["torch"] == "2.13.0"
    for text in metadata.get_all("Requires-Dist", []):
        requirement = Requirement(text)
        if requirement.name != "hotgrad":
            assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), text


def test_source_archive_can_be_tested_and_holds_no_outputs(dist: Path) -> None:
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", "Makefile", "constraints.txt"} <= names
    assert "tests/test_packaging.py" in names
    # the tests run the examples, and follow the links of the README
    linked = re.findall(r"\]\(([^):]+)\)", (ROOT / "README.md").read_text("utf-8"))
    assert set(linked) <= names
    assert {f"examples/{path.name}" for path in (ROOT / "examples").glob("*.py")} <= names
    assert not [name for name in names if name.startswith((".venv", "runs/", "build/"))]


# With torch alone.

WITHOUT_EXTRA = [["select", "wine"], ["infer", "noisy-or"], ["audit", "subset"], ["train"]]
BARE = {
    "library": (
        "import sys, torch, hotgrad\n"
        "assert 'numpy' not in sys.modules\n"
        "print(hotgrad.__file__)\n"
        "print(hotgrad.__version__)\n"
        "print(hotgrad.gumbel_softmax(torch.randn(3, 4), hard=True).sum().item())\n"
        "for name in ('vae', 'selection'):\n"
        "    try:\n"
        "        getattr(hotgrad, name)\n"
        "    except ModuleNotFoundError as error:\n"
        "        print(error)\n"
    ),
    "python -m hotgrad": f"{HELP}{MODULE}",
    "console script": f"{HELP}{CONSOLE}",
    "commands": calling(WITHOUT_EXTRA),
}


@pytest.fixture(scope="module")
def bare(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Said]:
    folder = tmp_path_factory.mktemp("bare")
    return forks(f"{hiding(EXTRAS)}import torch\n", BARE, folder, path=installed)


def test_installed_wheel_works_with_torch_alone(bare: dict[str, Said], installed: Path) -> None:
    status, out, err = bare["library"]
    assert status == 0, err
    file, version, total, *missing = out.splitlines()
    assert [re.sub("needs [a-z_]+", "needs", line) for line in missing] == [
        'hotgrad.vae needs: pip install "hotgrad[train]"',
        'hotgrad.selection needs: pip install "hotgrad[select]"',
    ]
    assert Path(file).is_relative_to(installed)
    assert version == hotgrad.__version__
    assert float(total) == 3.0


@pytest.mark.parametrize("start", ["python -m hotgrad", "console script"])
def test_command_without_its_extra_names_it(start: str, bare: dict[str, Said]) -> None:
    status, out, err = bare[start]
    assert status == 2, out + err
    assert out == ""
    (line,) = err.splitlines()
    assert 'pip install "hotgrad[train]"' in line


def test_a_command_without_any_extra_names_its_own(bare: dict[str, Said]) -> None:
    said = each_said(bare["commands"])
    for call, (status, _, err) in zip(WITHOUT_EXTRA, said, strict=True):
        assert status == 2
        (line,) = err.splitlines()
        assert f'pip install "hotgrad[{call[0]}]"' in line


# With every extra, or with one application's alone; an audit needs none of them.

FITTING = {"lightning_fabric", "lightning_utilities", "tensorboard"}
DIAGNOSIS = {"arviz", "xarray"}
TRAIN_ALONE = FITTING | DIAGNOSIS | {"safetensors"}
SELECT_ALONE = DIAGNOSIS | {"pandas", "pyarrow"}
OF_NO_INFERENCE = FITTING | {"pyarrow", "sklearn"}
OF_NO_AUDIT = TRAIN_ALONE | {"pyarrow", "sklearn"}
SMALL = ["--hidden", "8", "--num-latents", "2", "--accelerator", "cpu", "--epochs", "1"]
TABLE = "a,b,c\n" + "".join(f"{i},{i % 3},{i // 10}\n" for i in range(20))
AUDIT = ["--replicates", "20", "--estimators", "straight-through"]


class Alone(NamedTuple):
    """An environment with one application's extra: a command that works in it, and one not."""

    absent: set[str]
    works: list[str]
    refused: list[str]
    extra: str


ALONE = {
    "train": Alone(SELECT_ALONE, ["train", *SMALL], ["select", "wine"], "select"),
    "select": Alone(
        TRAIN_ALONE,
        ["select", "table.csv", "-k", "1", "--epochs", "1"],
        ["infer", "noisy-or"],
        "infer",
    ),
    "infer": Alone(
        OF_NO_INFERENCE, ["infer", "noisy-or", "--steps", "20"], ["train", *SMALL], "train"
    ),
    "audit": Alone(OF_NO_AUDIT, ["audit", "subset", *AUDIT], ["audit", "vae", *AUDIT], "train"),
}
BESIDE_TORCH = {
    "--help": f"{HELP}{MODULE}",
    "--version": f"{HELP.replace('help', 'version')}{MODULE}",
    "commands": (
        "import sys\nfrom hotgrad_command.app import COMMANDS, command_called\n"
        "for name in COMMANDS:\n    command_called(name)\n"
        "print(*{name.partition('.')[0] for name in sys.modules})\n"
    ),
    "import": (
        "import sys, torch\n"
        "before = set(sys.modules)\n"
        "import hotgrad\n"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})\n"
        # an application comes when it is first used, and what only an audit needs when there is one
        "late = {'vae', 'selection', 'inference', 'audit.measurement', 'audit.statistics'}\n"
        "print(*{f'hotgrad.{name}' for name in late} & set(sys.modules))\n"
        "print(hotgrad.vae.load.__name__, hotgrad.selection.SubsetSelector.__name__,"
        " hotgrad.inference.fit.__name__)\n"
        "print(hasattr(hotgrad, 'vea'), {'vae', 'selection', 'inference'} <= set(dir(hotgrad)))\n"
    ),
}


@pytest.fixture(scope="module")
def beside_torch(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Said]:
    folder = tmp_path_factory.mktemp("beside-torch")
    return forks("import torch\n", BESIDE_TORCH, folder, path=installed)


@pytest.fixture(scope="module")
def alone(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Said]:
    programs = {
        name: hiding(case.absent)
        + f"open('table.csv', 'w').write({TABLE!r})\n"
        + calling([[*case.works, "--out", "run"], case.refused, ["--help"]])
        for name, case in ALONE.items()
    }
    folder = tmp_path_factory.mktemp("alone")
    # what every optimiser brings
    return forks("import torch, torch._dynamo\n", programs, folder, path=installed)


@pytest.mark.parametrize("name", ALONE)
def test_each_application_needs_its_own_extra_alone(name: str, alone: dict[str, Said]) -> None:
    ran, refusal, helped = each_said(alone[name])
    assert ran.status == 0, ran.err
    assert "run holds" in ran.out
    assert refusal.status == 2, refusal.out
    (line,) = refusal.err.splitlines()
    _, works, refused, extra = ALONE[name]
    assert f'pip install "hotgrad[{extra}]"' in line
    assert helped.status == 0, helped.err
    assert f" {works[0]} " in helped.out
    assert f" {refused[0]} " in helped.out
    assert f'Needs pip install "hotgrad[{extra}]"' in " ".join(helped.out.split())


def test_no_other_command_waits_for_what_select_and_infer_need(
    beside_torch: dict[str, Said],
) -> None:
    status, out, err = beside_torch["commands"]
    assert status == 0, err
    brought = set(out.split())
    assert "typer" in brought
    assert not brought & {"arviz", "pandas", "pyarrow", "sklearn"}


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_command_with_its_extra_starts(argument: str, beside_torch: dict[str, Said]) -> None:
    status, out, err = beside_torch[argument]
    assert status == 0, out + err
    assert "hotgrad" in out


def test_import_brings_no_extra_that_torch_did_not(beside_torch: dict[str, Said]) -> None:
    status, out, err = beside_torch["import"]
    assert status == 0, err
    first, early, used, listed = out.splitlines()
    brought = set(first.split())
    assert "hotgrad" in brought
    assert not brought & EXTRAS
    assert early == ""
    assert used == "load SubsetSelector fit"
    assert listed == "False True"
