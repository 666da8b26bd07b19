"""What follows from three methods: all figures of four families, against all their states."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from distributions.families import Bits, Chain, Choice, Listed, Subset
from stats import cells_fit
from torch import Generator, Tensor
from torch.distributions import kl_divergence

import hotgrad as hg

INF = math.inf
SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "Bits": {"logits": ()},
    "Choice": {"logits": (4,)},
    "Subset": {"logits": (5,)},
    "Chain": {"unary": (3, 2), "pairwise": (2, 2, 2)},
}
MAKE: dict[str, Callable[..., Listed]] = {
    "Bits": Bits,
    "Choice": Choice,
    "Subset": lambda logits: Subset(logits, 2),
    "Chain": Chain,
}
# of the first parameter, and of the last: what can't be
MASKED: dict[str, tuple[int, ...]] = {
    "Bits": (),
    "Choice": (1,),
    "Subset": (3,),
    "Chain": (0, 1, 0),
}
each = pytest.mark.parametrize("name", SHAPES)


def drawn(
    name: str, generator: Generator, *batch: int, dtype: torch.dtype = torch.float64
) -> dict[str, Tensor]:
    return {
        key: torch.randn((*batch, *shape), dtype=torch.float64, generator=generator).to(dtype)
        for key, shape in SHAPES[name].items()
    }


def masked(name: str, params: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same with an entry of -inf, of the last parameter."""
    key = list(params)[-1]
    mask = torch.zeros(SHAPES[name][key], dtype=torch.bool)
    mask[MASKED[name]] = True
    return params | {key: torch.where(mask, -INF, params[key])}


def log_probs(q: Listed, params: dict[str, Tensor]) -> Tensor:
    """Of all states, `(..., states)`."""
    return q.scores_of_states(params).log_softmax(-1)


def mean(q: Listed, params: dict[str, Tensor]) -> Tensor:
    states = q.states()
    weighted = log_probs(q, params).exp() @ states.reshape(len(states), -1)
    return weighted.reshape(weighted.shape[:-1] + q.event_shape)


def entropy(q: Listed, params: dict[str, Tensor]) -> Tensor:
    log_p = log_probs(q, params)
    return -(log_p.exp() * torch.where(log_p == -INF, 0.0, log_p)).sum(-1)


def leaves(params: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: param.clone().requires_grad_() for name, param in params.items()}


def like_states(q: Listed) -> Tensor:
    """The states in the shape of samples, `(states, *batch, *event)`."""
    states = q.states().to(q.dtype)
    ones = (1,) * len(q.batch_shape)
    return states.view(len(states), *ones, *q.event_shape).expand(
        -1, *q.batch_shape, *(-1 for _ in q.event_shape)
    )


@pytest.mark.parametrize("with_mask", [False, True])
@pytest.mark.parametrize("batch", [(), (2, 3)], ids=str)
@each
def test_every_figure_and_its_gradient(
    name: str, batch: tuple[int, ...], with_mask: bool, generator: Generator
) -> None:
    params = drawn(name, generator, *batch)
    params = leaves(masked(name, params) if with_mask else params)
    other = MAKE[name](**drawn(name, generator, *batch))
    q = MAKE[name](**params)
    assert (q.batch_shape, q.event_shape) == (batch, other.event_shape)
    log_p, log_other = log_probs(q, params), log_probs(other, other.params)
    finite = torch.where(log_p == -INF, 0.0, log_p)
    divergence = (log_p.exp() * (finite - log_other)).sum(-1)
    for found, expected in (
        (q.log_prob(like_states(q)).movedim(0, -1), log_p),
        (q.mean, mean(q, params)),
        (q.variance, mean(q, params) * (1 - mean(q, params))),
        (q.entropy(), entropy(q, params)),
        (kl_divergence(q, other), divergence),
        (q.tempered_mean(0.7), mean(q, {key: param / 0.7 for key, param in params.items()})),
    ):
        torch.testing.assert_close(found, expected)
        weights = torch.randn(expected.shape, dtype=torch.float64, generator=generator)
        totals = [torch.where(x == -INF, 0.0, x) * weights for x in (found, expected)]
        own, exact = (
            torch.autograd.grad(t.sum(), list(params.values()), retain_graph=True) for t in totals
        )
        for key, mine, theirs in zip(params, own, exact, strict=True):
            possible = params[key] > -INF
            torch.testing.assert_close(
                mine[possible], theirs[possible], msg=str((key, found.shape))
            )
            assert mine.isfinite().all()
    torch.testing.assert_close(q.log_prob(q.mode), log_p.amax(-1))


def test_the_masked_states_have_no_probability(generator: Generator) -> None:
    for name in ("Choice", "Subset", "Chain"):
        q = MAKE[name](**masked(name, drawn(name, generator)))
        log_prob = q.log_prob(q.states())
        assert (log_prob == -INF).any()
        assert not (log_prob == INF).any()
        samples = q.sample((500,), generator=generator)
        assert q.log_prob(samples).isfinite().all()


@pytest.mark.parametrize("name", ["Choice", "Subset", "Chain"])
def test_values_of_another_shape_are_refused(name: str, generator: Generator) -> None:
    q = MAKE[name](**drawn(name, generator, 2))
    for value in (torch.ones(()), torch.ones(1), torch.ones(2, 7)):
        with pytest.raises(ValueError, match=f"{type(q).__name__} expects values that end in"):
            q.log_prob(value)


@each
def test_divergences_of_other_kinds_and_sizes_are_refused(name: str, generator: Generator) -> None:
    q = MAKE[name](**drawn(name, generator))
    others: list[Any] = [Chain(torch.zeros(4, 2), torch.zeros(3, 2, 2)), Subset(torch.zeros(5), 3)]
    for other in others:
        with pytest.raises(NotImplementedError, match=type(other).__name__):
            kl_divergence(q, other)


@each
def test_samples_have_these_probabilities(name: str, generator: Generator) -> None:
    """Of the test's own sampler: that estimators' draws have them is theirs to show."""
    q = MAKE[name](**drawn(name, generator))
    z = q.sample((20_000,), generator=generator)
    codes = (z.reshape(20_000, 1, -1) == q.states().reshape(1, len(q.states()), -1)).all(-1)
    assert cells_fit(codes.sum(0), log_probs(q, q.params).exp())


@each
def test_perturbed_parameters(name: str, generator: Generator) -> None:
    params = leaves(drawn(name, generator, 2))
    q = MAKE[name](**params)
    same = generator.clone_state()
    scores = q.perturb((3,), generator=generator.clone_state())
    again, slopes = q.perturb_with_slope((3,), 1.0, generator=generator.clone_state())
    assert list(scores) == list(slopes) == list(params)
    for key, param in params.items():
        noise = hg.ops.draw_gumbel((3, *param.shape), dtype=param.dtype, generator=same)
        assert scores[key].shape == slopes[key].shape == (3, *param.shape)
        torch.testing.assert_close(scores[key], param + noise)
        assert torch.equal(again[key], scores[key])
        # -log density of Gumbel noise x: x + exp(-x)
        leaf = noise.clone().requires_grad_()
        (slope,) = torch.autograd.grad((leaf + (-leaf).exp()).sum(), leaf)
        torch.testing.assert_close(slopes[key], slope)
        (gradient,) = torch.autograd.grad(scores[key].sum(), param, retain_graph=True)
        assert torch.equal(gradient, torch.full_like(param, 3.0))
    half, half_slopes = q.perturb_with_slope((3,), 0.5, generator=generator.clone_state())
    for key, param in params.items():
        torch.testing.assert_close(half[key] - param, (scores[key] - param) / 2)
        torch.testing.assert_close(half_slopes[key], slopes[key] * 2)
    hard = q.argmax(scores)
    assert hard.shape == (3, 2, *q.event_shape)
    best = log_probs(q, scores).amax(-1)
    tilted = MAKE[name](**{key: score.detach() for key, score in scores.items()})
    torch.testing.assert_close(tilted.log_prob(hard), best)


@pytest.mark.parametrize("temperature", [0.4, 2.0])
@each
def test_relaxed_samples_are_means_at_perturbed_parameters(
    name: str, temperature: float, generator: Generator
) -> None:
    params = leaves(masked(name, drawn(name, generator, 2)))
    q = MAKE[name](**params)
    scores = q.perturb((6,), generator=generator.clone_state())
    tempered = {key: score / temperature for key, score in scores.items()}
    soft = q.relaxed_sample(temperature, (6,), generator=generator.clone_state())
    torch.testing.assert_close(soft, mean(q, tempered))
    hard, same = q.hard_and_relaxed_sample(temperature, (6,), generator=generator.clone_state())
    assert torch.equal(same, soft)
    assert torch.equal(hard, q.argmax(scores))
    for gradient in torch.autograd.grad(soft.square().sum(), list(params.values())):
        assert gradient.isfinite().all()
    cold = q.relaxed_sample(1e-4, (6,), generator=generator.clone_state())
    torch.testing.assert_close(cold, hard, rtol=0, atol=0.4)
    if name == "Chain":
        # mutant: the second parameter isn't divided
        wrong = tempered | {"pairwise": scores["pairwise"]}
        assert not torch.allclose(soft, mean(q, wrong))


@each
def test_a_temperature_for_each_of_the_batch(name: str, generator: Generator) -> None:
    params = drawn(name, generator, 3)
    q = MAKE[name](**params)
    rows = torch.tensor([0.3, 1.0, 2.0], dtype=torch.float64)
    by_row = q.tempered_mean(rows.view(3, *(1,) * len(q.event_shape)))
    for row, temperature in enumerate(rows):
        own = MAKE[name](**{key: param[row] for key, param in params.items()})
        torch.testing.assert_close(by_row[row], own.tempered_mean(float(temperature)))
        torch.testing.assert_close(by_row[row], own.tempered_mean(temperature))
    if name == "Chain":
        with pytest.raises(ValueError, match="same for all of one z"):
            q.tempered_mean(torch.ones(3, 2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@each
def test_other_dtypes(name: str, dtype: torch.dtype, generator: Generator) -> None:
    params = drawn(name, generator, 3, dtype=dtype)
    q = MAKE[name](**params)
    exact = MAKE[name](**{key: param.double() for key, param in params.items()})
    off = 4 * torch.finfo(dtype).eps * 4
    for of in (
        lambda q: q.log_prob(like_states(q)),
        lambda q: q.mean,
        lambda q: q.entropy(),
        lambda q: q.tempered_mean(0.7),
        lambda q: kl_divergence(q, q.with_params({n: -p for n, p in q.params.items()})),
    ):
        assert of(q).dtype == dtype
        torch.testing.assert_close(of(q).double(), of(exact), rtol=off, atol=off)
    hard, soft = q.hard_and_relaxed_sample(0.5, (4,), generator=generator)
    assert hard.dtype == soft.dtype == q.mode.dtype == dtype


@each
def test_where_no_gradient_is_wanted(name: str, generator: Generator) -> None:
    params = leaves(drawn(name, generator, 2))
    expected = MAKE[name](**params)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            q = MAKE[name](**params)
            figures = [q.mean, q.entropy(), q.log_prob(q.mode), q.relaxed_sample(0.5)]
        assert not any(figure.requires_grad for figure in figures)
        torch.testing.assert_close(figures[0], expected.mean)
        torch.testing.assert_close(figures[1], expected.entropy())
    # made outside, asked inside; made of tensors that inference mode made
    with torch.inference_mode():
        inside = expected.mean
        own = MAKE[name](**{key: param * 1.0 for key, param in params.items()})
        torch.testing.assert_close(own.mean, inside)
    torch.testing.assert_close(inside.clone(), expected.mean)
    assert expected.mean.requires_grad


@each
def test_func_grad_and_vmap(name: str, generator: Generator) -> None:
    params = drawn(name, generator, 3)

    def figure(params: dict[str, Tensor]) -> Tensor:
        q = MAKE[name](**params)
        return q.mean.square().sum() + q.entropy().sum() + q.tempered_mean(0.5).exp().sum()

    own = leaves(params)
    expected = torch.autograd.grad(figure(own), list(own.values()))
    found = torch.func.vmap(torch.func.grad(figure))(params)
    for mine, theirs in zip(found.values(), expected, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_the_second_derivatives_are_right_too(generator: Generator) -> None:
    params = drawn("Chain", generator)
    q = Chain(**params)

    def of_mean(make: Callable[[Any, dict[str, Tensor]], Tensor]) -> Tensor:
        def total(unary: Tensor) -> Tensor:
            return make(q, params | {"unary": unary}).square().sum()

        hessian: Tensor = torch.autograd.functional.hessian(total, params["unary"])
        return hessian

    torch.testing.assert_close(of_mean(lambda q, p: q.with_params(p).mean), of_mean(mean))


OURS: dict[str, Callable[..., Any]] = {
    "Bits": hg.Bernoulli,
    "Choice": hg.OneHotCategorical,
    "Subset": lambda logits: hg.KSubset(logits, 2),
}


@pytest.mark.parametrize("name", OURS)
def test_the_librarys_own_agree(name: str, generator: Generator) -> None:
    params = drawn(name, generator, 2)
    q, ours = MAKE[name](**params), OURS[name](**params)
    torch.testing.assert_close(q.mean, ours.mean)
    torch.testing.assert_close(q.entropy(), ours.entropy())
    torch.testing.assert_close(q.log_normalizer(), ours.log_normalizer())
    torch.testing.assert_close(q.log_prob(q.mode), ours.log_prob(ours.mode))


@each
@pytest.mark.parametrize(
    "estimator",
    [
        hg.GumbelSoftmax(0.5),
        hg.StraightThroughGumbelSoftmax(0.5),
        hg.StraightThrough(),
        hg.IMLE(),
        hg.PerturbedMAP(),
        hg.ScoreFunction(),
    ],
    ids=lambda e: type(e).__name__,
)
def test_estimators_take_it(name: str, estimator: Any, generator: Generator) -> None:
    params = leaves(drawn(name, generator, 2))
    q = MAKE[name](**params)

    def f(z: Tensor) -> Tensor:
        return z.square().reshape(*z.shape[: z.ndim - len(q.event_shape)], -1).sum(-1) - 2

    value = hg.expectation(f, q, estimator, num_samples=4, generator=generator)
    assert value.shape == (2,)
    for gradient in torch.autograd.grad(value.sum(), list(params.values())):
        assert gradient.isfinite().all()
