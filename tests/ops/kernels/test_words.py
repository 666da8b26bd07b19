"""The kernels' random words: Philox's, each of an element's place and the key alone."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from ops.kernels import philox, programs
from torch import Tensor

from hotgrad.ops.kernels.compiled import build, functions
from hotgrad.ops.kernels.compiled.bits import Noise
from hotgrad.ops.kernels.compiled.index import Index
from hotgrad.ops.kernels.compiled.program import Number

ONES = 0xFFFFFFFF
# counter, key, words: those of the authors' library Random123
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN, ids=["zeros", "ones", "pi"])
def test_known_answers(
    counter: tuple[int, ...], key: tuple[int, int], expected: tuple[int, ...]
) -> None:
    assert tuple(philox.philox(np.array([counter], np.uint64), key)[0].tolist()) == expected


@pytest.mark.parametrize("key", [0, 1, 2**32, 2**63 - 2, 0x299F31D0A4093822, -1])
@pytest.mark.parametrize("first", [0, 1, 2**32 - 3, 2**32 + 5, 2**41, 2**63 - 20, -1])
def test_words_of_many_counters(first: int, key: int) -> None:
    """Also those that need more than 32 bits, and however many are drawn at once."""
    for stream in (0, 1):
        expected = torch.from_numpy(philox.words(first, 20, key, stream))
        for count in (1, 2, 3, 4, 5, 8, 9, 16, 17, 20):
            drawn = programs.words(first, count, key, stream)
            assert torch.equal(drawn, expected[: 4 * count])


@pytest.mark.parametrize(
    ("kind", "reference"), [("gumbel", philox.gumbel), ("logistic", philox.logistic)]
)
def test_noise_is_made_of_the_words(kind: str, reference: Callable[[int, int], Tensor]) -> None:
    key = 0x0123456789ABCDEF
    expected = reference(key, 9000)
    whole = functions.noise(kind, (9000,), key)
    torch.testing.assert_close(whole.double(), expected, rtol=1e-6, atol=1e-6)
    for size in (*range(1, 40), 1023, 1024, 1025, 2047, 2049, 8191):
        assert torch.equal(functions.noise(kind, (size,), key), whole[:size])


def test_noise_of_elements_beyond_2_to_34() -> None:
    """Their counters need more than 32 bits; a window of the whole is in memory."""
    program, key, size = build.build(Noise("gumbel")), 77, 3000
    first = 2**34 - 1001
    window = torch.empty(size)
    program(window.data_ptr() - 4 * first, key, first, first + size)
    words = philox.words(first // 4, size // 4 + 1, key)[first % 4 :][:size]
    i_plus_s = torch.from_numpy(words).float() + torch.tensor(philox.fraction_of(key))
    w = (i_plus_s * torch.tensor(philox.TO_UNIT, dtype=torch.float32)).double()
    torch.testing.assert_close(
        window.double(), -(-torch.log1p(-w.abs())).log(), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_vectors_of_any_width_hold_the_same_numbers(
    lanes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, _ = build.machine()
    expected = {kind: functions.noise(kind, (3001,), 5) for kind in ("gumbel", "logistic")}
    logits = torch.randn(3, 1500, generator=torch.Generator().manual_seed(0))
    indices, _ = functions.indices(logits, 200, 5)
    monkeypatch.setattr(build, "machine", lambda: (features, lanes))
    for kind, whole in expected.items():
        drawn = torch.empty(3001)
        build.build(Noise(kind))(drawn.data_ptr(), 5, 0, 3001)
        assert torch.equal(drawn, whole)
    again, scratch = torch.empty_like(indices), torch.empty(100, dtype=torch.float64)
    addresses = logits.data_ptr(), again.data_ptr(), scratch.data_ptr()
    build.build(Index(Number.FLOAT32))(*addresses, 5, 0, 3, 1500, 3, 200)
    # masses are summed in another order, which may move a draw at the edge of a category
    assert (again != indices).sum() <= 1
