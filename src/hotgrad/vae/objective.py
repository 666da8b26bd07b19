"""What is optimised: the model and the estimator together, since an estimator may learn too."""

import torch
from torch import Tensor, nn

from hotgrad.estimators import (
    ESTIMATORS,
    Critic,
    Estimator,
    Learned,
    at_temperature,
    has_baseline,
    make_estimator,
)
from hotgrad.estimators.score_function import Baseline
from hotgrad.seeding import seeded_weights
from hotgrad.vae.build import build_model, check_memory, model_without_memory, without_memory
from hotgrad.vae.config import Config
from hotgrad.vae.model import VAE
from hotgrad.vae.pairings import BASELINES

AVERAGES: dict[str, tuple[str, ...]] = {
    "adam": ("step", "exp_avg", "exp_avg_sq"),
    "sgd": ("momentum_buffer",),
}
"""What each optimiser keeps of each parameter: tensors of its shape, and the scalar `step`."""


class Objective(nn.Module):
    """A model, its estimator, and the objective that a configuration chooses."""

    def __init__(self, model: VAE, estimator: Estimator, config: Config) -> None:
        super().__init__()
        self.model = model
        self.estimator = estimator
        self.config = config

    def forward(
        self, x: Tensor, target: Tensor, temperature: float, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Reconstruction and KL, each summed over the batch."""
        estimator = at_temperature(self.estimator, temperature)
        config = self.config
        if config.kl == "concrete":
            terms = self.model.concrete_elbo(
                x,
                estimator,  # type: ignore[arg-type]  # the configuration made sure of it
                prior_temperature=config.prior_temperature,
                target=target,
                num_samples=config.num_samples,
                generator=generator,
            )
        else:
            terms = self.model(
                x, estimator, target=target, num_samples=config.num_samples, generator=generator
            )
        return terms.reconstruction.sum(), terms.kl.sum()

    def temperature(self, scheduled: float) -> float | None:
        """The estimator's: as scheduled or as it has learnt it; None where it has none."""
        found = getattr(at_temperature(self.estimator, scheduled), "temperature", None)
        return found.item() if isinstance(found, Tensor) else found


def build_objective(
    config: Config, shape: tuple[int, ...]
) -> tuple[Objective, torch.optim.Optimizer]:
    """The model with its estimator, and an optimiser over the parameters of both.

    All first weights depend on the seed alone.
    """
    model = build_model(config, shape)
    with seeded_weights(config.seed):
        objective = Objective(model, _make_estimator(config, model), config)
    # fused: one pass over the parameters where the default takes one for each operation
    if config.optimizer == "sgd":
        return objective, torch.optim.SGD(
            objective.parameters(), config.learning_rate, momentum=0.9, fused=True
        )
    return objective, torch.optim.Adam(objective.parameters(), config.learning_rate, fused=True)


def check_trainable(config: Config, shape: tuple[int, ...]) -> None:
    """Refuse a model that can't be built for such items, or not in this machine's memory.

    Raises:
        ValueError: it can't; no memory was asked for.
    """
    model = model_without_memory(config, shape)
    with without_memory():
        check_memory(Objective(model, _make_estimator(config, model), config))


def _make_estimator(config: Config, model: VAE) -> Estimator:
    """The named estimator, with what it learns."""
    baseline = _baseline(config, model) if has_baseline(ESTIMATORS[config.estimator]) else None
    critic = Critic(model.latent.event_shape) if config.estimator == "relax" else None
    return make_estimator(
        config.estimator, temperature=config.temperature, baseline=baseline, critic=critic
    )


def _baseline(config: Config, model: VAE) -> Baseline:
    """The named baseline; the learned one is a small network on the code's marginals."""
    kind = BASELINES[config.baseline]
    if not issubclass(kind, Learned):
        return kind()
    size, start = model.latent.size, -len(model.latent.event_shape)
    return Learned(
        nn.Sequential(nn.Flatten(start), nn.Linear(size, 100), nn.ReLU(), nn.Linear(100, 1))
    )
