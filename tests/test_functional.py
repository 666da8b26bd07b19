"""The drop-ins: torch's numbers and signature, hard samples, compiling, transforms, bad input."""

import inspect
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from stats import cells_fit, distribution_fits, gumbel_cdf
from torch import Generator, Tensor
from torch.utils.checkpoint import checkpoint

import hotgrad as hg

INF, NAN = math.inf, math.nan
DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


def seeded(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


def joint_counts(z: Tensor) -> Tensor:
    """How often each pair of categories came, of (n, 2, 3) vectors."""
    index = z.argmax(-1)
    return torch.bincount(index[:, 0] * 3 + index[:, 1], minlength=9)


def test_takes_torchs_arguments_in_torchs_order() -> None:
    ours = list(inspect.signature(hg.gumbel_softmax).parameters.values())
    theirs = list(inspect.signature(F.gumbel_softmax).parameters.values())
    assert [(p.name, p.default) for p in ours[:5]] == [(p.name, p.default) for p in theirs]


@pytest.mark.parametrize("hard", [False, True])
def test_has_torchs_joint_distribution(hard: bool, generator: Generator) -> None:
    logits = torch.tensor([[0.5, -1.0, 2.0], [0.0, 0.3, -0.7]])
    probs = torch.einsum("i,j->ij", *logits.double().softmax(-1))
    rows = logits.expand(200_000, 2, 3)
    counts = joint_counts(hg.gumbel_softmax(rows, 0.7, hard, generator=generator))
    assert cells_fit(counts, probs)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert cells_fit(joint_counts(F.gumbel_softmax(rows, 0.7, hard)), probs)
    # mutant: the temperature sharpens the distribution itself
    assert not cells_fit(counts, torch.einsum("i,j->ij", *(logits.double() / 0.7).softmax(-1)))


@pytest.mark.parametrize("tau", [0.3, 2.0])
def test_relaxed_samples_have_torchs_distribution(tau: float, generator: Generator) -> None:
    """Two categories: tau log(y / (1 - y)) - (their logits' difference) is logistic."""
    logits = torch.tensor([0.4, -0.5], dtype=torch.float64)
    y = hg.gumbel_softmax(logits.expand(100_000, 2), tau, generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        peer = F.gumbel_softmax(logits.expand(100_000, 2), tau)
    for sample in (y, peer):
        assert distribution_fits(tau * torch.logit(sample[:, 0]) - 0.9, torch.sigmoid)
        assert not distribution_fits(
            torch.logit(sample[:, 0]) - 0.9, torch.sigmoid
        )  # mutant: no tau


def test_relaxed_bits_have_the_binary_concrete_distribution(generator: Generator) -> None:
    logits = torch.full((100_000,), -0.4, dtype=torch.float64)
    y = hg.binary_concrete(logits, 0.3, generator=generator)
    assert distribution_fits(0.3 * torch.logit(y) + 0.4, torch.sigmoid)
    assert not distribution_fits(0.3 * torch.logit(y) + 0.4, gumbel_cdf)  # mutant: another noise
    hard = hg.binary_concrete(logits, 0.3, hard=True, generator=generator)
    counts = torch.bincount(hard.long(), minlength=2)
    probs = torch.tensor([0.4, -0.4]).sigmoid()
    assert cells_fit(counts, probs)
    assert not cells_fit(counts, probs.flip(0))  # mutant: the sign


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tau", [1e-6, 0.1, 1.0, 100.0])
def test_values(tau: float, dtype: torch.dtype, generator: Generator) -> None:
    logits = torch.randn(500, 7, generator=generator).to(dtype).requires_grad_()
    for function, ones in ((hg.gumbel_softmax, 500), (hg.binary_concrete, None)):
        soft = function(logits, tau, generator=generator)
        assert soft.dtype == dtype
        assert soft.shape == logits.shape
        assert bool(((soft >= 0) & (soft <= 1)).all())
        hard = function(logits, tau, True, generator=generator)
        assert set(hard.unique().tolist()) == {0.0, 1.0}
        assert hard.dtype == dtype
        assert ones in (None, int(hard.sum()))
        for sample in (soft, hard):
            (grad,) = torch.autograd.grad((sample * sample).sum(), logits)
            assert grad.dtype == dtype
            assert grad.isfinite().all()


@pytest.mark.parametrize("dim", [0, 1, 2, -2])
def test_any_dimension(dim: int, generator: Generator) -> None:
    logits = torch.randn(4, 3, 5, generator=generator)
    soft = hg.gumbel_softmax(logits, 0.5, dim=dim, generator=generator)
    hard = hg.gumbel_softmax(logits, 0.5, True, dim=dim, generator=generator)
    torch.testing.assert_close(soft.sum(dim), torch.ones_like(soft.sum(dim)))
    assert torch.equal(hard.sum(dim), torch.ones_like(hard.sum(dim)))
    masked = logits.index_fill(dim, torch.tensor([1]), -INF)
    assert (hg.gumbel_softmax(masked, dim=dim).select(dim, 1) == 0).all()


def test_hard_is_the_argmax_of_soft_and_has_its_gradient() -> None:
    weights = torch.randn(100, 4, generator=seeded())
    grads = []
    for hard in (False, True):
        logits = torch.randn(100, 4, generator=seeded(1)).requires_grad_()
        y = hg.gumbel_softmax(logits, 0.5, hard, generator=seeded(2))
        grads.append(torch.autograd.grad((y * weights).sum(), logits)[0])
    torch.testing.assert_close(grads[0], grads[1])
    logits = torch.randn(100, 4, generator=seeded(1))
    soft, hard_sample = (hg.gumbel_softmax(logits, 0.5, h, generator=seeded(2)) for h in (0, 1))
    assert torch.equal(soft.argmax(-1), hard_sample.argmax(-1))
    soft, bits = (hg.binary_concrete(logits, 0.5, h, generator=seeded(2)) for h in (0, 1))
    assert torch.equal(soft.round(), bits)


@pytest.mark.parametrize("shape", [(), (1,), (4, 1), (1, 3), (4, 3)])
def test_temperature_tensors(shape: tuple[int, ...]) -> None:
    logits = torch.randn(4, 3, generator=seeded())
    tau = (torch.rand(shape, generator=seeded(1)) + 0.1).requires_grad_()
    for function, draw, squash in (
        (hg.gumbel_softmax, hg.ops.draw_gumbel, lambda x: x.softmax(-1)),
        (hg.binary_concrete, hg.ops.draw_logistic, torch.sigmoid),
    ):
        soft = function(logits, tau, generator=seeded(2))
        noise = draw((4, 3), generator=seeded(2))
        torch.testing.assert_close(soft, squash((logits + noise) / tau))
        (grad,) = torch.autograd.grad(soft.square().sum(), tau)
        assert grad.shape == shape
        assert grad.isfinite().all()


@pytest.mark.parametrize("tau", [0.5, torch.tensor(0.5, requires_grad=True)])
def test_masks(tau: float | Tensor, generator: Generator) -> None:
    logits = torch.tensor([0.3, -INF, 1.0], requires_grad=True)
    for hard in (False, True):
        y = hg.gumbel_softmax(logits.expand(1000, 3), tau, hard, generator=generator)
        assert torch.equal(y[:, 1], torch.zeros(1000))
        (grad,) = torch.autograd.grad(y[:, 0].sum(), logits, retain_graph=True)
        assert grad.isfinite().all()
        assert grad[1] == 0
    bits = hg.binary_concrete(torch.tensor([INF, -INF]), tau, generator=generator)
    assert torch.equal(bits, torch.tensor([1.0, 0.0]))
    learned = torch.as_tensor(tau).requires_grad_()
    soft = hg.gumbel_softmax(logits, learned, generator=generator)
    (grad,) = torch.autograd.grad(soft[0], learned)
    assert grad.isfinite()


@pytest.mark.parametrize("function", [hg.gumbel_softmax, hg.binary_concrete])
def test_generator(function: Any) -> None:
    logits = torch.zeros(50, 3)
    before = torch.get_rng_state()
    first, again, other = (function(logits, generator=seeded(s)) for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("explicit", [False, True])
def test_activation_checkpointing_draws_anew_from_a_generator_alone(explicit: bool) -> None:
    drawn = []

    def layer(logits: Tensor) -> Tensor:
        y = hg.gumbel_softmax(logits, 0.5, hard=True, generator=generator)
        drawn.append(y.detach())
        return (y * torch.arange(5.0)).sum()

    generator = seeded() if explicit else None
    with torch.random.fork_rng():
        torch.manual_seed(0)
        logits = torch.zeros(64, 5, requires_grad=True)
        checkpoint(layer, logits, use_reentrant=False).backward()
    forward, backward = drawn
    # what the docstring warns of, and what it says to do: leave the generator out
    assert torch.equal(forward, backward) is not explicit


@pytest.mark.parametrize("shape", [(0, 3), (3,), (2, 0, 4)])
def test_empty_and_small_shapes(shape: tuple[int, ...]) -> None:
    for hard in (False, True):
        assert hg.gumbel_softmax(torch.zeros(shape), hard=hard).shape == shape
        assert hg.binary_concrete(torch.zeros(shape), hard=hard).shape == shape
    assert hg.binary_concrete(torch.tensor(0.3)).shape == ()


def test_compiled_forward_and_backward(compiler: None) -> None:
    """Whole, in one graph, with an annealed temperature that doesn't compile anew each time."""

    @torch.compile(fullgraph=True)
    def layers(logits: Tensor, tau: float) -> tuple[Tensor, ...]:
        return (
            hg.gumbel_softmax(logits, tau),
            hg.gumbel_softmax(logits, tau, hard=True),
            hg.binary_concrete(logits, tau),
            hg.binary_concrete(logits, tau, hard=True),
        )

    logits = torch.tensor([0.5, -1.0, 2.0, -INF]).expand(100_000, 4).clone().requires_grad_()
    for tau in (1.0, 0.8, 0.6, 0.5):
        soft, hard, soft_bits, bits = layers(logits, tau)
        assert cells_fit(hard.sum(0).long(), logits[0].softmax(-1))
        assert distribution_fits(tau * torch.logit(soft_bits[:, 1].double()) + 1.0, torch.sigmoid)
        assert cells_fit(torch.bincount(bits[:, 1].long()), torch.tensor([1.0, -1.0]).sigmoid())
        torch.testing.assert_close(soft.sum(-1), torch.ones(100_000))
        assert set(bits.unique().tolist()) == {0.0, 1.0}
        loss = sum(y.square().sum() for y in (soft, hard, soft_bits, bits))
        (grad,) = torch.autograd.grad(loss, logits)
        assert grad.isfinite().all()
        assert bool((grad[:, 0] != 0).any())
    # mutant: the distribution at another temperature
    assert not distribution_fits(torch.logit(soft_bits[:, 1].double()) + 1.0, torch.sigmoid)


@pytest.mark.parametrize("function", [hg.gumbel_softmax, hg.binary_concrete])
@pytest.mark.parametrize("hard", [False, True])
def test_vmap_and_grad(function: Any, hard: bool) -> None:
    logits = torch.randn(8, 3, generator=seeded())

    def loss(row: Tensor) -> Tensor:
        return (function(row, 0.5, hard) * torch.arange(3.0)).sum()

    with torch.random.fork_rng():
        torch.manual_seed(0)
        rows = torch.func.vmap(torch.func.grad(loss), randomness="different")(logits)
        single = torch.func.grad(loss)(logits[0])
    assert rows.shape == (8, 3)
    assert rows.isfinite().all()
    assert single.shape == (3,)


def test_func_grad_is_autograds_gradient() -> None:
    logits = torch.randn(3, generator=seeded())

    def loss(row: Tensor) -> Tensor:
        return hg.gumbel_softmax(row, 0.5, generator=seeded(1)).square().sum()

    leaf = logits.clone().requires_grad_()
    (expected,) = torch.autograd.grad(loss(leaf), leaf)
    torch.testing.assert_close(torch.func.grad(loss)(logits), expected)


BAD_TEMPERATURES = [
    (0, "must be positive and finite, got 0. For hard samples use hard=True"),
    (-1.0, "must be positive and finite, got -1.0"),
    (NAN, "must be positive and finite, got nan"),
    (INF, "must be positive and finite, got inf"),
    (True, "must be a number or a tensor, got True"),
    ("low", "must be a number or a tensor, got 'low'"),
    (torch.tensor([0.5, 0.0]), "must be positive and finite everywhere, got 0.0"),
    (torch.tensor(NAN), "must be positive and finite everywhere, got nan"),
    (torch.tensor(1), "must be floating point, got dtype torch.int64"),
]


@pytest.mark.parametrize(("tau", "message"), BAD_TEMPERATURES)
def test_bad_temperatures(tau: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hg.gumbel_softmax(torch.zeros(3, 2), tau)
    with pytest.raises(ValueError, match=message):
        hg.binary_concrete(torch.zeros(3, 2), tau)


@pytest.mark.parametrize("hard", ["no", "False", "", None, 2, 1.0])
def test_hard_is_true_or_false(hard: Any) -> None:
    """A text would count as true."""
    logits = torch.zeros(3, 2)
    for function in (
        hg.gumbel_softmax,
        hg.binary_concrete,
        lambda x, hard: hg.m_hot(x, 1, 1, hard),
    ):
        with pytest.raises(ValueError, match="hard must be True or False, got "):
            function(logits, hard=hard)


MISFITS = [(2,), (3, 1, 1), (4, 2), (5, 3, 2)]


@pytest.mark.parametrize("shape", MISFITS, ids=str)
def test_a_temperature_that_does_not_broadcast(shape: tuple[int, ...]) -> None:
    logits, tau = torch.zeros(3, 4), torch.full(shape, 0.5)
    message = r"logits' shape \(3, 4\); got .*\(3, 1\)\."
    for ask in (
        lambda: hg.gumbel_softmax(logits, tau),
        lambda: hg.binary_concrete(logits, tau),
        lambda: hg.m_hot(logits, 2, tau),
        lambda: hg.m_hot_columns(logits, 2, tau),
    ):
        with pytest.raises(ValueError, match=message):
            ask()


@pytest.mark.parametrize("generator", [3, "cpu", Generator], ids=repr)
def test_a_generator_that_is_none(generator: Any) -> None:
    for ask in (
        lambda: hg.gumbel_softmax(torch.zeros(3), generator=generator),
        lambda: hg.binary_concrete(torch.zeros(3), generator=generator),
        lambda: hg.m_hot(torch.zeros(3), 2, generator=generator),
        lambda: hg.m_hot_columns(torch.zeros(3), 2, generator=generator),
    ):
        with pytest.raises(ValueError, match=r"generator must be a torch\.Generator or None, got"):
            ask()


@pytest.mark.parametrize("dim", [2, -3, 0.5, 1.0, None, True, "rows"])
def test_a_dimension_that_is_not_there(dim: Any) -> None:
    with pytest.raises(ValueError, match=r"dim must be .* from -2 to 1 for shape \(3, 2\); got"):
        hg.gumbel_softmax(torch.zeros(3, 2), dim=dim)


def test_categories_are_those_of_the_dimension() -> None:
    assert hg.gumbel_softmax(torch.zeros(3, 0), dim=0).shape == (3, 0)
    with pytest.raises(ValueError, match=r"logits has no categories: its shape is \(0, 3\)"):
        hg.gumbel_softmax(torch.zeros(0, 3), dim=0)


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (torch.tensor([1, 2]), "logits must be floating point, got dtype torch.int64"),
        ([0.0, 1.0], "logits must be a tensor, got list"),
        (torch.tensor(0.0), "logits needs a last dimension for the categories"),
        (torch.zeros(3, 0), r"no categories: its shape is \(3, 0\)"),
        (torch.tensor([[0.0, 1.0], [0.0, NAN]]), r"1 of 2 rows are not. In row \(1,\): nan"),
        (torch.tensor([[0.0, INF], [0.0, 0.0]]), r"1 of 2 rows are not. In row \(0,\): inf"),
        (
            torch.tensor([[0.0, -INF], [-INF, -INF]]),
            r"In row \(1,\): all -inf: no category is possible",
        ),
    ],
)
def test_bad_logits_of_categories(logits: Any, message: str) -> None:
    for hard in (False, True):
        with pytest.raises(ValueError, match=message):
            hg.gumbel_softmax(logits, hard=hard)


@pytest.mark.parametrize("hard", [False, True])
def test_no_categories_or_no_rows_along_any_dimension(hard: bool) -> None:
    for shape, dim in (((9, 0), 0), ((0, 4, 5), 1), ((4, 5, 0), -2)):
        assert hg.gumbel_softmax(torch.zeros(shape), hard=hard, dim=dim).shape == shape
    for shape, dim in (((0, 9), 0), ((4, 0, 5), 1), ((4, 0, 5), -2), ((4, 0), -1)):
        with pytest.raises(ValueError, match=r"no categories: its shape is \("):
            hg.gumbel_softmax(torch.zeros(shape), hard=hard, dim=dim)


def test_bad_logits_along_another_dimension() -> None:
    logits = torch.tensor([[0.0, -INF], [1.0, -INF]])
    with pytest.raises(ValueError, match=r"In row \(1,\): all -inf"):
        hg.gumbel_softmax(logits, dim=0)


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (torch.tensor([1, 2]), "logits must be floating point, got dtype torch.int64"),
        ([0.0, 1.0], "logits must be a tensor, got list"),
        (torch.tensor([0.0, NAN, NAN]), r"logits must not be NaN; 2 of 3 are, the first at \(1,\)"),
    ],
)
def test_bad_logits_of_bits(logits: Any, message: str) -> None:
    for hard in (False, True):
        with pytest.raises(ValueError, match=message):
            hg.binary_concrete(logits, hard=hard)
