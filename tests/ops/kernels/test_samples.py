"""Relaxed samples in one call: the same numbers as noise first and the relaxation then."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

import hotgrad as hg
from hotgrad import ops
from hotgrad.ops.kernels import bits, categories

INF = math.inf
DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]

Draw = Callable[..., Any]
# relaxed, hard and relaxed, relaxed and its twin; the noise; the relaxation; the hard sample
KINDS: dict[str, tuple[Draw, Draw, Draw, Draw, Draw, Draw]] = {
    "bits": (
        bits.relaxed_bits,
        bits.hard_and_relaxed_bits,
        bits.relaxed_bits_with_logit,
        ops.draw_logistic,
        ops.binary_concrete,
        lambda logits, noise: ops.threshold(logits + noise, logits.dtype),
    ),
    "categories": (
        categories.relaxed_categories,
        categories.hard_and_relaxed_categories,
        categories.relaxed_categories_with_log,
        ops.draw_gumbel,
        ops.gumbel_softmax,
        lambda logits, noise: ops.one_hot_argmax(ops.centred(logits) + noise, logits.dtype),
    ),
}
each = pytest.mark.parametrize("kind", KINDS)


def logits_of(dtype: torch.dtype, generator: Generator, scale: float = 1.0) -> Tensor:
    logits = (scale * torch.randn(2, 3, 5, generator=generator)).to(dtype)
    logits[0, 1, 2] = -INF
    return logits


def noise_of(kind: str, logits: Tensor, shape: Any, generator: Generator) -> Tensor:
    noise: Tensor = KINDS[kind][3](
        (*shape, *logits.shape), dtype=logits.dtype, generator=generator.clone_state()
    )
    return noise


# also rows that are too far from 0 to be added to noise as they are
@pytest.mark.parametrize("scale", [1.0, 300.0])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (4,), (0,), (2, 3)], ids=str)
@each
def test_noise_then_relax(
    kind: str, shape: Any, dtype: torch.dtype, scale: float, generator: Generator
) -> None:
    relaxed, hard_and_relaxed, with_twin, _, relax, harden = KINDS[kind]
    logits, shape = logits_of(dtype, generator, scale), torch.Size(shape)
    noise = noise_of(kind, logits, shape, generator)
    expected = relax(logits, noise, 0.6)
    soft = relaxed(logits, 0.6, shape, generator.clone_state())
    assert (soft.shape, soft.dtype) == ((*shape, 2, 3, 5), dtype)
    torch.testing.assert_close(soft, expected)
    hard, same = hard_and_relaxed(logits, 0.6, shape, generator.clone_state())
    assert torch.equal(same, soft)
    assert hard.dtype == dtype
    assert torch.equal(hard, harden(logits, noise))
    value, twin = with_twin(logits, 0.6, shape, generator.clone_state())
    assert twin.dtype == ops.widened(logits).dtype
    torch.testing.assert_close(value, soft)
    back = twin.sigmoid() if kind == "bits" else twin.exp()
    torch.testing.assert_close(back.to(dtype), soft)


@each
def test_hard_and_relaxed_agree(kind: str, generator: Generator) -> None:
    logits = logits_of(torch.float64, generator)
    hard, soft = KINDS[kind][1](logits, 1.0, torch.Size((500,)), generator)
    if kind == "bits":
        assert torch.equal(hard, (soft > 0.5).double())
    else:
        assert torch.equal(hard.argmax(-1), soft.argmax(-1))
        torch.testing.assert_close(soft.sum(-1), torch.ones(500, 2, 3).double())
    assert set(hard.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("form", [(), (1,), (3, 1), (2, 1, 1), (2, 3, 5)], ids=str)
@each
def test_temperature_tensors(kind: str, form: Any, generator: Generator) -> None:
    logits = logits_of(torch.float64, generator).requires_grad_()
    temperature = torch.rand(form, dtype=torch.float64, generator=generator) + 0.2
    temperature.requires_grad_()
    shape = torch.Size((4,))
    noise = noise_of(kind, logits, shape, generator)
    expected = KINDS[kind][4](logits, noise, temperature)
    soft = KINDS[kind][0](logits, temperature, shape, generator.clone_state())
    weights = torch.randn(soft.shape, dtype=torch.float64, generator=generator)
    torch.testing.assert_close(soft, expected)
    gradients = [
        torch.autograd.grad((y * weights).sum(), (logits, temperature)) for y in (soft, expected)
    ]
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs)
        assert mine.isfinite().all()


@pytest.mark.parametrize("dim", [0, 1, -1, -2])
def test_categories_along_any_dimension(dim: int, generator: Generator) -> None:
    logits = torch.randn(4, 3, 5, generator=generator)
    noise = noise_of("categories", logits, (), generator)
    expected = ops.gumbel_softmax(logits, noise, 0.6, dim)
    arguments: Any = (logits, 0.6, torch.Size(), generator.clone_state(), dim)
    torch.testing.assert_close(categories.relaxed_categories(*arguments), expected)
    arguments = (logits, 0.6, torch.Size(), generator.clone_state(), dim)
    hard, soft = categories.hard_and_relaxed_categories(*arguments)
    torch.testing.assert_close(soft, expected)
    assert torch.equal(hard, ops.one_hot_argmax(logits + noise, logits.dtype, dim))


@pytest.mark.parametrize(
    "q",
    [
        hg.Bernoulli(logits=torch.tensor([0.3, -2.0, INF])),
        hg.OneHotCategorical(logits=torch.tensor([[0.3, -2.0, -INF], [900.0, 0.0, 1.0]])),
    ],
    ids=lambda q: type(q).__name__,
)
def test_a_distributions_relaxed_samples_are_these(q: Any, generator: Generator) -> None:
    """From a generator in one state: of noise, of the distribution, of an estimator."""
    noise = q.draw_noise((7,), generator=generator.clone_state())
    hard, soft = q.hard_and_relaxed_sample(0.5, (7,), generator=generator.clone_state())
    assert torch.equal(hard, q.harden(noise))
    torch.testing.assert_close(soft, q.relax(noise, 0.5))
    again = q.relaxed_sample(0.5, (7,), generator=generator.clone_state())
    assert torch.equal(again, soft)
    layer = hg.GumbelSoftmax(0.5).sample(q, (7,), generator=generator.clone_state())
    assert torch.equal(layer, soft)
    pair = q.relaxed_sample_with_twin(0.5, (7,), generator=generator.clone_state())
    torch.testing.assert_close(pair.value, soft)


@each
def test_without_a_generator_the_global_one_decides(kind: str) -> None:
    logits = torch.zeros(50)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        first, second = (KINDS[kind][0](logits, 0.5) for _ in range(2))
        torch.manual_seed(3)
        assert torch.equal(KINDS[kind][0](logits, 0.5), first)
    assert not torch.equal(first, second)
    before = torch.get_rng_state()
    KINDS[kind][0](logits, 0.5, torch.Size(), Generator())
    assert torch.equal(torch.get_rng_state(), before)
