"""Every public call with every kind of bad value: an error that names argument and value."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sweep.bad_values import KINDS
from sweep.good_calls import GOOD, METHODS, OBJECTS, write_files
from sweep.library_cases import Call, calls, cases
from sweep.parameters import KIND_OF, PARTICULAR, STANDS_FOR
from torch.distributions import Independent

CALLS = list(calls())
CASES = list(cases())

RAW = re.compile(
    "has no attribute|unsupported operand|not subscriptable|'NoneType'|positional argument"
    "|size of tensor|enforce fail|must be Tensor|Expected all tensors|INTERNAL ASSERT|not callable"
    "|not iterable|not supported between|invalid combination|argument '|Dimension out of range"
    "|could not convert|invalid literal|cannot unpack|Exceeds the limit|expected scalar type"
    "|not implemented for|mat1 and mat2|shape '|Overflow|unpack|int too (large|big)|incompatible"
    "|object of type|unhashable|embedded null|Errno"
)
"""What Python, torch and NumPy say to programmers."""


def case_id(case: Any) -> str:
    return case.name if isinstance(case, Call) else str(case)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    write_files(folder)
    return folder


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 700


def test_every_call_has_good_arguments_and_every_parameter_a_kind() -> None:
    assert [call.name for call in CALLS if call.good is None] == []
    unknown = [f"{call.name}.{p}" for call in CALLS for p in call.parameters if not call.kind_of(p)]
    assert unknown == []


def test_what_is_named_exists() -> None:
    names = {call.name for call in CALLS}
    whole = names | {f"{call.name}.{p}" for call in CALLS for p in call.parameters}
    short = {p for call in CALLS for p in call.parameters}
    short |= {call.name.rsplit(".")[-1] for call in CALLS}
    named = {*GOOD, *METHODS, *KIND_OF, *PARTICULAR}
    assert named - whole - short == set()
    assert {name for name in OBJECTS if not any(n.startswith(name) for n in names)} == set()
    assert set(KIND_OF.values()) == set(KINDS)


@pytest.mark.parametrize("call", CALLS, ids=case_id)
def test_the_good_call_is_good(call: Call, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files)
    assert call.good is not None
    call.run(**call.good())


@pytest.mark.parametrize(("call", "parameter", "bad"), CASES, ids=case_id)
def test_bad_values_are_refused_by_name(
    call: Call, parameter: str, bad: str, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    before = sorted(files.rglob("*"))
    value = call.bad_values(parameter)[bad]
    with pytest.raises((ValueError, NotImplementedError)) as raised:
        call.with_bad(parameter, value)
    assert complaints(str(raised.value), parameter, value) == []
    assert sorted(files.rglob("*")) == before


def complaints(message: str, parameter: str, value: Any) -> list[str]:
    """What is wrong with a message about a bad value."""
    found = []
    words = STANDS_FOR.get(parameter, parameter)
    if not re.search(rf"(?<!\w)({parameter}|{words})(?!\w)", message):
        found.append(f"doesn't name {parameter}")
    if not any(text in message for text in _told(value)):
        found.append("doesn't say what came")
    # what a user's own module says is quoted
    if raw := RAW.search(re.sub("failed on an input.*", "", message)):
        found.append(f"is raw: {raw[0]}")
    if len(message) > 700:
        found.append(f"has {len(message)} characters")
    return found


def _told(value: Any) -> list[str]:
    """By any of these a message says what came."""
    told = [" got ", "returned", "has no", "have no", "is empty", "was given", type(value).__name__]
    if not isinstance(value, int) or abs(value) < 10**40:
        told += [repr(value)[:40], str(value)[:40]]
    if isinstance(value, type):
        told.append(value.__name__)
    if isinstance(value, (torch.Tensor, np.ndarray)):
        shape = tuple(value.shape)
        told += [
            str(shape),
            str(list(shape)),
            str(value.dtype),
            "NaN",
            "nan",
            "inf",
            " ones and",
            "misses 1 by",
        ]
        told += [f"dim {len(shape)}", *(f", {size}]" for size in shape[:1])]
        told += ["requires_grad", "computed", *(f"has {size}" for size in shape[:1])]
    if isinstance(value, (list, tuple, dict)) or (isinstance(value, np.ndarray) and value.ndim):
        told += [f"({len(value)},)", *(text for each in value for text in _told(each))]
    if isinstance(value, Independent):
        told.append(type(value.base_dist).__name__)
    return told
