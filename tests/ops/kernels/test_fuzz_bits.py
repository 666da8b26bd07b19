"""Bits of random cases against the same noise relaxed in float64: values and gradients."""

from random import Random

import torch
from ops.kernels.cases import Case, draw_case

from hotgrad import ops
from hotgrad.ops.kernels import bits

NOTHING = 1e-25  # odds beyond 2^125 to 1 are taken for certain before the noise comes


def check(case: Case, generator: torch.Generator) -> None:
    logits, dtype = case.logits, case.logits.dtype
    noise = ops.draw_logistic(
        (*case.sample_shape, *logits.shape), dtype=dtype, generator=case.generator
    ).double()
    scores = logits.detach().double() + noise
    # of what float32 makes of the scores, before the division
    error = 1e-6 + 3e-7 * (logits.detach().double().abs() + noise.abs())
    soft = (scores / case.divisor).sigmoid()
    ratio = (error / case.divisor).clamp(max=50).expm1()
    eps, smallest = torch.finfo(dtype).eps, 2.0**-24 if dtype == torch.float16 else NOTHING
    bound = (soft * (1 - soft) * ratio).clamp(max=1) + 3e-7 * soft + smallest

    arguments = (logits, case.temperature, case.sample_shape, case.generator)
    if case.hard:
        hard, found = bits.hard_and_relaxed_bits(*arguments)
        assert hard.dtype == dtype
        assert not hard.requires_grad
        assert bool(((hard == (scores > 0)) | (scores.abs() <= error)).all())
    else:
        found = bits.relaxed_bits(*arguments)
    assert found.shape == scores.shape
    assert found.dtype == dtype
    assert bool(((found.double() - soft).abs() <= bound + eps * soft).all())

    upstream = torch.randn(soft.shape, generator=generator).to(dtype)
    (gradient,) = torch.autograd.grad(found, logits, upstream)
    each = upstream.double() * soft * (1 - soft) / case.divisor
    off = upstream.double().abs() * (bound + eps * soft * (dtype == torch.float64)) / case.divisor
    off = off + 4 * eps * each.abs() + smallest
    expected, off = each.sum_to_size(logits.shape), off.sum_to_size(logits.shape)
    off = off + eps * expected.abs()
    assert gradient.dtype == dtype
    assert gradient.isfinite().all()
    assert bool(((gradient.double() - expected).abs() <= off).all())


def check_many(count: int, seed: int) -> None:
    random, generator = Random(seed), torch.Generator().manual_seed(seed)
    for _ in range(count):
        case = draw_case(random, events=False)
        try:
            check(case, generator)
        except AssertionError as error:
            raise AssertionError(f"{case}: {error}") from error


def test_random_bits(generator: torch.Generator) -> None:
    check_many(300, generator.initial_seed())
