"""From a configuration to its model: with weights, or without memory, to see how large it is."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from hotgrad.memory import physical_memory
from hotgrad.ops.checks import check_instance
from hotgrad.seeding import seeded_weights
from hotgrad.vae.config import Config
from hotgrad.vae.latent import make_latent
from hotgrad.vae.likelihood import make_likelihood
from hotgrad.vae.model import VAE
from hotgrad.vae.networks import make_decoder, make_encoder

TRAINING_COPIES = 3
"""Weights, gradients and at least one average for each in the optimiser."""


def build_model(config: Config, shape: tuple[int, ...]) -> VAE:
    """The model that a configuration describes, for items of this shape.

    Its weights depend on the configuration's seed alone; torch's global generator isn't used.
    """
    check_instance(config, Config, "config")
    with seeded_weights(config.seed):
        return _model(config, shape)


def _model(config: Config, shape: tuple[int, ...]) -> VAE:
    """The same model, with weights from wherever torch takes them."""
    latent = make_latent(
        config.latent, config.num_latents, config.num_categories, config.subset_size
    )
    return VAE(
        make_encoder(config.network, shape, config.hidden, latent.size),
        make_decoder(config.network, shape, config.hidden, latent.size),
        latent,
        make_likelihood(config.likelihood),
        learned_prior=config.prior == "learned",
    )


@contextmanager
def without_memory() -> Iterator[None]:
    """Around the making of modules that have shapes and no memory.

    Raises:
        ValueError: a tensor would have more bytes than can be counted.
    """
    try:
        with torch.device("meta"):
            yield
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            "the model is too large for any machine: one of its layers has more than 2^63 bytes. "
            "Use fewer num_latents or num_categories, or smaller widths in hidden."
        ) from error


def model_without_memory(config: Config, shape: tuple[int, ...]) -> VAE:
    """The model that a configuration describes, without memory for its weights."""
    with without_memory():
        return _model(config, shape)


def check_memory(model: nn.Module) -> None:
    """Refuse to train what this machine's memory can't hold.

    Raises:
        ValueError: it can't.
    """
    parameters = sum(parameter.numel() for parameter in model.parameters())
    size = sum(parameter.nbytes for parameter in model.parameters())
    memory = physical_memory()
    if memory is not None and TRAINING_COPIES * size > memory:
        raise ValueError(
            f"the model has {parameters:,} parameters, and training them takes at least "
            f"{TRAINING_COPIES * size / 1e9:,.0f} GB of memory, of which this machine has "
            f"{memory / 1e9:,.0f} GB. Use fewer num_latents or num_categories, or smaller widths "
            "in hidden."
        )
