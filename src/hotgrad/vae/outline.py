"""How large a model is, told before any of its memory is asked for."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from hotgrad.memory import physical_memory
from hotgrad.vae.config import Config
from hotgrad.vae.model import VAE, make_model

TRAINING_COPIES = 3
"""Weights, gradients and at least one average for each in the optimiser."""


@contextmanager
def outlined() -> Iterator[None]:
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


def outline_model(config: Config, shape: tuple[int, ...]) -> VAE:
    """The model that a configuration describes, without memory for its weights."""
    with outlined():
        return make_model(config, shape)


def check_memory(outline: nn.Module) -> None:
    """Refuse to train what this machine's memory can't hold.

    Raises:
        ValueError: it can't.
    """
    parameters = sum(parameter.numel() for parameter in outline.parameters())
    size = sum(parameter.nbytes for parameter in outline.parameters())
    memory = physical_memory()
    if memory is not None and TRAINING_COPIES * size > memory:
        raise ValueError(
            f"the model has {parameters:,} parameters, and training them takes at least "
            f"{TRAINING_COPIES * size / 1e9:,.0f} GB of memory, of which this machine has "
            f"{memory / 1e9:,.0f} GB. Use fewer num_latents or num_categories, or smaller widths "
            "in hidden."
        )
