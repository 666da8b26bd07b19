"""Programs turned into functions of the machine at hand, once in a process.

That takes less than a tenth of a second for each, and nothing is written to a disk, where processes
could meet. LLVM's optimising passes are left out: they take twice as long as all the rest, and find
nothing to improve in code that is written in vectors.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from hotgrad.ops.kernels.compiled.code import Code
from hotgrad.ops.kernels.compiled.program import Program
from hotgrad.ops.kernels.compiled.values import F32, I64, POINTER

_lock = threading.Lock()
_engines: list[Any] = []
_KINDS = {str(POINTER): ctypes.c_void_p, str(I64): ctypes.c_int64, str(F32): ctypes.c_float}


def build(program: Program) -> Callable[..., None]:
    """The function of a program: takes addresses and integers, releases the interpreter's lock."""
    with _lock:
        features, lanes = machine()
        module = ir.Module()
        module.triple = llvm.get_default_triple()

        def code_of(name: str, arguments: Any, *, inner: bool = False) -> Code:
            return Code(module, name, arguments, lanes, inner=inner)

        program.write(code_of)
        compiled = llvm.parse_assembly(str(module))
        compiled.verify()
        # an engine owns its target, and the code: neither can be shared or let go
        target = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=features, opt=2, codemodel="small"
        )
        engine = llvm.create_mcjit_compiler(compiled, target)
        engine.finalize_object()
        _engines.append(engine)
        kinds = [_KINDS[str(argument)] for argument in program.arguments]
        function: Callable[..., None] = ctypes.CFUNCTYPE(None, *kinds)(
            engine.get_function_address("main")
        )
        return function


@functools.cache
def machine() -> tuple[str, int]:
    """What the machine at hand can do, and how many float32 numbers its vectors hold."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features()
    wide = features.get("avx512f", False) and features.get("avx512dq", False)
    # LLVM would split the widest vectors for fear of a slower clock
    return features.flatten() + (",-prefer-256-bit" if wide else ""), 16 if wide else 8
