"""Everything that defines a run, in one frozen dataclass that checks itself and travels as JSON."""

import dataclasses
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

from hotgrad import schedules
from hotgrad.estimators import ESTIMATORS
from hotgrad.ops.checks import (
    as_shape,
    check_choice,
    check_count,
    check_instance,
    check_one_temperature,
    check_positive,
    check_text,
    listed,
    plain_fields,
)
from hotgrad.vae.latent import DISTRIBUTIONS
from hotgrad.vae.likelihood import LIKELIHOODS
from hotgrad.vae.networks import NETWORKS
from hotgrad.vae.pairings import BASELINES, WORKING, check_budget, check_num_samples
from hotgrad.vae.settings import (
    DATA,
    GRADIENT,
    MODEL,
    TRAINING,
    ChosenName,
    ChosenSize,
    check_level,
    check_optional_text,
    setting,
    setting_of,
)


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

    data: str = setting(
        "digits",
        DATA,
        "digits, mnist, binarized-mnist, or a .npy or .npz file.",
        check_text,
        placeholder="NAME",
    )
    data_dir: str | None = setting(
        None,
        DATA,
        "Folder with mnist or binarized-mnist in it.",
        check_optional_text,
        placeholder="DIR",
    )
    column: str | None = setting(
        None, DATA, "Array to take from an .npz file.", check_optional_text, placeholder="NAME"
    )
    targets: str = setting(
        "grey",
        DATA,
        "Grey as is, binarised anew each time, or at 0.5: ",
        choices=("grey", "dynamic", "threshold"),
    )
    corruption: str = setting(
        "none",
        DATA,
        "Denoising, what the encoder's input suffers: ",
        choices=("none", "mask", "gaussian"),
    )
    corruption_level: float = setting(
        0.25, DATA, "Share of masked values, or the noise's standard deviation.", check_level
    )

    latent: str = setting("categorical", MODEL, "Kind of code: ", choices=tuple(DISTRIBUTIONS))
    num_latents: int = setting(20, MODEL, "Latent variables or bits.", check_count)
    num_categories: int = setting(
        10,
        MODEL,
        "Categories of each variable (categorical, k-subset).",
        partial(check_count, minimum=2),
    )
    subset_size: int = setting(
        0,
        MODEL,
        "How many of them each variable has (k-subset); 0 is half.",
        partial(check_count, minimum=0),
    )
    network: str = setting("mlp", MODEL, choices=NETWORKS)
    hidden: tuple[int, ...] = setting(
        (256,),
        MODEL,
        "Hidden widths of the MLP, from the data inwards.",
        partial(as_shape, minimum=1),
        placeholder="N,N,..",
    )
    likelihood: str = setting(
        "bernoulli", MODEL, "For values in [0, 1], or for any: ", choices=LIKELIHOODS
    )
    prior: str = setting("uniform", MODEL, choices=("uniform", "learned"))

    estimator: str = setting(
        "auto",
        GRADIENT,
        "auto suits --latent: ",
        choices=("auto", *(name for name in ESTIMATORS if name in {*chain(*WORKING.values())})),
    )
    baseline: str = setting(
        "leave-one-out", GRADIENT, "Of score-function and muprop: ", choices=tuple(BASELINES)
    )
    num_samples: int = setting(
        1,
        GRADIENT,
        "Codes drawn for each item in a step; an even number for arm and disarm, at least 2 for "
        "unordered-set. indecater decodes each of them with one variable changed, in every way: "
        "181 times at 20 x 10.",
        check_count,
    )
    kl: str = setting(
        "analytic",
        GRADIENT,
        "Between the discrete distributions, or between relaxed densities: ",
        choices=("analytic", "concrete"),
    )
    prior_temperature: float = setting(
        0.5, GRADIENT, "Of the prior (--kl concrete).", check_one_temperature
    )
    schedule: str = setting(
        "cosine",
        GRADIENT,
        "Of the temperature: ",
        choices=("constant", "exponential", "linear", "cosine"),
    )
    temperature: float = setting(
        1.0,
        GRADIENT,
        "Temperature at the start; rebar and relax learn it from there.",
        check_one_temperature,
    )
    min_temperature: float = setting(
        0.3, GRADIENT, "Temperature at the end.", check_one_temperature
    )
    anneal_rate: float = setting(
        1e-4, GRADIENT, "Decay a step (--schedule exponential).", schedules.check_rate
    )
    anneal_every: int = setting(
        500, GRADIENT, "Steps between changes (--schedule exponential).", check_count
    )

    epochs: int = setting(100, TRAINING, "Passes over the training data.", check_count)
    batch_size: int = setting(100, TRAINING, "Items a step on each device.", check_count)
    optimizer: str = setting("adam", TRAINING, "sgd has momentum 0.9: ", choices=("adam", "sgd"))
    learning_rate: float = setting(1e-3, TRAINING, "Of the optimiser.", check_positive)
    seed: int = setting(
        0,
        TRAINING,
        "On a CPU the same seed with as many threads gives the same weights, bit for bit.",
        partial(check_count, minimum=0),
    )
    accelerator: str = setting("auto", TRAINING, choices=("auto", "cpu", "cuda", "mps"))
    devices: int = setting(1, TRAINING, "How many.", check_count)
    precision: str = setting(
        "32-true", TRAINING, choices=("32-true", "bf16-mixed", "16-mixed", "64-true")
    )

    def __post_init__(self) -> None:
        # JSON has no word for NumPy's
        plain_fields(self)
        for declared in dataclasses.fields(self):
            known, name, value = setting_of(declared), declared.name, getattr(self, declared.name)
            if known.choices:
                check_choice(name, value, known.choices)
            if known.check is not None:
                known.check(value, name)
        # a list would make a run differ from the same run read back from JSON
        object.__setattr__(self, "hidden", tuple(self.hidden))
        self._settle()
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
        check_num_samples(self.estimator, self.baseline, self.num_samples)
        check_budget(
            self.estimator, self.latent, self.num_latents, self.num_categories, self.subset_size
        )
        if self.targets != "grey" and self.likelihood == "gaussian":
            raise ValueError(
                f"targets={self.targets} makes binary targets, which need likelihood=bernoulli."
            )
        self.make_schedule(1)

    def _settle(self) -> None:
        """Choose what was left open, and refuse an estimator that doesn't fit the code."""
        if isinstance(self.subset_size, ChosenSize):
            object.__setattr__(self, "subset_size", 0)
        if self.latent == "k-subset":
            size = self.subset_size or ChosenSize(self.num_categories // 2)
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
        working = WORKING[self.latent]
        if self.estimator == "auto" or isinstance(self.estimator, ChosenName):
            object.__setattr__(self, "estimator", ChosenName(working[0]))
        if self.estimator not in working:
            raise ValueError(
                f"estimator={self.estimator} doesn't work with latent={self.latent}. "
                f"Use one of {', '.join(working)}."
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


CHOICES: dict[str, tuple[str, ...]] = {
    declared.name: setting_of(declared).choices
    for declared in dataclasses.fields(Config)
    if setting_of(declared).choices
}
"""The values that a setting may have, where they can be listed."""
