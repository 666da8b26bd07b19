"""Numbers of categories, and rows of an embedding, without a vector of the vocabulary's size."""

import math
from typing import Any

import pytest
import torch
from stats import cells_fit
from torch import Generator, Tensor

import hotgrad as hg
from hotgrad.ops.kernels.indices import Race

INF = math.inf
BOTH = pytest.mark.parametrize("kernels", ["fused", "plain"])


@pytest.fixture
def kernels(request: pytest.FixtureRequest) -> None:
    """The compiled functions or torch's, by the test's parameter."""
    if request.param == "plain":
        request.getfixturevalue("plain_kernels")


@BOTH
@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_indices_follow_the_probabilities(dtype: torch.dtype, generator: Generator) -> None:
    logits = (2 * torch.randn(2, 150, generator=generator)).to(dtype)
    logits[0, 5] = logits[1, 149] = -INF
    drawn = hg.sample_index(logits, 40_000, generator=generator)
    assert (drawn.shape, drawn.dtype) == ((40_000, 2), torch.int64)
    for row in range(2):
        counts = torch.bincount(drawn[:, row], minlength=150)
        cells = logits[row].double().softmax(0)
        assert cells_fit(counts, cells)
        assert not cells_fit(counts, (0.9 * logits[row].double()).softmax(0))  # mutant


@BOTH
@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("estimator", [hg.StraightThrough(), hg.StraightThroughGumbelSoftmax(0.7)])
def test_a_row_and_its_gradients_are_those_of_a_one_hot_vector(
    estimator: Any, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hotgrad.vocabulary.TILE", 80)  # two rows at once
    logits = torch.randn(2, 3, 40, generator=generator)
    logits[0, 1, 3] = -INF
    weight, above = (torch.randn(s, generator=generator) for s in ((40, 4), (2, 3, 4)))
    leaves = [x.clone().requires_grad_() for x in (logits, weight)]
    value = hg.sample_embedding(*leaves, estimator, generator=generator.clone_state())
    chosen = (value.detach().unsqueeze(-2) == weight).all(-1)
    assert torch.equal(chosen.sum(-1), torch.ones(2, 3, dtype=torch.int64))
    found = torch.autograd.grad((value * above).sum(), leaves)
    temperature, soft = 1.0, logits.softmax(-1)
    if isinstance(estimator, hg.StraightThroughGumbelSoftmax):
        race = Race(logits.view(6, 40), generator.clone_state())
        temperature, soft = 0.7, race.relaxed(0.7, 0, 6).view(2, 3, 40)
        # the sample that is differentiated is that of the row which won
        assert torch.equal(soft.argmax(-1), chosen.double().argmax(-1))
    brings = above @ weight.T
    expected = (brings - (brings * soft).sum(-1, keepdim=True)) * soft / temperature
    torch.testing.assert_close(found[0], expected)
    to_weight = torch.einsum("abk,abd->kd", chosen.float(), above)
    torch.testing.assert_close(found[1], to_weight)


def test_another_pathwise_estimator_makes_the_vector(generator: Generator) -> None:
    logits = torch.randn(5, 8, generator=generator).requires_grad_()
    weight = torch.randn(8, 3, generator=generator)
    for estimator in (hg.GumbelSoftmax(0.5), hg.ReinMax()):
        value = hg.sample_embedding(logits, weight, estimator, generator=generator.clone_state())
        q = hg.OneHotCategorical(logits=logits)
        expected = estimator.sample(q, generator=generator.clone_state()) @ weight
        torch.testing.assert_close(value, expected)


def test_inside_torch_func_it_works(generator: Generator) -> None:
    logits, weight = torch.randn(5, 8, generator=generator), torch.randn(8, 3, generator=generator)

    def loss(x: Tensor, g: Generator) -> Tensor:
        return hg.sample_embedding(x, weight, generator=g).square().sum()

    found = torch.func.grad(loss)(logits, generator)
    assert found.shape == logits.shape
    assert bool(found.isfinite().all())


@BOTH
@pytest.mark.usefixtures("kernels")
def test_rows_without_a_category_are_refused() -> None:
    for bad in (-INF, math.nan, INF):
        logits = torch.zeros(3, 4)
        logits[1] = bad
        with pytest.raises(ValueError, match=r"row \(1,\)"):
            hg.sample_index(logits)
        for estimator in (hg.StraightThrough(), hg.StraightThroughGumbelSoftmax(0.5)):
            with pytest.raises(ValueError, match=r"row \(1,\)"):
                hg.sample_embedding(logits, torch.zeros(4, 2), estimator)


def test_other_bad_input() -> None:
    logits, weight = torch.zeros(3, 4), torch.zeros(4, 2)
    for count in (-1, 1.5, True):
        with pytest.raises(ValueError, match="num_samples"):
            hg.sample_index(logits, count)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="int64"):
        hg.sample_index(torch.zeros(3, dtype=torch.int64))
    for wrong in (torch.zeros(3, 2), torch.zeros(4), torch.zeros(4, 2).double()):
        with pytest.raises(ValueError, match="K = 4"):
            hg.sample_embedding(logits, wrong)
    with pytest.raises(NotImplementedError, match="ScoreFunction"):
        hg.sample_embedding(logits, weight, hg.ScoreFunction())  # type: ignore[arg-type]
    assert hg.sample_index(torch.zeros(0, 4)).shape == (0,)
    assert hg.sample_index(logits, 0).shape == (0, 3)
    assert hg.sample_embedding(torch.zeros(0, 4), weight).shape == (0, 2)


@BOTH
@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_race_is_that_of_gumbel_softmax(dtype: torch.dtype, generator: Generator) -> None:
    """Winners follow the probabilities, and the relaxed rows are a Concrete sample's."""
    logits = torch.tensor([2.0, 0.0, -1.0, -INF], dtype=dtype)
    race = Race(logits.expand(30_000, 4), generator)
    assert cells_fit(torch.bincount(race.winners, minlength=4), logits.double().softmax(0))
    soft = race.relaxed(0.5, 0, 30_000)
    assert torch.equal(soft.argmax(-1), race.winners)
    torch.testing.assert_close(race.relaxed(0.5, 7, 19), soft[7:19])
    mean = (
        hg.GumbelSoftmax(0.5)
        .sample(hg.OneHotCategorical(logits=logits), (30_000,), generator=generator)
        .mean(0)
    )
    torch.testing.assert_close(soft.mean(0), mean, atol=0.015, rtol=0)
