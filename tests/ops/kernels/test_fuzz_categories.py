"""Categories of random cases against the same noise relaxed in float64: values and gradients."""

from random import Random

import torch
from ops.kernels.cases import Case, draw_case
from torch import Tensor

from hotgrad import ops
from hotgrad.ops.kernels import categories, fused

NOTHING = 1e-25  # odds beyond 2^125 to 1 are taken for certain before the noise comes


def scores_of(case: Case) -> tuple[Tensor, Tensor]:
    """Logits plus noise in float64, and how far float32 may be from them before the division."""
    logits = case.logits.detach()
    noise = ops.draw_gumbel(
        (*case.sample_shape, *logits.shape), dtype=logits.dtype, generator=case.generator
    ).double()
    distance = logits.double() - logits.double().amax(-1, keepdim=True)
    error = 1e-6 + 3e-7 * (distance.abs() + noise.abs())
    learned = isinstance(case.temperature, Tensor) and case.temperature.requires_grad
    if learned or fused.compiled() is None:
        # the plain functions add noise to small logits as they are
        error = error + 2e-7 * logits.double().abs().clamp(max=100)
    return distance + noise, error


def soft_of(scores: Tensor, error: Tensor, case: Case) -> tuple[Tensor, Tensor]:
    """The relaxed sample in float64, and a bound of its error but for the result's rounding."""
    soft = (scores / case.divisor).softmax(-1)
    own = torch.where(soft > 0, (error / case.divisor).clamp(max=50).expm1(), 0.0)
    bound = soft * (own + (soft * own).sum(-1, keepdim=True)) + 1e-6 * soft + NOTHING
    return soft, bound.clamp(max=1)


def check_hard(hard: Tensor, scores: Tensor, error: Tensor) -> None:
    """One-hot vectors of the largest score, or of one as large to float32's precision."""
    assert torch.equal(hard.sum(-1, dtype=torch.float64), torch.ones(hard.shape[:-1]).double())
    assert bool(((hard == 0) | (hard == 1)).all())
    if hard.numel():
        best, index = scores.max(-1)
        chosen = hard.argmax(-1, keepdim=True)
        tolerance = error.gather(-1, chosen) + error.gather(-1, index.unsqueeze(-1))
        assert bool((best.unsqueeze(-1) - scores.gather(-1, chosen) <= tolerance).all())


def rounding(values: Tensor, dtype: torch.dtype) -> Tensor:
    smallest = 2.0**-24 if dtype == torch.float16 else NOTHING
    return values.abs() * torch.finfo(dtype).eps + smallest


def check(case: Case, generator: torch.Generator) -> None:
    logits, dtype = case.logits, case.logits.dtype
    scores, error = scores_of(case)
    soft, bound = soft_of(scores, error, case)
    arguments = (logits, case.temperature, case.sample_shape, case.generator)
    if case.hard:
        hard, found = categories.hard_and_relaxed_categories(*arguments)
        assert hard.dtype == dtype
        assert not hard.requires_grad
        check_hard(hard, scores, error)
    else:
        found = categories.relaxed_categories(*arguments)
    assert found.shape == scores.shape
    assert found.dtype == dtype
    assert bool(((found.double() - soft).abs() <= bound + rounding(soft, dtype)).all())

    upstream = torch.randn(soft.shape, generator=generator).to(dtype)
    (gradient,) = torch.autograd.grad(found, logits, upstream)
    given = upstream.double()
    centred = given - (given * soft).sum(-1, keepdim=True)
    each = soft * centred / case.divisor
    off = bound * centred.abs() + soft * (bound * given.abs()).sum(-1, keepdim=True)
    off = off / case.divisor + 2 * rounding(each, dtype) + 1e-6 * soft / case.divisor
    expected, off = each.sum_to_size(logits.shape), off.sum_to_size(logits.shape)
    assert gradient.dtype == dtype
    assert gradient.isfinite().all()
    assert bool(((gradient.double() - expected).abs() <= off + rounding(expected, dtype)).all())


def check_many(count: int, seed: int) -> None:
    random, generator = Random(seed), torch.Generator().manual_seed(seed)
    for _ in range(count):
        case = draw_case(random, events=True)
        try:
            check(case, generator)
        except AssertionError as error:
            raise AssertionError(f"{case}: {error}") from error


def test_random_categories(generator: torch.Generator) -> None:
    check_many(300, generator.initial_seed())
