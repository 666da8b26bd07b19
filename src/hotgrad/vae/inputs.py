"""From a data set's values to what the encoder sees and what the decoder is asked for."""

import torch
from torch import Tensor

from hotgrad.vae.config import Config
from hotgrad.vae.data import Dataset


def check_fits(dataset: Dataset, config: Config) -> None:
    """Refuse data that the likelihood can't score."""
    if config.likelihood == "bernoulli" and not dataset.in_unit_interval:
        low, high = dataset.value_range
        raise ValueError(
            f"likelihood=bernoulli needs values in [0, 1]; {dataset.name} ranges from {low:.4g} "
            f"to {high:.4g}. Use likelihood=gaussian or scale the data."
        )


def make_targets(x: Tensor, kind: str, generator: torch.Generator | None) -> Tensor:
    """Grey values as they are, a fresh Bernoulli draw of each (dynamic), or 0 and 1 (threshold)."""
    if kind == "dynamic":
        return (torch.rand(x.shape, device=x.device, generator=generator) < x).to(x.dtype)
    if kind == "threshold":
        return (x > 0.5).to(x.dtype)
    return x


def corrupt(x: Tensor, kind: str, level: float, generator: torch.Generator | None) -> Tensor:
    """Denoising: a share `level` of values set to 0, or Gaussian noise of that deviation added."""
    if kind == "mask":
        return x * (torch.rand(x.shape, device=x.device, generator=generator) >= level)
    if kind == "gaussian":
        return x + level * torch.randn(x.shape, device=x.device, generator=generator)
    return x
