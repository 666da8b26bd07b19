"""The source tree's rules: imports go down the layers; drawing, printing, loading have one place.

Everything is read from the syntax trees; nothing is imported but the packages whose public names
are checked. Each rule is a function from one module to what is wrong with it, and has its own wrong
example, so that no rule is blind.
"""

import ast
import dataclasses
import importlib
import pkgutil
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
import torch

import hotgrad

SRC = Path(__file__).resolve().parents[1] / "src"
MAX_LINES = 300

# The height of every layer. Applications have one height; a rule of their own keeps them apart.
LAYERS = {
    "canvas": 0,
    "extras": 0,
    "files": 0,
    "memory": 0,
    "progress": 0,
    "seeding": 0,
    "tensor_files": 0,
    "ops": 0,
    "distributions": 1,
    "estimators": 2,
    "expectation": 3,
    "functional": 3,
    "importance": 3,
    "schedules": 3,
    "vocabulary": 3,
    "audit": 4,
    "hotgrad": 5,  # the package's own __init__: what `import hotgrad` brings
    "vae": 6,
    "selection": 6,
    "inference": 6,
    "cli": 7,
    "__main__": 8,
    "hotgrad_command": 8,
}
APPLICATIONS = {"vae", "selection", "inference"}
# The modules of the core that draw, and what they need; the others import them in functions alone.
DRAWING = ("hotgrad.canvas", "hotgrad.audit.picture")
LENT = {name: {"matplotlib"} for name in DRAWING} | {
    "hotgrad.tensor_files": {"safetensors"},
    "hotgrad.progress": {"rich"},
    "hotgrad.ops.kernels.compiled": {"llvmlite"},
}
# What others need where they are asked for it.
LENT_IN_FUNCTIONS = {
    "hotgrad.audit.run": {"pandas"},
    "hotgrad.files": {"filelock"},  # which torch brings
}
CORE = {name for name, height in LAYERS.items() if height <= LAYERS["hotgrad"]}
SILENT = {name for name in CORE if LAYERS[name] <= LAYERS["expectation"]}

TORCH_DRAWS = re.compile(
    "(rand|randn|randint)(_like)?|randperm|bernoulli|binomial|multinomial|normal|poisson"
)
TENSOR_DRAWS = re.compile(
    "(bernoulli|cauchy|exponential|geometric|log_normal|normal|random|uniform)_|bernoulli|multinomial"
)
UNPICKLERS = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}


@dataclass(frozen=True)
class Module:
    """One source file: its dotted name and its text."""

    name: str
    text: str
    is_package: bool = False

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def layer(self) -> str:
        return layer_of(self.name)


def layer_of(name: str) -> str:
    """The part of the library that a dotted name lies in; the package itself is `hotgrad`."""
    package, _, rest = name.partition(".")
    return rest.split(".")[0] if rest and package == "hotgrad" else package


def module_at(path: Path) -> Module:
    parts = path.relative_to(SRC).with_suffix("").parts
    is_package = parts[-1] == "__init__"
    return Module(
        ".".join(parts[:-1] if is_package else parts), path.read_text("utf-8"), is_package
    )


# Distributions of one kind or another, this library's and torch's; a base class is none.
KINDS = {
    name
    for library in (hotgrad.distributions, torch.distributions)
    for name, member in vars(library).items()
    if isinstance(member, type) and issubclass(member, torch.distributions.Distribution)
} - {"Distribution", "DiscreteDistribution", "ExponentialFamily"} | {"Product", "JointVector"}

MODULES = [module_at(path) for path in sorted(SRC.rglob("*.py"))]
NAMES = {module.name for module in MODULES}


def imports(module: Module) -> Iterator[tuple[int, str, str]]:
    """(line, module, bound name) of every import, also the lazy and the typing-only ones."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, alias.asname or alias.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                package = (
                    module.name.split(".") if module.is_package else module.name.split(".")[:-1]
                )
                package = package[: len(package) - node.level + 1]
                source = ".".join([*package, source] if source else package)
            for alias in node.names:
                # `from hotgrad import ops` imports a layer, `from hotgrad import KL` the package
                deeper = f"{source}.{alias.name}"
                is_module = deeper in NAMES or (source == "hotgrad" and alias.name in LAYERS)
                yield node.lineno, deeper if is_module else source, alias.asname or alias.name


def keyword(call: ast.Call, name: str) -> object:
    """A keyword's constant, None where it is absent, its syntax node where it is no constant."""
    for item in call.keywords:
        if item.arg == name:
            return item.value.value if isinstance(item.value, ast.Constant) else item.value
    return None


def climbs(module: Module) -> Iterator[str]:
    if module.layer not in LAYERS:
        yield f"{module.name} is in no layer; add {module.layer!r} to LAYERS"
        return
    for line, target, _ in imports(module):
        if target.split(".")[0] != "hotgrad":
            continue
        layer = layer_of(target)
        if layer not in LAYERS:
            yield f"line {line} imports {target}, which is in no layer"
        elif LAYERS[layer] > LAYERS[module.layer]:
            yield f"line {line} imports {target}, which stands above {module.layer}"
        elif layer != module.layer and {layer, module.layer} <= APPLICATIONS:
            yield f"line {line}: the application {module.layer} imports the application {layer}"


def needs_more_than_torch(module: Module) -> Iterator[str]:
    if module.layer not in CORE:
        return
    lent = {"hotgrad", "torch"} | LENT.get(part_of(module.name, LENT), set())
    later = lent | LENT_IN_FUNCTIONS.get(module.name, set())
    first = [node for node in module.tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    at_once = dataclasses.replace(module, text="\n".join(map(ast.unparse, first)))
    for allowed, part in ((later, module), (lent, at_once)):
        for _, target, _ in imports(part):
            top = target.split(".")[0]
            if top not in allowed and top not in sys.stdlib_module_names:
                yield f"imports {target}, but the core needs torch alone"
    if not part_of(module.name, DRAWING):
        for _, target, _ in imports(at_once):
            if part_of(target, DRAWING):
                yield f"imports {target}, which needs matplotlib; import it in a function"


def part_of(name: str, places: Iterable[str]) -> str:
    """The module or package among them that a dotted name is or lies in, or nothing."""
    return next((p for p in places if name == p or name.startswith(f"{p}.")), "")


def draws(module: Module) -> Iterator[str]:
    if module.layer not in SILENT or part_of(
        module.name, ("hotgrad.ops.noise", "hotgrad.ops.kernels")
    ):
        return
    own = {name for _, target, name in imports(module) if target.startswith("hotgrad")}
    for line, target, name in imports(module):
        if target in {"random", "secrets"} or (target == "torch" and TORCH_DRAWS.fullmatch(name)):
            yield f"line {line} imports {name} from {target}"
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Attribute):
            continue
        base = ast.unparse(node.value)
        if base in own:
            continue
        if (
            (base == "torch" and TORCH_DRAWS.fullmatch(node.attr))
            or TENSOR_DRAWS.fullmatch(node.attr)
            or (base == "super()" and node.attr in {"sample", "rsample"})
        ):
            yield f"line {node.lineno} draws with {base}.{node.attr}; noise comes from ops/noise.py"


def asks_for_a_kind(module: Module) -> Iterator[str]:
    if module.layer == "distributions":
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "issubclass"):
            asked = ast.walk(node.args[1])
            kinds = {n.id for n in asked if isinstance(n, ast.Name)}
            kinds |= {n.attr for n in ast.walk(node.args[1]) if isinstance(n, ast.Attribute)}
            for kind in sorted(kinds & KINDS):
                yield f"line {node.lineno} asks whether it is {kind}; ask what it can do"


def prints(module: Module) -> Iterator[str]:
    if module.layer in ("cli", "hotgrad_command"):
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Name | ast.Attribute):
            name = ast.unparse(node)
            if name in {"print", "sys.stdout", "sys.stderr"}:
                yield f"line {node.lineno} uses {name}; only cli/ writes to the terminal"


def unpickles(module: Module) -> Iterator[str]:
    for line, target, name in imports(module):
        # the error is there to be caught, since torch.load raises it too
        if target.split(".")[0] in UNPICKLERS and name != "UnpicklingError":
            yield f"line {line} imports {target}, which can run what it loads"
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call):
            continue
        if ast.unparse(node.func).split(".")[-2:] in (["torch", "load"], ["fabric", "load"]):
            if keyword(node, "weights_only") is not True:
                yield f"line {node.lineno} loads without weights_only=True"
        elif keyword(node, "allow_pickle") not in (None, False):
            yield f"line {node.lineno} allows pickles"


def asserts(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Assert):
            yield f"line {node.lineno} asserts; python -O drops it, so raise instead"


def has_no_idea(module: Module) -> Iterator[str]:
    if not ast.get_docstring(module.tree):
        yield "has no docstring that says what it is for"


def is_too_long(module: Module) -> Iterator[str]:
    lines = len(module.text.splitlines())
    if lines > MAX_LINES:
        yield f"has {lines} lines, more than {MAX_LINES}: which second idea can move out?"


# Each rule with a module that breaks it.
RULES: dict[Callable[[Module], Iterator[str]], Module] = {
    climbs: Module("hotgrad.ops.relax", "from ..distributions import Bernoulli"),
    needs_more_than_torch: Module("hotgrad.functional", "def f():\n    import numpy"),
    draws: Module("hotgrad.estimators.relaxed", "import torch\nu = torch.rand(3)"),
    asks_for_a_kind: Module("hotgrad.inference.fit", "if isinstance(q, (int, hg.Joint)): pass"),
    prints: Module("hotgrad.vae.training", "print('hello')"),
    unpickles: Module("hotgrad.vae.checkpoint", "state = torch.load(path)"),
    asserts: Module("hotgrad.schedules", "assert temperature > 0"),
    has_no_idea: Module("hotgrad.vae", "import torch", is_package=True),
    is_too_long: Module("hotgrad.ops.noise", "x = 1\n" * (MAX_LINES + 1)),
}


def test_source_tree_was_found() -> None:
    assert {"hotgrad", "hotgrad.ops.noise", "hotgrad.cli"} <= NAMES


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_module_keeps_the_rule(rule: Callable[[Module], Iterator[str]]) -> None:
    broken = [f"{module.name}: {what}" for module in MODULES for what in rule(module)]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_sees_what_breaks_it(rule: Callable[[Module], Iterator[str]]) -> None:
    assert list(rule(RULES[rule]))


@pytest.mark.parametrize(
    ("rule", "name", "text"),
    [
        (climbs, "hotgrad.estimators.exact", "import hotgrad"),
        (climbs, "hotgrad.vae.model", "from hotgrad.inference import svi"),
        (climbs, "hotgrad.vae.model", "from hotgrad import cli"),
        (climbs, "hotgrad.extra", ""),
        (needs_more_than_torch, "hotgrad.canvas", "import numpy"),
        (needs_more_than_torch, "hotgrad.audit.run", "import pandas as pd"),
        (needs_more_than_torch, "hotgrad.audit.run", "def f():\n    import numpy"),
        (needs_more_than_torch, "hotgrad.files", "from hotgrad import canvas"),
        (needs_more_than_torch, "hotgrad.audit.table", "from hotgrad.audit.picture import draw"),
        (needs_more_than_torch, "hotgrad.audit.run", "def f():\n    import matplotlib"),
        (draws, "hotgrad.distributions.gumbel", "from torch import randn"),
        (draws, "hotgrad.distributions.gumbel", "noise = torch.empty(3).exponential_()"),
        (draws, "hotgrad.distributions.bernoulli", "z = probs.bernoulli(generator=generator)"),
        (draws, "hotgrad.distributions.bernoulli", "z = super().sample(shape)"),
        (asks_for_a_kind, "hotgrad.audit.run", "issubclass(type(q), td.OneHotCategorical)"),
        (prints, "hotgrad.vae.run", "import sys\nsys.stderr.write('hello')"),
        (unpickles, "hotgrad.vae.run", "import pickle"),
        (unpickles, "hotgrad.vae.run", "self.fabric.load(path, state, weights_only=False)"),
        (unpickles, "hotgrad.vae.data", "numpy.load(path, allow_pickle=True)"),
    ],
)
def test_the_rule_sees_the_finer_case(
    rule: Callable[[Module], Iterator[str]], name: str, text: str
) -> None:
    assert list(rule(Module(name, text)))


@pytest.mark.parametrize(
    ("rule", "name", "text"),
    [
        (climbs, "hotgrad.vae.model", "import hotgrad"),
        (climbs, "hotgrad.estimators.exact", "from ..distributions import Bernoulli"),
        (needs_more_than_torch, "hotgrad.canvas", "from matplotlib.text import Text"),
        (needs_more_than_torch, "hotgrad.audit.picture", "from hotgrad import canvas"),
        (needs_more_than_torch, "hotgrad.audit.run", "def f():\n    import pandas"),
        (needs_more_than_torch, "hotgrad.files", "def f():\n    from hotgrad import canvas"),
        (draws, "hotgrad.ops.noise", "u = torch.rand(3)"),
        (draws, "hotgrad.estimators.exact", "from ..ops import noise\nb = noise.bernoulli(probs)"),
        (asks_for_a_kind, "hotgrad.distributions.kl", "isinstance(p, Bernoulli)"),
        (asks_for_a_kind, "hotgrad.inference.fit", "isinstance(q, td.Distribution)"),
        (prints, "hotgrad.cli.draw", "print('hello')"),
        (unpickles, "hotgrad.vae.run", "torch.load(path, weights_only=True)"),
        (unpickles, "hotgrad.vae.run", "from pickle import UnpicklingError"),
    ],
)
def test_the_rule_allows_what_is_right(
    rule: Callable[[Module], Iterator[str]], name: str, text: str
) -> None:
    assert not list(rule(Module(name, text)))


def test_modules_import_each_other_without_cycles() -> None:
    graph = {
        module.name: {target for _, target, _ in imports(module)} & NAMES for module in MODULES
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


PACKAGES = ["hotgrad"] + [
    info.name for info in pkgutil.walk_packages(hotgrad.__path__, "hotgrad.") if info.ispkg
]


# Their order is ruff's to check (RUF022).
@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_are_importable_and_listed_once(package: str) -> None:
    module = importlib.import_module(package)
    names = module.__all__
    assert len(set(names)) == len(names)
    missing = [name for name in names if not hasattr(module, name)]
    assert not missing
