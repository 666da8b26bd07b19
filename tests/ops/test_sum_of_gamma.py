"""Sum-of-gamma noise: sums of k are Gumbel, no ties, and the generator decides."""

import math
from typing import Any

import pytest
import torch
from stats import distribution_fits, gumbel_cdf
from torch import Generator, Tensor

from hotgrad import ops


def paper(shape: tuple[int, ...], k: int, generator: Generator) -> Tensor:
    """Ten terms, and nothing for the rest."""
    alpha = torch.full(shape, 1 / k)
    terms = (torch._standard_gamma(alpha, generator=generator) / i for i in range(1, 11))
    return sum(terms, torch.zeros(())) - math.log(10) / k


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("k", [1, 2, 20])
def test_k_of_them_sum_to_a_gumbel_variable(
    k: int, dtype: torch.dtype, generator: Generator
) -> None:
    noise = ops.draw_sum_of_gamma((20_000, k), k, dtype=dtype, generator=generator)
    assert noise.dtype == dtype
    assert distribution_fits(noise.sum(-1), gumbel_cdf)
    # mutant: the terms beyond the tenth left out
    assert not distribution_fits(paper((20_000, k), k, generator).sum(-1), gumbel_cdf)


def test_elements_do_not_tie_where_k_is_large(generator: Generator) -> None:
    assert len(ops.draw_sum_of_gamma((10_000,), 500, generator=generator).unique()) > 9900
    # mutant: without the rest, most are the lowest value
    assert len(paper((10_000,), 500, generator).unique()) < 5000


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_gets_single_precision_noise(dtype: torch.dtype) -> None:
    assert ops.draw_sum_of_gamma((3,), 2, dtype=dtype).dtype == torch.float32


@pytest.mark.parametrize("k", [0, 1, 7])
@pytest.mark.parametrize("shape", [(), (0,), (2, 3)], ids=str)
def test_any_shape_and_any_k(shape: tuple[int, ...], k: int) -> None:
    noise = ops.draw_sum_of_gamma(shape, k)
    assert noise.shape == shape
    assert noise.isfinite().all()


def test_the_generator_decides(generator: Generator) -> None:
    before = torch.random.get_rng_state()
    first = ops.draw_sum_of_gamma((50,), 3, generator=generator.clone_state())
    assert torch.equal(first, ops.draw_sum_of_gamma((50,), 3, generator=generator))
    assert not torch.equal(first, ops.draw_sum_of_gamma((50,), 3, generator=generator))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.usefixtures("compiler")
def test_vmap_draws_for_each_element_and_compiled_it_is_the_same() -> None:
    def draw(x: Any) -> Tensor:
        return x + ops.draw_sum_of_gamma((20_000,), 2)

    mapped = torch.func.vmap(draw, randomness="different")(torch.zeros(2))
    assert not torch.equal(mapped[0], mapped[1])
    assert distribution_fits(mapped.view(-1, 2).sum(-1), gumbel_cdf)
    results = []
    for function in (draw, torch.compile(draw, fullgraph=True, backend="aot_eager")):
        torch.manual_seed(0)
        results.append(function(torch.zeros(())))
    assert torch.equal(*results)
