"""The entry point: what it takes, what it refuses, and what it says then."""

from typing import Any

import pytest
import torch
import torch.distributions as td
from torch import Tensor

import hotgrad as hg
from hotgrad.distributions import as_distribution

SCORE = hg.ScoreFunction()


def bits(*shape: int, **options: Any) -> hg.Bernoulli:
    return hg.Bernoulli(logits=torch.zeros(shape, requires_grad=True), **options)


def first(z: Tensor) -> Tensor:
    return z[..., 0]


@pytest.mark.parametrize(
    ("f", "why"),
    [
        (lambda z: z, r"shape \(2, 4\) \(num_samples, \*batch\), .* got \(2, 4, 3\)"),
        (lambda z: z.sum(), r"shape \(2, 4\) .* got \(\)"),
        (lambda z: z.mean((0, 2)), r"shape \(2, 4\) .* got \(4,\)"),
        (lambda z: z[..., :1], r"shape \(2, 4\) .* got \(2, 4, 1\)"),
        (lambda z: 1.0, r"a tensor of shape \(2, 4\), got float"),
        (lambda z: None, r"a tensor of shape \(2, 4\), got NoneType"),
        (lambda z: first(z).long(), r"floating point values, got torch.int64. Convert"),
        (lambda z: first(z) > 0, r"floating point values, got torch.bool"),
        (lambda z: first(z) * 1j, r"floating point values, got torch.complex64"),
    ],
)
@pytest.mark.parametrize(
    "estimator", [SCORE, hg.GumbelSoftmax(), hg.StraightThrough()], ids=lambda e: type(e).__name__
)
def test_fs_output_must_be_one_float_per_sample(f: Any, why: str, estimator: hg.Estimator) -> None:
    with pytest.raises(ValueError, match=why):
        hg.expectation(f, bits(4, 3).to_event(1), estimator, num_samples=2)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize(
    "estimator", [SCORE, hg.GumbelSoftmax(), hg.ReinMax()], ids=lambda e: type(e).__name__
)
def test_non_finite_values_of_f_are_named(estimator: hg.Estimator, bad: float) -> None:
    def f(z: Tensor) -> Tensor:
        values = first(z).clone()
        values[1, 2] = values[1, 3] = bad
        return values

    why = rf"non-finite values: 2 of 8, the first {bad} at sample 1, batch element \(2,\)\."
    with pytest.raises(ValueError, match=why):
        hg.expectation(f, bits(4, 3).to_event(1), estimator, num_samples=2)


def test_a_non_finite_value_without_a_batch_is_named() -> None:
    noise = torch.tensor([torch.nan, 0.0])
    with pytest.raises(ValueError, match=r"1 of 2, the first nan at sample 0\.$"):
        hg.expectation(lambda z: first(z) + noise, bits(3).to_event(1), SCORE, num_samples=2)


@pytest.mark.parametrize("events", [0, 1])
def test_validate_args_turns_the_look_at_values_off(events: int) -> None:
    q = bits(4, 3, validate_args=False).to_event(events)

    def f(z: Tensor) -> Tensor:
        return torch.full(z.shape[: z.ndim - events], torch.nan)

    assert hg.expectation(f, q, SCORE, num_samples=2).isnan().all()


@pytest.mark.parametrize("num_samples", [0, -1, 1.5, 2.0, True, "2"])
def test_num_samples_is_a_positive_integer(num_samples: Any) -> None:
    with pytest.raises(ValueError, match="num_samples must be an integer of at least 1, got"):
        hg.expectation(first, bits(3).to_event(1), hg.StraightThrough(), num_samples=num_samples)


@pytest.mark.parametrize(
    "f",
    [
        lambda z: z.square().sum(-1),
        # bits, each a part of z
        lambda z: z.square().sum((-1, -2)),
    ],
    ids=["a batch", "one event"],
)
@pytest.mark.parametrize("ndims", [1, 2])
def test_parts_left_in_the_batch_are_told_how_to_join_the_event(f: Any, ndims: int) -> None:
    q = bits(2, 5, 3)
    z = q.sample((4,))
    lacking = z.ndim - f(z).ndim
    which = [r"its last dimensions, \(3,\), are", r"its last dimensions, \(5, 3\), are"]
    why = (
        rf"q has the batch \(2, 5, 3\): if {which[lacking - 1]} parts of one z, use "
        rf"q\.to_event\({lacking}\), or Independent\(q, {lacking}\)"
    )
    for ask in (
        lambda: hg.expectation(f, q, hg.DisARM()),
        lambda: hg.importance_bound(f, q, hg.VIMCO(), 2),
        lambda: hg.importance_bound(f, q, hg.DisARM(), 2),
        lambda: hg.audit(f, q, [hg.DisARM()]),
    ):
        with pytest.raises(ValueError, match=why):
            ask()
    if ndims == lacking:
        assert hg.expectation(f, q.to_event(ndims), hg.DisARM()).shape == (2, 5, 3)[: 3 - ndims]


def test_a_whole_batch_of_parts_is_told_so_too() -> None:
    why = r"q has the batch \(3,\): if these are parts of one z, use q\.to_event\(1\)"
    for f, q in (
        (lambda z: z.sum(-1), bits(3)),
        (lambda z: z["bits"].sum(-1), hg.Joint(bits=bits(3))),
    ):
        with pytest.raises(ValueError, match=why):
            hg.expectation(f, q, SCORE)


def test_other_wrong_shapes_are_not_told_of_events() -> None:
    for f in (lambda z: z.sum(), lambda z: z.sum((0, 1)), lambda z: z[:1, 0]):
        with pytest.raises(ValueError, match="one value per sample") as refusal:
            hg.expectation(f, bits(4, 3), SCORE)
        assert "to_event" not in str(refusal.value)


@pytest.mark.parametrize("f", [None, 3.0, "f", torch.zeros(3), torch.nn.ReLU], ids=repr)
def test_f_is_a_function(f: Any) -> None:
    q = bits(3).to_event(1)
    for name, ask in (
        ("f", lambda: hg.expectation(f, q, SCORE)),
        ("f", lambda: hg.audit(f, q, [SCORE])),
        ("log_weight", lambda: hg.importance_bound(f, q, SCORE, 2)),
    ):
        with pytest.raises(ValueError, match=f"^{name} must be a function of z, got .") as refusal:
            ask()
        assert len(str(refusal.value)) < 120


@pytest.mark.parametrize("generator", [3, "cpu", torch.zeros(3), torch.Generator], ids=repr)
def test_the_generator_is_torchs(generator: Any) -> None:
    q = bits(3).to_event(1)
    why = r"generator must be a torch\.Generator or None, got .*manual_seed\(seed\)"
    for ask in (
        lambda: hg.expectation(first, q, SCORE, generator=generator),
        lambda: hg.expectation(first, q, hg.Exact(), generator=generator),
        lambda: hg.audit(first, q, [SCORE], generator=generator),
        lambda: hg.importance_bound(first, q, SCORE, 2, generator=generator),
    ):
        with pytest.raises(ValueError, match=why):
            ask()


@pytest.mark.parametrize("estimator", [hg.GumbelSoftmax, hg.ScoreFunction, "exact", None, 0.5])
def test_the_estimator_is_an_object(estimator: Any) -> None:
    with pytest.raises(ValueError, match=r"must be an estimator object such as .*, got"):
        hg.expectation(first, bits(3).to_event(1), estimator)


@pytest.mark.parametrize(
    ("q", "why"),
    [
        (torch.zeros(3), "must be a distribution, got Tensor"),
        (hg.Bernoulli, "must be a distribution, got type"),
        (td.Categorical(logits=torch.zeros(3)), "samples are integers. Use OneHotCategorical"),
        (
            hg.Concrete(0.5, logits=torch.zeros(3)),
            "Concrete, a relaxed .*OneHotCategorical",
        ),
        (hg.BinaryConcrete(0.5, logits=torch.zeros(3)), "BinaryConcrete, a relaxed distribution"),
        (hg.BinaryConcrete(0.5, logits=torch.zeros(3)).to_event(1), "BinaryConcrete, a relaxed"),
        (td.RelaxedBernoulli(torch.tensor(0.5), logits=torch.zeros(3)), "a relaxed"),
        (
            td.RelaxedOneHotCategorical(torch.tensor(0.5), logits=torch.zeros(3)),
            "a relaxed distribution",
        ),
        (
            td.Normal(torch.zeros(3), 1.0),
            r"Normal, a continuous .*use q\.rsample\(\)",
        ),
        (td.Independent(td.Normal(torch.zeros(3), 1.0), 1), "Normal, a continuous distribution"),
        (hg.HardConcrete(0.5, logits=torch.zeros(3)), "HardConcrete, a continuous distribution"),
        (hg.Gumbel(torch.zeros(3), torch.ones(3)).to_event(1), "Gumbel, a continuous distribution"),
        (
            td.Poisson(torch.ones(3)),
            "q is Poisson. Of torch's .* takes OneHotCategorical",
        ),
        (td.Binomial(3, torch.full((3,), 0.5)), "q is Binomial. Of torch's distributions"),
        (td.Independent(td.Geometric(torch.full((3,), 0.5)), 1), "q is Geometric"),
    ],
    ids=lambda q: type(q).__name__,
)
@pytest.mark.parametrize(
    "estimator", [SCORE, hg.GumbelSoftmax(), hg.Exact()], ids=lambda e: type(e).__name__
)
def test_q_is_a_discrete_distribution_of_vectors(q: Any, why: str, estimator: hg.Estimator) -> None:
    with pytest.raises(ValueError, match=why):
        hg.expectation(first, q, estimator, num_samples=2)


@pytest.mark.parametrize(
    ("q", "states"),
    [
        (bits(17).to_event(1), "131,072"),
        (bits(200).to_event(1), "about 10.60"),
        (hg.OneHotCategorical(logits=torch.zeros(100_000)), "100,000"),
        (hg.OneHotCategorical(logits=torch.zeros(2, 100_000)).to_event(1), "100,000"),
        (hg.OneHotCategorical(logits=torch.zeros(6, 10)).to_event(1), "1,000,000"),
    ],
    ids=str,
)
def test_exact_refuses_a_support_beyond_its_budget(q: Any, states: str) -> None:
    with pytest.raises(ValueError, match=rf"{states}.* states, more than the budget of 65,536"):
        hg.expectation(first, q, hg.Exact())


def test_exacts_budget_can_be_raised() -> None:
    value = hg.expectation(first, bits(3, 4).to_event(1), hg.Exact(budget=16))
    torch.testing.assert_close(value, torch.full((3,), 0.5))
    with pytest.raises(ValueError, match="16 states, more than the budget of 15"):
        hg.expectation(first, bits(3, 4).to_event(1), hg.Exact(budget=15))


@pytest.mark.parametrize("bad", [torch.inf, torch.nan])
@pytest.mark.parametrize("events", [0, 1])
def test_exact_never_asks_f_about_a_state_that_cannot_happen(bad: float, events: int) -> None:
    logits = torch.tensor([[0.0, 1.0, -torch.inf], [-torch.inf, 0.5, 0.0]], requires_grad=True)
    cost = torch.tensor([[1.0, 2.0, bad], [bad, 3.0, 5.0]], requires_grad=True)

    def f(z: Tensor) -> Tensor:
        # two rows are two elements of the batch, or two parts of one event
        each = torch.where(z > 0, cost, 0.0).sum(-1)
        return each.flatten(each.ndim - events).sum(-1) if events else each

    hg.expectation(
        f, hg.OneHotCategorical(logits=logits).to_event(events), hg.Exact()
    ).sum().backward()
    # by hand, without the impossible ones: p_k, and p (1 - p) times the gap of the costs
    high = torch.tensor([1.0, 0.5]).sigmoid()
    p = torch.stack(
        [
            torch.stack([1 - high[0], high[0], torch.tensor(0.0)]),
            torch.stack([torch.tensor(0.0), high[1], 1 - high[1]]),
        ]
    )
    slope = high * (1 - high) * torch.tensor([1.0, -2.0])
    by_hand = torch.stack(
        [
            torch.stack([-slope[0], slope[0], torch.tensor(0.0)]),
            torch.stack([torch.tensor(0.0), slope[1], -slope[1]]),
        ]
    )
    torch.testing.assert_close(cost.grad, p)
    torch.testing.assert_close(logits.grad, by_hand)


def test_an_infinite_f_at_a_possible_state_is_refused() -> None:
    cost = torch.tensor([1.0, torch.inf])
    q = hg.OneHotCategorical(logits=torch.zeros(2))
    with pytest.raises(ValueError, match="1 of 2, the first inf at sample 1"):
        hg.expectation(lambda z: torch.where(z > 0, cost, 0.0).sum(-1), q, hg.Exact())


def test_reading_torchs_probs_does_not_change_the_distribution() -> None:
    # torch derives the other parameter when it is read, and keeps it: sigmoid(30) is 1 in float32
    q = td.Bernoulli(logits=torch.tensor(30.0))
    assert q.probs == 1
    assert as_distribution(q).logits == 30


@pytest.mark.parametrize("events", [0, 1])
def test_probabilities_of_0_and_1_in_torchs_distributions_stay_so(events: int) -> None:
    # torch clamps the logits it derives, which would let a masked category happen
    probs = torch.tensor([[0.25, 0.75, 0.0], [0.0, 0.0, 1.0]])
    one_hot = as_distribution(td.Independent(td.OneHotCategorical(probs=probs), events))
    torch.testing.assert_close(one_hot.mean, probs, rtol=0, atol=1e-7)
    assert torch.equal(one_hot.mean == 0, probs == 0)
    assert torch.equal(as_distribution(td.Bernoulli(probs=probs)).mean == 0, probs == 0)
    assert torch.equal(as_distribution(td.Bernoulli(probs=probs)).mean == 1, probs == 1)


@pytest.mark.parametrize("validate", [True, False])
def test_torchs_choice_of_validation_is_kept(validate: bool) -> None:
    q = td.Bernoulli(logits=torch.zeros(3), validate_args=validate)
    assert as_distribution(q)._validate_args is validate
    assert as_distribution(td.Independent(q, 1))._validate_args is validate


def test_our_distributions_and_subclasses_that_draw_for_themselves_stay_what_they_are() -> None:
    class Half(hg.Bernoulli):
        def sample(self, sample_shape: Any = (), *, generator: Any = None) -> Tensor:
            return torch.full((*sample_shape, *self.batch_shape), 1.0)

    ours, own = bits(3).to_event(1), Half(logits=torch.zeros(3))
    assert as_distribution(ours) is ours
    assert as_distribution(own) is own
    value = hg.expectation(lambda z: z, own, SCORE, num_samples=2)
    assert torch.equal(value, torch.ones(3))

    class Theirs(td.Bernoulli):
        def log_prob(self, value: Tensor) -> Tensor:
            return torch.zeros_like(value)

    with pytest.raises(ValueError, match=r"Theirs, .* subclass of hg.DiscreteDistribution"):
        hg.expectation(lambda z: z, Theirs(logits=torch.zeros(3)), SCORE, num_samples=2)


@pytest.mark.parametrize("estimator", [hg.GumbelSoftmax(), hg.MuProp(), hg.REBAR()])
def test_an_f_that_fails_between_the_vertices_is_told_why(estimator: hg.Estimator) -> None:
    q = hg.OneHotCategorical(logits=torch.zeros(4, 3, requires_grad=True))
    with pytest.raises(ValueError, match="within the support") as caught:
        hg.expectation(q.log_prob, q, estimator)
    (note,) = caught.value.__notes__
    assert note.startswith(f"{estimator.label} evaluates f between the vertices")
    assert "ScoreFunction()" in note


def test_another_estimators_f_fails_in_its_own_words() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        hg.expectation(lambda z: z / (1 // 0), bits(3).to_event(1), hg.StraightThrough())
    assert not hasattr(caught.value, "__notes__")
