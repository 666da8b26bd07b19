"""The lists that the estimators' suites run over, and distributions whose randomness is given.

A new estimator adds a line to ESTIMATORS, a new distribution one to DISTRIBUTIONS, with the
estimators that refuse it and what they say then. Every pair of the two lists either works or is
refused. JOINTS are several distributions as one q, whose f takes a dict.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import hotgrad as hg
from hotgrad.distributions.noise_driven import NoiseDriven

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
BATCHES = [(), (5,), (2, 3)]


def in_one(z: Any, q: Any) -> Tensor:
    """z as one tensor: of a Joint, its unknowns flattened and joined."""
    if isinstance(z, Tensor):
        return z
    events = [(z[name], kind.event_shape) for name, kind in q.factors.items()]
    return torch.cat(
        [u.reshape((*u.shape[: u.ndim - len(event)], event.numel())) for u, event in events], -1
    )


class MeanNet(nn.Module):
    """A baseline's module for any q: a weighted sum of the marginals."""

    def __init__(self, q: Any) -> None:
        super().__init__()
        self.batch_dims = len(q.batch_shape)
        self.scale = nn.Parameter(torch.tensor(0.7, dtype=in_one(q.mean, q).dtype))

    def forward(self, mean: Tensor) -> Tensor:
        batch, event = mean.shape[: self.batch_dims], mean.shape[self.batch_dims :]
        return self.scale * mean.reshape((*batch, event.numel())).sum(-1, keepdim=True)


class Bowl(nn.Module):
    """A critic for any q, with a parameter: how far a relaxed sample is from the mean."""

    def __init__(self, q: Any) -> None:
        super().__init__()
        self.event_dims = len(q.event_shape)
        self.depth = nn.Parameter(torch.tensor(0.6, dtype=in_one(q.mean, q).dtype))

    def forward(self, y: Tensor, mean: Tensor) -> Tensor:
        lead = y.shape[: y.ndim - self.event_dims]
        away = (y - 0.3 * mean).reshape((*lead, y.shape[len(lead) :].numel()))
        return self.depth * away.square().sum(-1) + away.sum(-1)


def moving_average_with_a_past() -> hg.MovingAverage:
    """One that is a baseline already: its average is 0.8."""
    baseline = hg.MovingAverage(decay=0.5)
    baseline.centre(torch.full((3,), 0.8), None)
    return baseline


ESTIMATORS: dict[str, Callable[[Any], hg.Estimator]] = {
    "Exact": lambda q: hg.Exact(),
    "ScoreFunction(NoBaseline)": lambda q: hg.ScoreFunction(hg.NoBaseline()),
    "ScoreFunction(LeaveOneOut)": lambda q: hg.ScoreFunction(hg.LeaveOneOut()),
    "ScoreFunction(MovingAverage)": lambda q: hg.ScoreFunction(moving_average_with_a_past()),
    "ScoreFunction(Learned)": lambda q: hg.ScoreFunction(hg.Learned(MeanNet(q))),
    "GumbelSoftmax": lambda q: hg.GumbelSoftmax(temperature=0.5),
    "StraightThrough": lambda q: hg.StraightThrough(),
    "StraightThroughGumbelSoftmax": lambda q: hg.StraightThroughGumbelSoftmax(temperature=0.5),
    "ReinMax": lambda q: hg.ReinMax(temperature=1.2),
    "RelaxedTopK": lambda q: hg.RelaxedTopK(temperature=0.5),
    "IMLE": lambda q: hg.IMLE(step=2.0),
    "IMLE(sum-of-gamma)": lambda q: hg.IMLE(step=2.0, noise="sum-of-gamma"),
    "PerturbedMAP": lambda q: hg.PerturbedMAP(),
    "GappedStraightThrough": lambda q: hg.GappedStraightThrough(temperature=0.5),
    "GumbelRao": lambda q: hg.GumbelRao(temperature=0.5, num_inner=3),
    "ARM": lambda q: hg.ARM(),
    "DisARM": lambda q: hg.DisARM(),
    "MuProp(NoBaseline)": lambda q: hg.MuProp(),
    "MuProp(LeaveOneOut)": lambda q: hg.MuProp(hg.LeaveOneOut()),
    "MuProp(Learned)": lambda q: hg.MuProp(hg.Learned(MeanNet(q))),
    "REBAR": lambda q: hg.REBAR(temperature=0.4, scale=0.8),
    "RELAX": lambda q: hg.RELAX(Bowl(q), temperature=0.4),
    "IndeCateR": lambda q: hg.IndeCateR(),
    "UnorderedSet": lambda q: hg.UnorderedSet(),
}

# what those say that don't work with a distribution, each with estimators that do
NOT_K_OF_N = {
    "RelaxedTopK": r"RelaxedTopK needs relaxed_top_k_sample, .*work with it: .*\bGumbelSoftmax\b",
    "IMLE(sum-of-gamma)": r"needs k of n items, .*; got \w+\. Use noise=.distribution.",
}
NOT_BITS = {
    "ARM": r"ARM needs antithetic, which .*work with it: .*\bScoreFunction\b",
    "DisARM": r"DisARM needs antithetic, which .*work with it: .*\bIndeCateR\b",
}
NOT_K_OF_N_NOR_BITS = NOT_K_OF_N | NOT_BITS
NO_GUMBEL_REACHES_IT = NOT_BITS | {
    "ReinMax": r"ReinMax needs tangent, which KSubset .*\bIMLE\b",
    "RelaxedTopK": r"RelaxedTopK needs relaxed_top_k_sample, which KSubset .*\bPerturbedMAP\b",
    "GappedStraightThrough": r"needs hard_and_gapped_sample, which KSubset doesn't have",
    "GumbelRao": r"needs hard_and_mean_relaxed_sample, which KSubset doesn't have",
    "REBAR": r"REBAR needs couple, which KSubset .*\bMuProp\b",
    "RELAX": r"RELAX needs couple, which KSubset .*\bUnorderedSet\b",
}
NO_TANGENT = NOT_BITS | {
    "ReinMax": r"ReinMax needs tempered_mean, tangent, which Plackett.*\bRelaxedTopK\b",
    "GappedStraightThrough": r"needs hard_and_gapped_sample, which Plackett.*\bGumbelRao\b",
}


@dataclass(frozen=True)
class Case:
    """A distribution over logits of shape `(*batch, *event)`.

    `refused` are the estimators that don't work with it, with their message; `masks` are logits
    that are fixed.
    """

    make: Callable[[Tensor], Any]
    event: tuple[int, ...]
    refused: dict[str, str]
    masks: tuple[tuple[tuple[int, ...], float], ...] = ()

    def logits(
        self, batch: tuple[int, ...] = (), dtype: torch.dtype = torch.float64, seed: int = 1
    ) -> Tensor:
        """A leaf: normal numbers, the same in every dtype up to rounding."""
        generator = torch.Generator().manual_seed(seed)
        values = torch.randn(batch + self.event, generator=generator, dtype=torch.float64)
        for where, value in self.masks:
            values[(..., *where)] = value
        return values.to(dtype).requires_grad_()


DISTRIBUTIONS: dict[str, Case] = {
    "Bernoulli": Case(lambda a: hg.Bernoulli(logits=a), (), NOT_K_OF_N),
    "Bernoulli.to_event(1)": Case(lambda a: hg.Bernoulli(logits=a).to_event(1), (3,), NOT_K_OF_N),
    "Bernoulli.to_event(1), masked": Case(
        lambda a: hg.Bernoulli(logits=a).to_event(1),
        (3,),
        NOT_K_OF_N,
        (((0,), -torch.inf), ((2,), torch.inf)),
    ),
    "OneHotCategorical": Case(
        lambda a: hg.OneHotCategorical(logits=a), (3,), NOT_K_OF_N | NOT_BITS
    ),
    "OneHotCategorical, masked": Case(
        lambda a: hg.OneHotCategorical(logits=a), (4,), NOT_K_OF_N_NOR_BITS, (((1,), -torch.inf),)
    ),
    "OneHotCategorical.to_event(1)": Case(
        lambda a: hg.OneHotCategorical(logits=a).to_event(1), (2, 3), NOT_K_OF_N | NOT_BITS
    ),
    "OneHotCategorical.to_event(1), masked": Case(
        lambda a: hg.OneHotCategorical(logits=a).to_event(1),
        (2, 3),
        NOT_K_OF_N_NOR_BITS,
        (((0, 2), -torch.inf),),
    ),
}
for _name, _kind, _refused in (
    ("KSubset", hg.KSubset, NO_GUMBEL_REACHES_IT),
    ("PlackettLuceSubset", hg.PlackettLuceSubset, NO_TANGENT),
):
    DISTRIBUTIONS |= {
        _name: Case(lambda a, kind=_kind: kind(a, 2), (4,), _refused),
        f"{_name}, masked": Case(
            lambda a, kind=_kind: kind(a, 2),
            (5,),
            _refused,
            (((1,), -torch.inf), ((4,), -torch.inf)),
        ),
        f"{_name}.to_event(1)": Case(
            lambda a, kind=_kind: kind(a, 2).to_event(1), (2, 3), _refused, (((0, 2), -torch.inf),)
        ),
    }


def lacking(part: str, estimators: list[str]) -> dict[str, str]:
    """What those say that ask too much of a Joint's factor, whose class and name are given."""
    return {
        name: rf"{name} needs .*, which {part} doesn't have\. .*work with it: .*\bIndeCateR\b"
        for name in estimators
    }


# logits in one vector; of parts that lack a method, the first is named
JOINTS: dict[str, Case] = {
    "Joint": Case(
        lambda a: hg.Joint(
            bits=hg.Bernoulli(logits=a[..., :2]).to_event(1),
            kind=hg.OneHotCategorical(logits=a[..., 2:]),
        ),
        (6,),
        NOT_K_OF_N
        | lacking(r"Bernoulli \('bits'\)", ["RelaxedTopK"])
        | lacking(r"OneHotCategorical \('kind'\)", ["ARM", "DisARM"]),
        (((4,), -torch.inf),),
    ),
    "Joint of bits": Case(
        lambda a: hg.Joint(
            one=hg.Bernoulli(logits=a[..., 0]), more=hg.Bernoulli(logits=a[..., 1:]).to_event(1)
        ),
        (3,),
        NOT_K_OF_N,
    ),
    "Joint of subsets": Case(
        lambda a: hg.Joint(
            drawn=hg.PlackettLuceSubset(a[..., :3], 2), chosen=hg.KSubset(a[..., 3:], 1)
        ),
        (6,),
        lacking(
            r"PlackettLuceSubset \('drawn'\)", ["ARM", "DisARM", "ReinMax", "GappedStraightThrough"]
        )
        | lacking(
            r"KSubset \('chosen'\)",
            ["RelaxedTopK", "GumbelRao", "REBAR", "RELAX"],
        ),
    ),
}

EVERY = DISTRIBUTIONS | JOINTS
WORKING, JOINED = (
    [(name, kind) for kind in cases for name in ESTIMATORS if name not in cases[kind].refused]
    for cases in (DISTRIBUTIONS, JOINTS)
)
REFUSED = [
    (estimator, name, why)
    for name, case in EVERY.items()
    for estimator, why in case.refused.items()
]


def spread(pairs: list[tuple[str, str]], *axes: list[Any], times: int = 1) -> list[tuple[Any, ...]]:
    """Pairs of estimator and distribution, each with `times` combinations of what else varies.

    Not with all: they take turns, so that every estimator meets all of them on one distribution or
    another, and so does every distribution.
    """
    combinations = list(itertools.product(*axes))
    rank = {name: number for names in (ESTIMATORS, EVERY) for number, name in enumerate(names)}
    return [
        (*pair, *combinations[(rank[pair[0]] + 5 * rank[pair[1]] + 7 * turn) % len(combinations)])
        for pair in pairs
        for turn in range(times)
    ]


IN_TURN = [
    (name, dtype, BATCHES[(number + turn) % len(BATCHES)])
    for number, name in enumerate(EVERY)
    for turn, dtype in enumerate(DTYPES)
]
"""Every distribution in every dtype, with the batches in turn."""


def thinned(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """A third of the pairs, in which every estimator and every distribution comes."""
    return [pair for *pair, kept in spread(pairs, [True, False, False]) if kept]  # type: ignore[misc]


def a_case_for(estimator: str) -> Case:
    """One that it works with, with an event of one dimension."""
    cases = (DISTRIBUTIONS[kind] for name, kind in WORKING if name == estimator)
    return next(kind for kind in cases if len(kind.event) == 1)


def _is(cls: type) -> list[str]:
    q = DISTRIBUTIONS["Bernoulli"].make(torch.zeros(()))
    return [name for name, make in ESTIMATORS.items() if isinstance(make(q), cls)]


def _said(fact: str) -> list[str]:
    q = DISTRIBUTIONS["Bernoulli"].make(torch.zeros(()))
    return [name for name, make in ESTIMATORS.items() if getattr(make(q), fact)]


SAMPLING = [name for name in ESTIMATORS if name not in _is(hg.Exact)]
PATHWISE = _is(hg.Pathwise)
MODULES = _is(nn.Module)
UNBIASED = _said("unbiased")
DIFFERENTIATING = _said("differentiates_f")


class Probe:
    """An f with a parameter of its own, which remembers what it was asked and what it said."""

    def __init__(self, q: Any, dtype: torch.dtype) -> None:
        self.q, self.event_dims = q, len(q.event_shape)
        self.weight = torch.linspace(-1.0, 2.0, q.event_shape.numel(), dtype=dtype)
        self.scale = torch.tensor(1.5, dtype=dtype, requires_grad=True)
        self.asked: list[Tensor] = []
        self.said: list[Tensor] = []

    def values(self, z: Any) -> Tensor:
        z = in_one(z, self.q)
        flat = z.reshape((*z.shape[: z.ndim - self.event_dims], len(self.weight)))
        inner = (flat * self.weight).sum(-1)
        return self.scale * inner.square() + inner

    def __call__(self, z: Any) -> Tensor:
        self.asked.append(in_one(z, self.q).detach())
        self.said.append(self.values(z))
        return self.said[-1]


class SampledOnly(hg.DiscreteDistribution):
    """A user's distribution with nothing but samples and their probabilities."""

    def __init__(self, logits: Tensor) -> None:
        self.inner = hg.Bernoulli(logits=logits)
        super().__init__(logits.shape)

    def sample(self, sample_shape: Any = (), *, generator: Any = None) -> Tensor:
        return self.inner.sample(sample_shape, generator=generator)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.inner.log_prob(value)


def with_samples(kind: type, logits: Tensor, samples: Tensor, **options: Any) -> Any:
    """The distribution, which instead of sampling returns `samples`."""
    preset = type("Preset", (kind,), {"sample": lambda self, shape=(), *, generator=None: samples})
    return preset(logits=logits, **options)


def with_noise(kind: type, logits: Tensor, noise: Tensor) -> Any:
    """The distribution, which instead of drawing noise returns `noise`."""
    members = {
        "draw_noise": lambda self, shape=(), *, generator=None: noise,
        # past the kernels, which draw for themselves
        "sample": NoiseDriven.sample,
        "relaxed_sample": NoiseDriven.relaxed_sample,
        "hard_and_relaxed_sample": NoiseDriven.hard_and_relaxed_sample,
    }
    return type("Preset", (kind,), members)(logits=logits)


def tuples(choices: int, length: int) -> Tensor:
    """Every tuple of `length` numbers below `choices`, `(choices**length, length)`."""
    rows = list(itertools.product(range(choices), repeat=length))
    return torch.tensor(rows, dtype=torch.long).reshape(choices**length, length)
