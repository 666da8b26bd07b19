"""Values that make no sample: refused where that is promised, NaN elsewhere, never a number."""

import math
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

import hotgrad as hg
from hotgrad.ops.kernels import categories

INF, NAN = math.inf, math.nan
DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
BAD_ROWS = {"nan": [0.0, NAN, 0.0], "all -inf": [-INF] * 3, "inf": [INF, 0.0, 1.0]}


def with_bad_row(row: list[float], dtype: torch.dtype, width: int = 3) -> Tensor:
    logits = torch.zeros(4, 2, width, dtype=dtype)
    logits[2, 1] = row[-1]
    logits[2, 1, :3] = torch.tensor(row, dtype=dtype)
    return logits


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [3, 2000])
@pytest.mark.parametrize("said", BAD_ROWS)
def test_categories_that_are_refused(
    said: str, width: int, dtype: torch.dtype, temperature: float, hard: bool
) -> None:
    logits = with_bad_row(BAD_ROWS[said], dtype, width)
    with pytest.raises(ValueError, match=rf"1 of 8 rows.*row \(2, 1\): {said}"):
        hg.gumbel_softmax(logits, temperature, hard=hard)


def test_a_bad_row_among_many_threads_rows_is_found() -> None:
    threads = torch.get_num_threads()
    logits = torch.zeros(3000, 100)
    torch.set_num_threads(3)
    try:
        for row in (0, 1234, 2999):
            bad = logits.clone()
            bad[row, 7] = NAN
            with pytest.raises(ValueError, match=rf"row \({row},\): nan"):
                hg.gumbel_softmax(bad)
        hg.gumbel_softmax(logits)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
@pytest.mark.parametrize("dtype", DTYPES)
def test_bits_that_are_refused(dtype: torch.dtype, temperature: float) -> None:
    logits = torch.zeros(4, 5, dtype=dtype)
    logits[3, 2] = NAN
    for hard in (False, True):
        with pytest.raises(ValueError, match=r"1 of 20 are, the first at \(3, 2\)"):
            hg.binary_concrete(logits, temperature, hard=hard)
    certain = hg.binary_concrete(torch.tensor([INF, -INF], dtype=dtype), temperature)
    assert certain.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_nan_of_any_bits_is_seen(temperature: float) -> None:
    for width in (3, 2000):
        logits = torch.zeros(2, width)
        logits.view(torch.int32)[1, 1] = -1
        assert math.isnan(logits[1, 1])
        for function in (hg.gumbel_softmax, hg.binary_concrete):
            with pytest.raises(ValueError, match="1 of"):
                function(logits, temperature)


@pytest.mark.parametrize(
    "q",
    [
        hg.OneHotCategorical(logits=with_bad_row([NAN, 0, 0], torch.float32), validate_args=False),
        hg.OneHotCategorical(logits=with_bad_row([-INF] * 3, torch.float32), validate_args=False),
        hg.Bernoulli(logits=with_bad_row([NAN] * 3, torch.float32), validate_args=False),
    ],
    ids=["categories", "no category", "bits"],
)
def test_distributions_pass_nan_on_and_keep_it_to_its_row(q: Any, generator: Generator) -> None:
    for temperature in (1.0, 0.5):
        y = q.relaxed_sample(temperature, (5,), generator=generator)
        bad = y.isnan().all(-1)
        assert bool(bad[:, 2, 1].all())
        assert int(bad.sum()) == 5
        assert int(y.isnan().sum()) == 15


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_a_row_of_the_lowest_number_is_even(
    dtype: torch.dtype, temperature: float, generator: Generator
) -> None:
    """Some mask by it; a row that is masked all over has no -inf, and gives a sample."""
    logits = torch.full((6000, 3), torch.finfo(dtype).min, dtype=dtype)
    logits[0, 0] = -INF
    hard, soft = categories.hard_and_relaxed_categories(logits, temperature, (), generator)
    assert soft.isfinite().all()
    assert soft[0, 0] == 0
    share = hard[1:].double().mean(0)
    assert bool(((share - 1 / 3).abs() < 0.03).all())


def test_negated_views(generator: Generator) -> None:
    """torch keeps the minus of an imaginary part of a conjugate as a mark of the tensor."""
    logits = torch._neg_view(torch.tensor([-9.0, 9.0, 30.0]).repeat(20, 1))
    assert logits.is_neg()
    for function in (hg.gumbel_softmax, hg.binary_concrete):
        view, copy = (
            function(x, generator=generator.clone_state()) for x in (logits, logits.resolve_neg())
        )
        torch.testing.assert_close(view, copy)
