"""Where the compiled kernels aren't there, don't work or aren't wanted: torch's functions draw."""

import importlib.util
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from ops.kernels.reasons import needs_kernels

import hotgrad as hg
from hotgrad.ops.kernels import fused


@pytest.fixture
def anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Asked anew whether the kernels are there, in this test and after it."""
    with monkeypatch.context() as patch:
        fused.compiled.cache_clear()
        yield patch
    fused.compiled.cache_clear()


def hide(patch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    patch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "llvmlite" else find(name, *rest),
    )


def hurt(patch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError("libllvmlite.so: cannot open shared object file")

    build = pytest.importorskip("hotgrad.ops.kernels.compiled.build")
    patch.setattr(build, "machine", fail)


def test_plain_is_plain(anew: pytest.MonkeyPatch) -> None:
    anew.setenv("HOTGRAD_KERNELS", "plain")
    assert fused.compiled() is None
    assert not fused.draws()
    assert hg.gumbel_softmax(torch.zeros(3, 4)).shape == (3, 4)
    with pytest.raises(RuntimeError, match=r"hotgrad\[fast\]"):
        fused.functions()


@pytest.mark.parametrize("value", ["nonsense", "Plain", ""])
def test_another_value_is_refused(value: str, anew: pytest.MonkeyPatch) -> None:
    anew.setenv("HOTGRAD_KERNELS", value)
    for function in (hg.gumbel_softmax, hg.binary_concrete):
        with pytest.raises(ValueError, match=r"HOTGRAD_KERNELS.*auto, fused, plain"):
            function(torch.zeros(3))


@pytest.mark.parametrize("trouble", [hide, hurt])
def test_without_them_the_plain_functions_draw(trouble: Any, anew: pytest.MonkeyPatch) -> None:
    trouble(anew)
    anew.delenv("HOTGRAD_KERNELS", raising=False)
    y = hg.gumbel_softmax(torch.zeros(3, 4))  # in silence
    torch.testing.assert_close(y.sum(-1), torch.ones(3))
    assert fused.compiled() is None
    fused.compiled.cache_clear()
    anew.setenv("HOTGRAD_KERNELS", "fused")
    with pytest.warns(UserWarning, match=r"llvmlite.*plain functions") as said:
        hg.gumbel_softmax(torch.zeros(3, 4))
    assert len(said) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # once is enough
        hg.binary_concrete(torch.zeros(3, 4))


@needs_kernels
def test_asked_for_and_there(anew: pytest.MonkeyPatch) -> None:
    anew.setenv("HOTGRAD_KERNELS", "fused")
    assert fused.compiled() is not None


PROGRAM = """
import os, sys, tempfile, warnings
import torch
import hotgrad as hg
from hotgrad.ops.kernels import fused

assert not any(name.startswith("llvmlite") for name in sys.modules)  # until it is needed

class Broken:
    def find_spec(self, name, path=None, target=None):
        if name == "llvmlite.binding":
            raise OSError("libLLVM is no library")

warnings.simplefilter("error")
sys.meta_path.insert(0, Broken())
hg.gumbel_softmax(torch.zeros(3, 4))
assert fused.compiled() is None
sys.meta_path.pop(0)
for name in [n for n in sys.modules if n.startswith(("llvmlite", "hotgrad.ops.kernels.compiled"))]:
    del sys.modules[name]
fused.compiled.cache_clear()
assert fused.compiled() is not None
before = set(os.listdir(tempfile.gettempdir()))

logits = torch.linspace(-3, 3, 1000).expand(400, 1000).contiguous().requires_grad_()
ones = torch.ones(400, 1000).add_(logits.detach())

def draw():
    # nothing of torch's own that takes several threads, which in a child of its process hang
    y = hg.gumbel_softmax(logits, 0.7, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad(y, logits, ones)
    return y.detach().numpy().tobytes() + gradient.numpy().tobytes()

def in_a_child(depth):
    # whether a child of this process draws the same, and its own child
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    good = draw() == expected and (depth == 0 or in_a_child(depth - 1))
    os._exit(0 if good else 1)

torch.set_num_threads(3)
expected = draw()
assert in_a_child(1)
assert draw() == expected
assert set(os.listdir(tempfile.gettempdir())) == before  # nothing is cached on disk
import atexit
atexit.register(lambda: print(draw() == expected))  # when the pool has shut down
"""


@needs_kernels
def test_in_a_process_of_its_own(tmp_path: Any) -> None:
    """With a broken library, after a fork, and when the interpreter shuts down."""
    environment = {k: v for k, v in os.environ.items() if k != "HOTGRAD_KERNELS"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**environment, "TMPDIR": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")
    assert list(tmp_path.iterdir()) == []
