"""The compiled kernels as part of torch: when they can be used, their randomness, their gradients.

The same samples as those of the plain functions, in one pass over the memory. From a generator they
take one number, the key of the call; the noise of an element follows of it and the element's place
alone. So one seed gives the same samples for any number of threads. The fraction that a call's
elements share has 23 bits here, so noise is resolved to 2^-55 around 0.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import threading
import warnings
from collections.abc import Sequence
from types import ModuleType

import torch
from torch import Tensor
from torch.autograd import forward_ad

from hotgrad.ops import checks
from hotgrad.ops.compiler import constant_to_compiler

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
VARIABLE = "HOTGRAD_KERNELS"
CHOICES = ("auto", "fused", "plain")


@functools.cache
def compiled() -> ModuleType | None:
    """The compiled functions; None where they aren't installed, don't work or aren't wanted.

    Raises:
        ValueError: the variable that chooses holds something else than a choice.
    """
    wanted = os.environ.get(VARIABLE, "auto")
    checks.check_choice(f"value of {VARIABLE}", wanted, CHOICES)
    if wanted == "plain":
        return None
    try:
        if importlib.util.find_spec("llvmlite") is None:
            raise ImportError("llvmlite isn't installed: pip install 'hotgrad[fast]'")
        from hotgrad.ops.kernels.compiled import build, functions

        build.machine()
    except Exception as error:  # a broken installation fails in its own ways
        if wanted == "fused":
            warnings.warn(
                f"{VARIABLE}=fused, but the compiled kernels don't work here ({error}). The plain "
                "functions of torch are used instead.",
                stacklevel=2,
            )
        return None
    return functions


def draws() -> bool:
    """Whether noise can be drawn by the compiled functions.

    Not where torch records what is called, nor inside vmap, which decides itself whether what it
    maps shares its noise.
    """
    if torch.compiler.is_compiling():
        # the flag itself: inside a graph older versions answer is_exporting() with True
        return not torch.compiler._is_exporting_flag and _known_to_the_compiler()
    if checks.recorded():
        return False
    levels = torch._C._functorch.get_interpreter_stack() or ()
    mapped = any(level.key() == torch._C._functorch.TransformType.Vmap for level in levels)
    return not mapped and compiled() is not None


@constant_to_compiler
def _known_to_the_compiler() -> bool:
    return compiled() is not None


def usable(tensor: Tensor) -> bool:
    """Whether a tensor can be given to the compiled functions.

    Not where torch records operations or transforms them, and asks of each one how it maps or
    differentiates: there the plain functions, which are made of torch's, are written down.
    """
    if checks.recorded() or torch._C._functorch.maybe_current_level() is not None:
        return False
    return (
        forward_ad._current_level < 0
        and type(tensor) in _KINDS
        and tensor.device.type == "cpu"
        and tensor.dtype in DTYPES
        and tensor.layout == torch.strided
        and not tensor.is_neg()
        and tensor.numel() > 0
        and compiled() is not None
    )


_KINDS = Tensor, torch.nn.Parameter


MOST_KEY = 2**63 - 1


class _Cell(threading.local):
    """Memory for one word, of each thread its own: making it costs more than filling it."""

    def __init__(self) -> None:
        with torch.inference_mode(False):
            self.word = torch.zeros((), dtype=torch.int64, device="cpu")


_cell = _Cell()


def draw_key(generator: torch.Generator | None) -> int:
    """The key of one call, from the caller's generator or torch's own."""
    key: int = _cell.word.random_(0, MOST_KEY, generator=generator).item()  # type: ignore[assignment]
    return key


def noise(kind: str, shape: Sequence[int], generator: torch.Generator | None) -> Tensor:
    """Gumbel or logistic noise in float32: that of the samples which the same key gives."""
    if torch.compiler.is_compiling():
        # the word that `draw_key` draws
        key = torch.randint(0, MOST_KEY, (), generator=generator)
        drawn: Tensor = torch.ops.hotgrad.noise(key, shape, kind)
        return drawn
    # inside torch.func.grad, say, torch would make a tensor without memory of its own
    with torch._C._DisableFuncTorch():
        return functions().noise(kind, shape, draw_key(generator))


def _noise_of_key(key: Tensor, shape: Sequence[int], kind: str) -> Tensor:
    drawn: Tensor = functions().noise(kind, shape, int(key))
    return drawn


# by hand, since torch.library.custom_op imports SymPy, which takes longer than all of hotgrad
_library = torch.library.Library("hotgrad", "DEF")
_library.define("noise(Tensor key, SymInt[] shape, str kind) -> Tensor")
_library.impl("noise", _noise_of_key, "CPU")
_library.impl("noise", lambda key, shape, kind: torch.empty(shape, device="meta"), "Meta")


def functions() -> ModuleType:
    """The compiled functions, which must be there."""
    found = compiled()
    if found is None:
        raise RuntimeError("hotgrad's compiled functions aren't there: pip install 'hotgrad[fast]'")
    return found
