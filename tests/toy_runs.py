"""Small data and small configurations, so that a run takes a fraction of a second."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hotgrad import vae


def toy_dataset(rows: int = 60, shape: tuple[int, ...] = (4, 4)) -> vae.Dataset:
    """Items of two kinds, bright on one half or on the other, a little noisy, in [0, 1]."""
    generator = torch.Generator().manual_seed(5)
    size = int(torch.tensor(shape).prod())
    kind = torch.arange(rows) % 2
    side = (torch.arange(size) < size // 2).long()
    clean = (kind[:, None] == side).float()
    x = 0.9 * clean + 0.1 * torch.rand(rows, size, generator=generator)
    third = rows // 3
    return vae.Dataset("toy", x[:third], x[third:-third], x[-third:], shape, False, "the tests")


def toy_config(**changes: Any) -> vae.Config:
    """Three variables of two categories, small enough for every estimator."""
    settings: dict[str, Any] = {
        "num_latents": 3,
        "num_categories": 2,
        "hidden": (8,),
        "epochs": 1,
        "batch_size": 10,
        "accelerator": "cpu",
    }
    return vae.Config(**{**settings, **changes})


def train_toy(out: Path, dataset: vae.Dataset | None = None, **changes: Any) -> vae.VAE:
    """A run of the toy configuration on the toy data."""
    return vae.train(toy_config(**changes), out, dataset=dataset or toy_dataset())


def toy_model(
    latent: vae.Latent,
    likelihood: Any = None,
    *,
    items: int = 3,
    learned_prior: bool = False,
    dtype: torch.dtype = torch.float64,
    encoder: Callable[[Tensor], Tensor] | None = None,
    decoder: Callable[[Tensor], Tensor] | None = None,
) -> vae.VAE:
    """A linear autoencoder with weights of order one and, if learned, an uneven prior."""
    generator = torch.Generator().manual_seed(11)
    model = vae.VAE(
        encoder or torch.nn.Linear(items, latent.size),  # type: ignore[arg-type]
        decoder or torch.nn.Linear(latent.size, items),  # type: ignore[arg-type]
        latent,
        likelihood or vae.BernoulliLikelihood(),
        learned_prior=learned_prior,
    ).to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=dtype))
    return model
