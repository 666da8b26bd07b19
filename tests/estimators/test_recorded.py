"""What is written down to run later, or never: exported and traced graphs, fake tensors."""

from collections.abc import Callable

import pytest
import torch
from estimators.cases import ESTIMATORS, Probe, a_case_for
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

import hotgrad as hg


def drawn(logits: Tensor) -> tuple[Tensor, ...]:
    """By every function and distribution that draws, `(rows, 5)` for logits of that shape."""
    return (
        hg.gumbel_softmax(logits),
        hg.gumbel_softmax(logits, hard=True),
        hg.gumbel_softmax(logits.double(), 0.3, hard=True),
        hg.binary_concrete(logits, 0.3),
        hg.m_hot(logits, 2, hard=True),
        hg.OneHotCategorical(logits=logits).sample(),
        hg.Bernoulli(logits=logits).sample(),
        hg.KSubset(logits, 2).sample(),
        hg.PlackettLuceSubset(logits, 2).sample(),
    )


ONES = {0: 1, 1: 1, 2: 1, 4: 2, 5: 1, 7: 2, 8: 2}
"""What a row of them sums to, by their place."""


def assert_drawn(samples: tuple[Tensor, ...], rows: int) -> None:
    for place, sample in enumerate(samples):
        assert sample.shape == (rows, 5)
        assert bool(((sample >= 0) & (sample <= 1)).all())
        if place in ONES:
            total = torch.full((rows,), float(ONES[place]), dtype=sample.dtype)
            torch.testing.assert_close(sample.sum(-1), total)


class Net(nn.Module):
    """A model to export."""

    def __init__(self, function: Callable[[Tensor], tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.function = function

    def forward(self, logits: Tensor) -> tuple[Tensor, ...]:
        return self.function(logits)


def test_exported_for_any_number_of_rows() -> None:
    rows = {"logits": {0: torch.export.Dim("rows")}}
    exported = torch.export.export(Net(drawn), (torch.zeros(4, 5),), dynamic_shapes=rows).module()
    for count in (7, 1):
        assert_drawn(exported(torch.zeros(count, 5)), count)


@pytest.mark.parametrize("mode", ["real", "symbolic"])
def test_written_down_by_make_fx(mode: str) -> None:
    graph = make_fx(drawn, tracing_mode=mode)(torch.zeros(4, 5))
    rows = 7 if mode == "symbolic" else 4
    assert_drawn(graph(torch.zeros(rows, 5)), rows)


def test_tensors_without_values_have_shapes() -> None:
    with FakeTensorMode():
        fake = drawn(torch.zeros(4, 5))
    for samples in (fake, drawn(torch.zeros(4, 5, device="meta"))):
        assert [sample.shape for sample in samples] == [(4, 5)] * len(samples)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_gradients_of_fake_tensors(name: str) -> None:
    case = a_case_for(name)
    logits = case.logits((4,))
    q = case.make(logits)
    estimator, f = ESTIMATORS[name](q), Probe(q, torch.float64)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fake = mode.from_tensor(logits.detach()).requires_grad_()
        value = hg.expectation(f.values, case.make(fake), estimator, num_samples=2)
        (gradient,) = torch.autograd.grad(value.sum(), fake)
    assert value.shape == (4,)
    assert gradient.shape == logits.shape


# of shapes that are constants of the graph, as the number of categories is
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_traced_by_torch_jit_for_any_number_of_rows() -> None:
    traced = torch.jit.trace(drawn, torch.zeros(4, 5), check_trace=False)
    assert_drawn(traced(torch.zeros(7, 5)), 7)
    # drawn anew, and not a constant of the graph
    assert not torch.equal(traced(torch.zeros(7, 5))[0], traced(torch.zeros(7, 5))[0])


def test_the_drop_ins_are_traced_by_torch_jit_without_a_warning() -> None:
    for function in (hg.gumbel_softmax, hg.binary_concrete):
        for hard in (False, True):
            traced = torch.jit.trace(
                lambda x, function=function, hard=hard: function(x, 0.5, hard),
                torch.zeros(4, 5),
                check_trace=False,
            )
            assert traced(torch.zeros(7, 5)).shape == (7, 5)


def test_torch_jit_is_refused_where_gradients_are_computed() -> None:
    def value(logits: Tensor) -> Tensor:
        q = hg.Bernoulli(logits=logits)
        return hg.expectation(lambda z: z, q, hg.ScoreFunction(), num_samples=2)

    def bound(logits: Tensor) -> Tensor:
        q = hg.Bernoulli(logits=logits)
        return hg.importance_bound(q.log_prob, q, hg.ScoreFunction(), num_samples=2)

    for function in (value, bound):
        with pytest.raises(ValueError, match=r"torch.jit.trace can't .*: use torch.compile or"):
            torch.jit.trace(function, torch.zeros(4))


@pytest.mark.usefixtures("forked_rng")
@pytest.mark.parametrize(("randomness", "distinct"), [("same", 1), ("different", 8)])
def test_vmap_draws_one_noise_for_all_or_one_for_each(randomness: str, distinct: int) -> None:
    functions = (hg.gumbel_softmax, hg.binary_concrete, lambda row: hg.m_hot(row, 2))
    for function in functions:
        samples = torch.func.vmap(function, randomness=randomness)(torch.zeros(8, 5))
        assert samples.shape == (8, 5)
        # up to rounding, which depends on where a number lies in a vector register
        apart = (samples[:, None] - samples).abs().amax(-1) > 1e-5
        assert int(apart.any(0).sum()) == (0 if distinct == 1 else distinct)


@pytest.mark.usefixtures("forked_rng")
@pytest.mark.parametrize("name", sorted(set(ESTIMATORS) - {"ScoreFunction(MovingAverage)"}))
def test_vmap_with_one_noise_for_all(name: str) -> None:
    case = a_case_for(name)
    logits = case.logits()
    q = case.make(logits)
    estimator, f = ESTIMATORS[name](q), Probe(q, torch.float64)

    def value(logits: Tensor) -> Tensor:
        return hg.expectation(f.values, case.make(logits), estimator, num_samples=2)

    rows = logits.detach().expand(3, *logits.shape)
    function = torch.func.grad_and_value(value)
    gradients, values = torch.func.vmap(function, randomness="same")(rows)
    for result in (gradients, values):
        torch.testing.assert_close(result, result[:1].expand_as(result), rtol=1e-12, atol=1e-12)
