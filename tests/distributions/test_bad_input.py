"""What users may pass by mistake, and the one line that they get."""

import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import distributions as td

import hotgrad as hg

INF, NAN = math.inf, math.nan

PARAMETERS: list[tuple[type, dict[str, Any], str]] = [
    (hg.OneHotCategorical, {}, "exactly one of probs and logits; got neither"),
    (
        hg.OneHotCategorical,
        {"probs": torch.ones(1), "logits": torch.ones(1)},
        "exactly one of probs and logits; got both",
    ),
    (hg.OneHotCategorical, {"logits": torch.tensor([1, 2])}, "logits.float()"),
    (hg.OneHotCategorical, {"probs": torch.tensor([1j])}, "probs must be floating point"),
    (hg.OneHotCategorical, {"probs": torch.tensor([1, 1])}, "the row sums to 2"),
    (hg.OneHotCategorical, {"logits": [0.0, 1.0]}, "logits must be a tensor, got list"),
    (hg.OneHotCategorical, {"logits": torch.tensor(0.0)}, "needs a last dimension"),
    (hg.OneHotCategorical, {"logits": torch.zeros(2, 0)}, "has no categories"),
    (hg.OneHotCategorical, {"logits": torch.tensor([[0.0, NAN]])}, "In row (0,): nan"),
    (hg.OneHotCategorical, {"logits": torch.tensor([INF, 0.0])}, "In the row: inf"),
    (
        hg.OneHotCategorical,
        {"logits": torch.tensor([[0.0, 1.0], [-INF, -INF]])},
        "1 of 2 rows are not. In row (1,): all -inf",
    ),
    (
        hg.OneHotCategorical,
        {"probs": torch.tensor([[0.5, 0.5], [0.5, 0.4]])},
        "row (1,) sums to 0.9. Divide by the sum, or give the logarithms as logits",
    ),
    (hg.OneHotCategorical, {"probs": torch.tensor([1.5, -0.5])}, "[0, 1], got 1.5 at (0,)"),
    (hg.OneHotCategorical, {"probs": torch.tensor([NAN, 1.0])}, "[0, 1], got nan at (0,)"),
    (hg.Bernoulli, {}, "got neither"),
    (hg.Bernoulli, {"logits": torch.tensor([0, 1])}, "got dtype torch.int64"),
    (hg.Bernoulli, {"logits": "0"}, "logits must be a tensor, got str"),
    (hg.Bernoulli, {"probs": 2}, "[0, 1], got 2.0"),
    (hg.Bernoulli, {"logits": torch.tensor([0.0, NAN])}, "1 of 2 are, the first at (1,)"),
    (hg.Bernoulli, {"probs": torch.tensor([0.5, 1.01])}, "at (1,)"),
    (hg.Bernoulli, {"probs": -0.1}, "[0, 1], got -0.1"),
    (hg.Concrete, {"temperature": 0.0, "logits": torch.zeros(2)}, "positive and finite, got 0.0"),
    (hg.Concrete, {"temperature": 0.5, "logits": torch.tensor([NAN, 0.0])}, "In the row: nan"),
    (hg.Concrete, {"temperature": 0.5, "probs": torch.tensor([0.3, 0.3])}, "must sum to 1"),
    (hg.BinaryConcrete, {"temperature": NAN, "logits": torch.zeros(2)}, "got nan"),
    (hg.BinaryConcrete, {"temperature": 0.5, "logits": torch.tensor([INF])}, "finite logits"),
    (hg.BinaryConcrete, {"temperature": 0.5, "logits": torch.tensor([NAN])}, "must not be NaN"),
    (hg.HardConcrete, {"temperature": -1, "logits": torch.zeros(2)}, "got -1"),
    (hg.HardConcrete, {"temperature": 0.5, "logits": torch.tensor([1])}, "got dtype torch.int64"),
    (
        hg.Concrete,
        {"temperature": torch.ones(4, 1), "logits": torch.zeros(5, 3)},
        "broadcasts against the logits; got one of shape (4, 1) for logits of shape (5, 3)",
    ),
    (hg.BinaryConcrete, {"temperature": torch.ones(4), "logits": torch.zeros(3)}, "shape (4,) for"),
    (hg.HardConcrete, {"temperature": torch.ones(4), "logits": torch.zeros(3)}, "shape (4,) for"),
    (
        hg.Concrete,
        {"temperature": np.ones(2), "logits": torch.zeros(2)},
        "tensor, got an array of shape (2,)",
    ),
    (hg.Concrete, {"temperature": np.True_, "logits": torch.zeros(2)}, "tensor, got True"),
]

SUBSETS: list[tuple[Any, Any, str]] = [
    (torch.tensor([1, 2]), 1, "logits must be floating point, got dtype torch.int64"),
    ([0.0, 1.0], 1, "logits must be a tensor, got list"),
    (torch.tensor(0.0), 0, "needs a last dimension"),
    (torch.zeros(2, 0), 0, "its shape is (2, 0)"),
    (torch.zeros(3), 4, "k must be an integer from 0 to n = 3, the number of items; got 4"),
    (torch.zeros(3), -1, "k must be an integer from 0 to n = 3, the number of items; got -1"),
    (torch.zeros(3), 1.0, "k must be an integer from 0 to n = 3, the number of items; got 1.0"),
    (torch.zeros(3), True, "k must be an integer from 0 to n = 3, the number of items; got True"),
    (torch.zeros(3), None, "k must be an integer from 0 to n = 3, the number of items; got None"),
    (torch.zeros(3), "2", "k must be an integer from 0 to n = 3, the number of items; got '2'"),
    (torch.zeros(3), torch.tensor(2), "k must be one Python integer, got a tensor of shape ()"),
    (
        torch.zeros(2, 3),
        torch.tensor([1, 2]),
        "got a tensor of shape (2,). All rows have one k",
    ),
    (
        torch.tensor([[0.0, NAN, INF]]),
        1,
        "finite, or -inf for a masked item; 2 of 3 are not, the first nan at (0, 1)",
    ),
    (torch.tensor([INF, 0.0]), 1, "1 of 2 are not, the first inf at (0,)"),
    (
        torch.tensor([[0.0, 1.0, 2.0], [0.0, -INF, -INF], [-INF, -INF, -INF]]),
        2,
        "k = 2 items can't be chosen where fewer are unmasked: row (1,) has 1 logits above -inf "
        "(2 of 3 rows have fewer than k). Unmask items or lower k.",
    ),
    (torch.tensor([-INF, 0.0]), 2, "fewer are unmasked: the row has 1 logits above -inf"),
]
KINDS: list[Any] = [hg.KSubset, hg.PlackettLuceSubset]


@pytest.mark.parametrize(("make", "arguments", "message"), PARAMETERS)
def test_bad_parameters(make: type, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make(**arguments)


@pytest.mark.parametrize("make", [hg.OneHotCategorical, hg.Bernoulli])
def test_values_are_not_looked_at_without_validation(make: Any) -> None:
    q = make(logits=torch.full((2,), NAN), validate_args=False)
    assert q.logits.isnan().all()
    with pytest.raises(ValueError, match="must be floating point"):
        make(logits=torch.tensor([1, 2]), validate_args=False)


def test_probabilities_that_miss_one_by_rounding_are_taken() -> None:
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        probs = torch.rand(20, 1000, generator=torch.Generator().manual_seed(0)).softmax(-1)
        q = hg.OneHotCategorical(probs=probs.to(dtype))
        torch.testing.assert_close(
            q.mean.double().sum(-1), torch.ones(20, dtype=torch.float64), atol=0.02, rtol=0
        )


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize(("logits", "k", "message"), SUBSETS)
def test_bad_subsets(make: Any, logits: Any, k: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make(logits, k)


@pytest.mark.parametrize("make", KINDS)
def test_whatever_counts_as_an_integer_is_taken_for_k(make: Any) -> None:
    class Index:
        def __index__(self) -> int:
            return 2

    q = make(torch.zeros(3), Index())
    assert type(q.k) is int
    assert q.sample().sum() == 2


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1.0, 1.0, 0.0, 0.0], "vectors with 1 ones and 3 zeros; the row has 2 ones and 2 zeros"),
        ([0.5, 0.5, 0.0, 0.0], "vectors with 1 ones and 3 zeros; the row has 0 ones and 2 zeros"),
        ([2.0, -1.0, 0.0, 0.0], "the row has 0 ones and 2 zeros"),
        ([NAN, 1.0, 0.0, 0.0], "the row has 1 ones and 2 zeros"),
        ([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]], "row (1,) has 0 ones and 4 zeros"),
        ([1.0, 0.0, 0.0], "expects values that end in (4,), got (3,)"),
    ],
)
def test_values_that_are_not_k_hot_are_refused(make: Any, value: Any, message: str) -> None:
    q = make(torch.zeros(4), 1)
    with pytest.raises(ValueError, match=re.escape(f"{make.__name__} expects")) as caught:
        q.log_prob(torch.tensor(value))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (torch.tensor([0]), "order must hold k = 2 indices (int64) in its last dimension, got"),
        (torch.tensor([0.0, 1.0]), "got torch.float32 of shape (2,)"),
        (torch.tensor(1), "got torch.int64 of shape ()"),
        (torch.tensor([[0, 1], [2, 2]]), "order must hold distinct indices from 0 to 3"),
        (torch.tensor([0, 4]), "order must hold distinct indices from 0 to 3"),
        (torch.tensor([-1, 2]), "order must hold distinct indices from 0 to 3"),
    ],
)
def test_bad_orders(order: Any, message: str) -> None:
    q = hg.PlackettLuceSubset(torch.zeros(4), 2)
    for use in (q.log_prob_of_order, lambda x: q.conditional_noise_of_order(x, q.draw_noise())):
        with pytest.raises(ValueError, match=re.escape(message)):
            use(order)


@pytest.mark.parametrize("make", KINDS)
def test_values_of_subsets_are_not_looked_at_without_validation(make: Any) -> None:
    q = make(torch.full((2,), NAN), 1, validate_args=False)
    assert q.mean.isnan().all()
    make(torch.zeros(2), 1, validate_args=False).log_prob(torch.tensor([0.5, 0.5]))
    with pytest.raises(ValueError, match="k must be an integer from 0 to n = 2"):
        make(torch.zeros(2), 3, validate_args=False)


@pytest.mark.parametrize("number", [1.0, np.float32(1), 1, [1.0], None], ids=repr)
@pytest.mark.parametrize(
    "q",
    [
        hg.Bernoulli(logits=torch.zeros(3)),
        hg.OneHotCategorical(logits=torch.zeros(3), validate_args=False),
        hg.KSubset(torch.zeros(3), 1),
        hg.PlackettLuceSubset(torch.zeros(3), 1),
        hg.Concrete(0.5, logits=torch.zeros(3)),
        hg.BinaryConcrete(0.5, logits=torch.zeros(3), validate_args=False),
        hg.HardConcrete(0.5, logits=torch.zeros(3)),
        hg.Bernoulli(logits=torch.zeros(3)).to_event(1),
    ],
    ids=repr,
)
def test_a_value_is_a_tensor(q: Any, number: Any) -> None:
    with pytest.raises(ValueError, match=r"log_prob takes a tensor, got .*torch\.tensor\(value\)"):
        q.log_prob(number)


HALF: list[Any] = [np.float32(0.5), np.float64(0.5), np.array(0.5), np.array(0.5, dtype=np.float32)]


@pytest.mark.parametrize("half", HALF, ids=lambda half: f"{type(half).__name__}-{half.dtype}")
def test_numbers_of_numpy_are_taken_as_pythons(half: Any) -> None:
    logits = torch.zeros(3)
    for estimator in (hg.GumbelSoftmax, hg.ReinMax, hg.GumbelRao):
        assert repr(estimator(half)) == repr(estimator(0.5))
    for schedule in (hg.schedules.Constant(half), hg.schedules.Exponential(initial=half)):
        assert type(schedule(0)) is float
    for relaxed in (hg.Concrete, hg.BinaryConcrete, hg.HardConcrete):
        assert relaxed(half, logits=logits).temperature == 0.5
    assert hg.REBAR(half).temperature.item() == pytest.approx(0.5)
    assert hg.Bernoulli(probs=half).mean == hg.Bernoulli(probs=0.5).mean == 0.5
    for draw in (hg.gumbel_softmax, hg.binary_concrete):
        seeds = (torch.Generator().manual_seed(0), torch.Generator().manual_seed(0))
        ours = draw(logits, half, generator=seeds[0])
        assert torch.equal(ours, draw(logits, 0.5, generator=seeds[1]))
    assert hg.m_hot(logits, 2, half).shape == (3,)
    assert hg.PerturbedMAP(scale=half).scale == 0.5


@pytest.mark.parametrize("two", [np.int64(2), np.int32(2), np.array(2)], ids=repr)
def test_whole_numbers_of_numpy_are_taken_as_pythons(two: Any) -> None:
    q = hg.Bernoulli(logits=torch.zeros(2, 3)).to_event(two)
    assert q.event_shape == (2, 3)
    assert type(hg.KSubset(torch.zeros(3), two).k) is int
    assert hg.m_hot(torch.zeros(3), two, hard=True).sum() == 2
    assert type(hg.Exact(budget=two).budget) is int
    value = hg.expectation(lambda z: z.sum((-1, -2)), q, hg.ScoreFunction(), num_samples=two)
    assert value.shape == ()
    assert hg.importance_bound(lambda z: z.sum((-1, -2)), q, hg.VIMCO(), two).shape == ()
    soft = hg.Concrete(0.5, logits=torch.zeros(3))
    assert hg.monte_carlo_kl(soft, soft, num_samples=two) == 0


def test_whole_probs_are_taken_where_torch_takes_them() -> None:
    for probs in (torch.tensor([0, 1]), torch.tensor([False, True])):
        for ours in (hg.Bernoulli(probs=probs), hg.OneHotCategorical(probs=probs)):
            assert ours.sample().tolist() == [0.0, 1.0]
            assert ours.mean.dtype == torch.get_default_dtype()
    for number in (0, 1):
        assert torch.equal(hg.Bernoulli(number).mean, td.Bernoulli(number).mean)
    assert hg.Bernoulli(logits=0).mean == 0.5


@pytest.mark.parametrize(
    ("make", "states"),
    [
        (lambda: hg.Bernoulli(logits=torch.zeros(20_000)).to_event(1), "10^6021"),
        (lambda: hg.KSubset(torch.zeros(10**6), 5 * 10**5), "10^301027"),
        (lambda: hg.Joint(a=hg.Bernoulli(logits=torch.zeros(20_000)).to_event(1)), "10^6021"),
    ],
)
def test_more_states_than_python_writes_out(make: Any, states: str) -> None:
    """Python refuses to print a whole number of more than 4,300 digits."""
    q = make()
    for ask in (q.enumerate_support, lambda: hg.expectation(lambda z: z, q, hg.Exact())):
        with pytest.raises(
            ValueError, match=f"has about {re.escape(states)} states, more than the"
        ):
            ask()


def test_a_list_of_states_may_not_fill_the_memory() -> None:
    message = r"50,000 states, .*9\.3 GiB.* 1 GiB"
    for q in (hg.OneHotCategorical(logits=torch.zeros(50_000)), hg.KSubset(torch.zeros(50_000), 1)):
        with pytest.raises(ValueError, match=message):
            q.enumerate_support()
