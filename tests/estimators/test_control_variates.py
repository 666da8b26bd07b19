"""REBAR and RELAX: unbiased with real noise, on whatever they have learnt; and that they learn."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from stats import log_ratio_below, unbiased
from torch import Generator, Tensor, nn

import hotgrad as hg
from hotgrad.distributions.samples import Coupled
from hotgrad.estimators import control_variate

# distribution by its class, what it takes, logits, event dimensions
DISTRIBUTIONS: dict[str, tuple[Any, dict[str, int], list[Any], int]] = {
    "bits": (hg.Bernoulli, {}, [0.6, -1.1], 1),
    "categories": (hg.OneHotCategorical, {}, [[0.5, -0.4, 0.1], [-0.3, 0.2, 0.8]], 1),
    "Plackett-Luce": (hg.PlackettLuceSubset, {"k": 2}, [0.7, -0.4, 0.1, -0.9], 0),
}
every_distribution = pytest.mark.parametrize("distribution", DISTRIBUTIONS)


def bent(z: Tensor) -> Tensor:
    """Smooth, far from linear, of events of any shape with one batch dimension before."""
    flat = z.flatten(2)
    weight = torch.linspace(-1.0, 1.5, flat.shape[-1], dtype=z.dtype)
    return ((flat * weight).sum(-1) - 0.4) ** 2 + flat[..., 0] * flat[..., -1]


class Half(nn.Module):
    """A critic that has come half the way to f."""

    def __init__(self) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.tensor(0.6, dtype=torch.float64))

    def forward(self, y: Tensor, mean: Tensor) -> Tensor:
        return self.share * bent(y) + 0.1 * mean.flatten(2)[..., 0]


ESTIMATORS: dict[str, Callable[[], Any]] = {
    "REBAR": lambda: hg.REBAR(temperature=0.5, scale=0.8),
    "RELAX": lambda: hg.RELAX(Half(), temperature=0.5),
}
each = pytest.mark.parametrize("estimator", ESTIMATORS)


def make(distribution: str, logits: Tensor, cls: type | None = None) -> Any:
    own, options, _, events = DISTRIBUTIONS[distribution]
    q = (cls or own)(logits=logits, **options)
    return q.to_event(events)


def gradients(
    distribution: str, estimator: Any, cls: type | None = None, samples: int = 2
) -> Callable[[int, Generator], Tensor]:
    """`(n, generator)` to n independent gradient estimates, along the batch."""
    start = torch.tensor(DISTRIBUTIONS[distribution][2], dtype=torch.float64)

    def replicate(n: int, generator: Generator) -> Tensor:
        logits = start.expand(n, *start.shape).clone().requires_grad_()
        q = make(distribution, logits, cls)
        value = hg.expectation(bent, q, estimator, num_samples=samples, generator=generator)
        return torch.autograd.grad(value.sum(), logits)[0]

    return replicate


def exact(distribution: str) -> Tensor:
    return gradients(distribution, hg.Exact())(1, Generator())[0]


@each
@every_distribution
def test_they_are_unbiased(distribution: str, estimator: str, generator: Generator) -> None:
    # what training adds to the backward pass changes no gradient, which another suite shows
    own = ESTIMATORS[estimator]().eval()
    # Plackett-Luce's mean, which a critic sees, costs a quadrature for each distribution
    replicate = gradients(distribution, own, samples=8 if distribution == "Plackett-Luce" else 2)
    right = exact(distribution)
    verdict = unbiased(replicate, right, generator=generator, delta=0.1 * float(right.abs().max()))
    assert verdict, verdict.figures


@each
def test_one_sample_while_they_learn_is_unbiased(estimator: str, generator: Generator) -> None:
    replicate = gradients("bits", ESTIMATORS[estimator](), samples=1)
    verdict = unbiased(replicate, exact("bits"), generator=generator)
    assert verdict, verdict.figures


@pytest.mark.parametrize(
    "make_one",
    [
        lambda: hg.REBAR(temperature=0.1, scale=1.0),
        lambda: hg.REBAR(temperature=3.0, scale=-0.7),
        lambda: hg.REBAR(scale=0.0),
        lambda: hg.RELAX(lambda y, mean: 3 * (y - 0.2).flatten(2).pow(3).sum(-1)),
        lambda: hg.RELAX(hg.Critic((2,), hidden=8).double()),
    ],
    ids=["cold", "hot, negative", "REINFORCE", "a function", "Critic"],
)
def test_whatever_is_subtracted(make_one: Callable[[], Any], generator: Generator) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        own = make_one()
    for parameter in own.parameters():
        # a critic of zeros subtracts nothing
        parameter.data += 0.3 * (parameter.data == 0) * (parameter.ndim > 0)
    verdict = unbiased(gradients("bits", own), exact("bits"), generator=generator)
    assert verdict, verdict.figures


# Mistakes in the noise: distributions whose `couple` is wrong.


Again = Callable[[Any], Coupled]
"""The same noise coupled at another temperature."""


def detached(pair: Coupled, again: Again, temperature: Any) -> Coupled:
    """The conditional noise isn't followed down to the logits."""
    return pair._replace(relaxed_given=pair.relaxed_given.detach())


def same_noise(pair: Coupled, again: Again, temperature: Any) -> Coupled:
    """The second is the first: noise that isn't drawn anew."""
    return pair._replace(relaxed_given=pair.relaxed)


def hotter(pair: Coupled, again: Again, temperature: Any) -> Coupled:
    """The second relaxed sample has another distribution than the first."""
    return pair._replace(relaxed_given=again(2 * temperature).relaxed_given)


def miscoupled(distribution: str, mistake: Any) -> type:
    own, options, _, _ = DISTRIBUTIONS[distribution]

    class Miscoupled(own):  # type: ignore[misc]
        def with_params(self, params: Mapping[str, Tensor]) -> Any:
            return type(self)(logits=params["logits"], validate_args=False, **options)

        def couple(self, sample_shape: Any, temperature: Any, *, generator: Any = None) -> Coupled:
            same = generator.clone_state()
            pair = super().couple(sample_shape, temperature, generator=generator)
            couple = super().couple
            return mistake(pair, lambda t: couple(sample_shape, t, generator=same), temperature)

    return Miscoupled


@pytest.mark.parametrize("mistake", [detached, same_noise, hotter])
@pytest.mark.parametrize(
    ("distribution", "estimator"),
    [*((distribution, "REBAR") for distribution in DISTRIBUTIONS), ("bits", "RELAX")],
)
def test_wrong_noise_is_seen(
    distribution: str, estimator: str, mistake: Any, generator: Generator
) -> None:
    wrong = gradients(
        distribution, ESTIMATORS[estimator]().eval(), miscoupled(distribution, mistake)
    )
    right = exact(distribution)
    assert not unbiased(wrong, right, generator=generator, delta=0.1 * float(right.abs().max()))


# Mistakes in how the terms are put together.

Cotangents = Sequence[Tensor]
TERMS: dict[str, Callable[[Cotangents], list[Tensor]]] = {
    "the scale's sign": lambda c: [c[0], -c[1], -c[2]],
    "no score": lambda c: [torch.zeros_like(c[0]), c[1], c[2]],
    "no second term": lambda c: [c[0], c[1], torch.zeros_like(c[2])],
    "half the score": lambda c: [c[0] / 2, c[1], c[2]],
}


@pytest.mark.parametrize("mistake", TERMS)
@each
def test_a_wrong_term_is_seen(
    estimator: str, mistake: str, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = control_variate.pullback

    def wrong_pullback(*args: Any, **options: Any) -> Any:
        outputs, pull, rest = right(*args, **options)
        return outputs, lambda cotangents: pull(TERMS[mistake](cotangents)), rest

    monkeypatch.setattr(control_variate, "pullback", wrong_pullback)
    wrong = gradients("bits", ESTIMATORS[estimator]().eval())
    assert not unbiased(wrong, exact("bits"), generator=generator)


# Learning.


def loss_and_slopes(
    own: nn.Module, distribution: str, generator: Generator, weight: float = 1.0
) -> tuple[float, list[Tensor]]:
    """The summed square of fixed noise's gradients, and what the backward pass gives for it."""
    start = torch.tensor(DISTRIBUTIONS[distribution][2], dtype=torch.float64)
    logits = start.expand(6, *start.shape).clone().requires_grad_()
    own.zero_grad()
    value = hg.expectation(
        bent, make(distribution, logits), own, num_samples=2, generator=generator.clone_state()
    )
    (weight * value).sum().backward()
    assert logits.grad is not None
    slopes = [p.grad.clone() for p in own.parameters() if p.grad is not None]
    return float(logits.grad.square().sum()), slopes


@pytest.mark.parametrize(
    ("distribution", "moved"),
    [
        ("bits", ["temperature", "control"]),
        ("categories", ["temperature", "control"]),
        # the relaxed k-hot vector has kinks, and the gradient jumps where one of them is crossed
        ("Plackett-Luce", ["control"]),
    ],
)
@each
def test_the_slope_is_that_of_the_gradients_square(
    distribution: str, estimator: str, moved: list[str], generator: Generator
) -> None:
    own = ESTIMATORS[estimator]().double()
    _, slopes = loss_and_slopes(own, distribution, generator)
    parameters = dict(zip(["temperature", "control"], own.parameters(), strict=True))
    known = dict(zip(["temperature", "control"], slopes, strict=True))
    step = 1e-5
    for name in moved:
        around = []
        for move in (step, -step):
            parameters[name].data += move
            around.append(loss_and_slopes(own, distribution, generator)[0])
            parameters[name].data -= move
        by_hand = (around[0] - around[1]) / (2 * step)
        assert float(known[name]) == pytest.approx(by_hand, rel=1e-5, abs=1e-6)


@each
@every_distribution
def test_the_losss_sign_does_not_matter_and_its_size_does(
    distribution: str, estimator: str, generator: Generator
) -> None:
    own = ESTIMATORS[estimator]()
    _, plain = loss_and_slopes(own, distribution, generator)
    _, upside_down = loss_and_slopes(own, distribution, generator, weight=-1.0)
    _, thrice = loss_and_slopes(own, distribution, generator, weight=3.0)
    torch.testing.assert_close(upside_down, plain)
    torch.testing.assert_close(thrice, [3 * slope for slope in plain])


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_second_backward_gives_as_much_again(estimator: str, generator: Generator) -> None:
    own = ESTIMATORS[estimator]()
    logits = torch.zeros(5, 2, dtype=torch.float64, requires_grad=True)
    value = hg.expectation(bent, make("bits", logits), own, generator=generator).sum()
    value.backward(retain_graph=True)
    once = [p.grad.clone() for p in own.parameters()]
    value.backward()
    torch.testing.assert_close([p.grad for p in own.parameters()], [2 * slope for slope in once])


def rising(z: Tensor) -> Tensor:
    """Of one bit: relaxed samples between its states have costs between theirs."""
    return (z + 0.5).square().sum(-1)


def variance_test_gradients(own: Any, generator: Generator) -> Tensor:
    logits = torch.full((20_000, 1), 0.3, dtype=torch.float64, requires_grad=True)
    q = hg.Bernoulli(logits=logits).to_event(1)
    value = hg.expectation(rising, q, own, generator=generator.clone_state())
    return torch.autograd.grad(value.sum(), logits)[0]


@pytest.mark.parametrize("sign", [1.0, -1.0], ids=["minimised", "maximised"])
@pytest.mark.parametrize(
    "start",
    [
        lambda: hg.REBAR(temperature=2.0, scale=0.1),
        lambda: hg.RELAX(hg.Critic((1,), hidden=8)),
    ],
    ids=["REBAR", "RELAX"],
)
def test_training_lowers_the_variance(
    start: Callable[[], Any], sign: float, generator: Generator
) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        own = start()
    before = variance_test_gradients(own.eval(), generator)
    own.train()
    optimiser = torch.optim.Adam(own.parameters(), lr=0.03)
    logits = torch.full((200, 1), 0.3, dtype=torch.float64, requires_grad=True)
    for _ in range(150):
        optimiser.zero_grad()
        q = hg.Bernoulli(logits=logits).to_event(1)
        value = hg.expectation(rising, q, own, generator=generator)
        (sign * value.mean()).backward()
        optimiser.step()
    after = variance_test_gradients(own.eval(), generator)
    assert log_ratio_below(after, before) < -0.5
    assert log_ratio_below(before, after) > 0


def test_a_critic_sees_relaxed_samples_and_the_mean(generator: Generator) -> None:
    seen = []

    def critic(y: Tensor, mean: Tensor) -> Tensor:
        seen.append((y.detach(), mean))
        return y.sum(-1)

    logits = torch.tensor([[0.5, -1.0], [2.0, 0.0]], requires_grad=True)
    q = hg.Bernoulli(logits=logits).to_event(1)
    hg.expectation(lambda z: z.sum(-1), q, hg.RELAX(critic), num_samples=3, generator=generator)
    ((y, mean),) = seen
    assert y.shape == mean.shape == (6, 2, 2)
    assert ((y > 0) & (y < 1)).all()
    assert not mean.requires_grad
    torch.testing.assert_close(mean, logits.detach().sigmoid().expand(6, 2, 2))


def test_parts_may_learn_a_temperature_each(generator: Generator) -> None:
    logits = torch.randn(50, 2, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    rebar = hg.REBAR(torch.tensor([[0.5], [0.2]]))
    q = hg.OneHotCategorical(logits=logits).to_event(1)
    hg.expectation(lambda z: (z[..., 0].sum(-1) + 0.3) ** 3, q, rebar, generator=generator).sum(
        0
    ).backward()
    slope = rebar.log_temperature.grad
    assert slope is not None
    assert slope.shape == (2, 1)
    assert (slope != 0).all()


def test_one_module_may_be_used_in_two_layers(generator: Generator) -> None:
    """The inner one's f holds the outer one's graph, where the same temperature is at work."""
    rebar = hg.REBAR()
    weight = torch.tensor([[0.9, -1.2], [-0.5, 0.7]], dtype=torch.float64)

    def gradient(own: Any) -> Tensor:
        logits = torch.tensor([[0.6, -1.1]] * 4, dtype=torch.float64, requires_grad=True)
        same = generator.clone_state()

        def f(z: Tensor) -> Tensor:
            below = hg.Bernoulli(logits=z @ weight).to_event(1)
            return hg.expectation(
                lambda y: (y.sum(-1) - z[..., 0]).square(), below, own, generator=same
            )

        value = hg.expectation(f, make("bits", logits), own, num_samples=2, generator=same)
        (result,) = torch.autograd.grad(value.sum(), logits, retain_graph=True)
        value.sum().backward()
        return result

    # the outer one's f can't be differentiated twice, by which it would learn
    with pytest.warns(UserWarning, match="expectation of its own.*learns nothing"):
        learning = gradient(rebar)
    assert rebar.log_temperature.grad is not None
    # what it learns by changes nothing in the estimate
    torch.testing.assert_close(gradient(rebar.eval()), learning, rtol=0, atol=1e-14)


@each
def test_logits_may_come_from_inference_mode(estimator: str, generator: Generator) -> None:
    with torch.inference_mode():
        logits = torch.zeros(5, 2, dtype=torch.float64)
    own = ESTIMATORS[estimator]()
    hg.expectation(bent, make("bits", logits), own, generator=generator).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in own.parameters())
