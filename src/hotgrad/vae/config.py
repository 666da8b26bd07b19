"""Everything that defines a run, in one frozen dataclass that checks itself and travels as JSON."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from hotgrad import schedules
from hotgrad.estimators import (
    ESTIMATORS,
    Learned,
    LeaveOneOut,
    MovingAverage,
    NoBaseline,
    has_baseline,
    missing_methods,
)
from hotgrad.estimators.score_function import Baseline
from hotgrad.ops.checks import (
    as_shape,
    check_choice,
    check_count,
    check_instance,
    check_number,
    check_one_temperature,
    check_positive,
    check_text,
    listed,
    plain_fields,
)
from hotgrad.vae.latent import LAWS
from hotgrad.vae.likelihood import LIKELIHOODS
from hotgrad.vae.networks import NETWORKS

SERVING: dict[str, tuple[str, ...]] = {
    latent: tuple(name for name, cls in ESTIMATORS.items() if not missing_methods(cls, law))
    for latent, law in LAWS.items()
}
"""The estimators that each kind of code admits."""

BASELINES: dict[str, type[Baseline]] = {
    "leave-one-out": LeaveOneOut,
    "none": NoBaseline,
    "moving-average": MovingAverage,
    "learned": Learned,
}
"""By the names that a configuration gives them."""

CHOICES: dict[str, tuple[str, ...]] = {
    "latent": tuple(LAWS),
    "network": NETWORKS,
    "likelihood": LIKELIHOODS,
    "targets": ("grey", "dynamic", "threshold"),
    "prior": ("uniform", "learned"),
    "kl": ("analytic", "concrete"),
    "estimator": (
        "auto",
        *(name for name in ESTIMATORS if any(name in names for names in SERVING.values())),
    ),
    "baseline": tuple(BASELINES),
    "schedule": ("constant", "exponential", "linear", "cosine"),
    "corruption": ("none", "mask", "gaussian"),
    "optimizer": ("adam", "sgd"),
    "accelerator": ("auto", "cpu", "cuda", "mps"),
    "precision": ("32-true", "bf16-mixed", "16-mixed", "64-true"),
}


class _ChosenName(str):
    """A choice that was left open: `dataclasses.replace` hands it on, and it is made anew."""

    __slots__ = ()


class _ChosenSize(int):
    """A choice that was left open: `dataclasses.replace` hands it on, and it is made anew."""

    __slots__ = ()


@dataclass(frozen=True)
class Config:
    """A run of the discrete autoencoder; the defaults suit the bundled digits.

    Two settings say "choose for me" and hold the choice afterwards: `estimator="auto"`, which
    becomes gumbel-softmax, or straight-through for k-subset; and, for k-subset, `subset_size=0`,
    which becomes half of the categories. `dataclasses.replace` chooses anew.

    Example:
        >>> from dataclasses import replace
        >>> from hotgrad import vae
        >>> config = vae.Config()
        >>> config.estimator, replace(config, latent="k-subset").estimator
        ('gumbel-softmax', 'straight-through')
    """

    data: str = "digits"
    data_dir: str | None = None
    column: str | None = None
    targets: str = "grey"
    corruption: str = "none"
    corruption_level: float = 0.25

    latent: str = "categorical"
    num_latents: int = 20
    num_categories: int = 10
    subset_size: int = 0
    network: str = "mlp"
    hidden: tuple[int, ...] = (256,)
    likelihood: str = "bernoulli"
    prior: str = "uniform"

    estimator: str = "auto"
    baseline: str = "leave-one-out"
    num_samples: int = 1
    kl: str = "analytic"
    prior_temperature: float = 0.5
    schedule: str = "cosine"
    temperature: float = 1.0
    min_temperature: float = 0.3
    anneal_rate: float = 1e-4
    anneal_every: int = 500

    epochs: int = 100
    batch_size: int = 100
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    seed: int = 0
    accelerator: str = "auto"
    devices: int = 1
    precision: str = "32-true"

    def __post_init__(self) -> None:
        # JSON has no word for NumPy's
        plain_fields(self)
        for name, known in CHOICES.items():
            check_choice(name, getattr(self, name), known)
        for name in ("data", "data_dir", "column"):
            if name == "data" or getattr(self, name) is not None:
                check_text(getattr(self, name), name)
        for name in ("num_latents", "num_samples", "epochs", "batch_size"):
            check_count(getattr(self, name), name)
        for name in ("anneal_every", "devices"):
            check_count(getattr(self, name), name)
        check_count(self.num_categories, "num_categories", minimum=2)
        check_count(self.subset_size, "subset_size", minimum=0)
        self._settle()
        check_count(self.seed, "seed", minimum=0)
        # a list would make a run differ from the same run read back from JSON
        object.__setattr__(self, "hidden", tuple(as_shape(self.hidden, "hidden", minimum=1)))
        for name in ("temperature", "min_temperature", "prior_temperature"):
            check_one_temperature(getattr(self, name), name)
        check_positive(self.learning_rate, "learning_rate")
        check_level(self.corruption_level, "corruption_level")
        schedules.check_rate(self.anneal_rate, "anneal_rate")
        if self.schedule != "constant" and self.min_temperature > self.temperature:
            raise ValueError(
                f"min_temperature={self.min_temperature:g} is above temperature="
                f"{self.temperature:g}, where it starts. Lower it, or use schedule=constant."
            )
        if self.kl == "concrete" and self.estimator != "gumbel-softmax":
            raise ValueError(
                "kl=concrete scores relaxed samples, which only estimator=gumbel-softmax draws; "
                f"got estimator={self.estimator}. Use kl=analytic."
            )
        self._check_num_samples()
        self._check_budget()
        if self.targets != "grey" and self.likelihood == "gaussian":
            raise ValueError(
                f"targets={self.targets} makes binary targets, which need likelihood=bernoulli."
            )
        self.make_schedule(1)

    def _settle(self) -> None:
        """Choose what was left open, and refuse an estimator that doesn't fit the code."""
        if isinstance(self.subset_size, _ChosenSize):
            object.__setattr__(self, "subset_size", 0)
        if self.latent == "k-subset":
            size = self.subset_size or _ChosenSize(self.num_categories // 2)
            if size >= self.num_categories:
                raise ValueError(
                    f"subset_size must be less than num_categories={self.num_categories}, got "
                    f"{size}: there is only one way to choose them all."
                )
            object.__setattr__(self, "subset_size", size)
            if self.kl == "concrete":
                raise ValueError(
                    "kl=concrete scores relaxed samples, and latent=k-subset has no relaxation "
                    "with a density. Use kl=analytic, which is exact."
                )
        serving = SERVING[self.latent]
        if self.estimator == "auto" or isinstance(self.estimator, _ChosenName):
            best = "gumbel-softmax" if "gumbel-softmax" in serving else "straight-through"
            object.__setattr__(self, "estimator", _ChosenName(best))
        if self.estimator not in serving:
            raise ValueError(
                f"estimator={self.estimator} doesn't work with latent={self.latent}. "
                f"Use one of {', '.join(serving)}."
            )

    def _check_num_samples(self) -> None:
        """Refuse a number of samples that the estimator can't take."""
        needs: Any = ESTIMATORS[self.estimator]
        who, instead, paired = f"estimator={self.estimator}", "", needs.paired
        if has_baseline(needs):
            needs = BASELINES[self.baseline]
            who += f" with baseline={self.baseline}"
            instead = " or another baseline, such as moving-average"
        least = getattr(needs, "least_samples", 1)
        if self.num_samples < least:
            raise ValueError(
                f"{who} needs num_samples of at least {least}, got {self.num_samples}. "
                f"Use num_samples={least}{instead}."
            )
        if paired and self.num_samples % 2:
            raise ValueError(
                f"{who} draws samples in pairs: num_samples must be even, got "
                f"{self.num_samples}. Use num_samples={self.num_samples + 1}."
            )

    def _check_budget(self) -> None:
        """Refuse to list more states than the estimator does: of the code, or of a variable."""
        budget: int | None = getattr(ESTIMATORS[self.estimator], "budget", None)
        if budget is None:
            return
        ways = 2 if self.latent == "bernoulli" else self.num_categories
        text = str(ways)
        if self.latent == "k-subset":
            text = f"C({self.num_categories}, {self.subset_size})"
            # which is no less than num_categories, and slow to count where that is huge
            if ways <= budget:
                ways = math.comb(self.num_categories, self.subset_size)
        if self.estimator != "exact":
            if ways > budget:
                raise ValueError(
                    f"estimator={self.estimator} lists the {text} states of a variable, more than "
                    f"{budget:,}. Use fewer num_categories or another estimator."
                )
        elif min(ways, budget + 1) ** min(self.num_latents, 64) > budget:
            raise ValueError(
                f"estimator=exact sums over {text}^{self.num_latents} codes, more than "
                f"{budget:,}. Use fewer num_latents or another estimator."
            )

    def make_schedule(self, total_steps: int) -> "Schedule":
        """The temperature as a function of the step; linear and cosine span the whole run."""
        check_count(total_steps, "total_steps", minimum=0)
        if self.schedule == "constant":
            return schedules.Constant(self.temperature)
        if self.schedule == "exponential":
            return schedules.Exponential(
                self.temperature, self.anneal_rate, self.min_temperature, self.anneal_every
            )
        shape = schedules.Linear if self.schedule == "linear" else schedules.Cosine
        return shape(self.temperature, self.min_temperature, max(total_steps, 1))

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Config":
        """From JSON; unknown keys are refused."""
        check_instance(values, dict, "values")
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(str(name) for name in set(values) - known)
        if unknown:
            raise ValueError(
                f"Unknown settings: {listed(unknown)}. Known: {', '.join(sorted(known))}."
            )
        return cls(**values)


Schedule = schedules.Constant | schedules.Exponential | schedules.Linear | schedules.Cosine


def check_level(level: float, name: str = "level") -> None:
    """A share of values, or a standard deviation, in (0, 1]."""
    check_number(level, name, lambda number: 0 < number <= 1, "above 0 and at most 1")
