"""From a data set's values to what the encoder sees and what the decoder is asked for."""

import dataclasses

import torch
from torch import Tensor

from hotgrad.ops.checks import check_choice, check_instance, check_values
from hotgrad.ops.noise import source
from hotgrad.vae.config import CHOICES, Config
from hotgrad.vae.data import Dataset
from hotgrad.vae.settings import check_level


def located(config: Config, dataset: Dataset) -> Config:
    """The configuration with the settings that lead to this data set, from any working directory.

    Raises:
        ValueError: it is no data set.
    """
    _check_is_data_set(dataset)
    return dataclasses.replace(config, **dataset.origin)  # type: ignore[arg-type]  # of no other field


def check_fits(dataset: Dataset, config: Config) -> None:
    """Refuse data that the likelihood can't score."""
    _check_is_data_set(dataset)
    check_instance(config, Config, "config")
    if config.likelihood == "bernoulli" and not dataset.in_unit_interval:
        low, high = dataset.value_range
        raise ValueError(
            f"likelihood=bernoulli needs values in [0, 1]; {dataset.name} ranges from {low:.4g} "
            f"to {high:.4g}. Use likelihood=gaussian or scale the data."
        )


def _check_is_data_set(dataset: object) -> None:
    check_instance(
        dataset,
        Dataset,
        "dataset",
        " Make one: Dataset(name, train, valid, test, shape, binary, source), or "
        "load_dataset(path).",
    )


def make_targets(x: Tensor, kind: str, generator: torch.Generator | None) -> Tensor:
    """Grey values as they are, a fresh Bernoulli draw of each (dynamic), or 0 and 1 (threshold)."""
    check_values(x, "x")
    check_choice("targets", kind, CHOICES["targets"])
    if kind == "dynamic":
        return (torch.rand(x.shape, device=x.device, **source(generator)) < x).to(x.dtype)
    if kind == "threshold":
        return (x > 0.5).to(x.dtype)
    return x


def corrupt(x: Tensor, kind: str, level: float, generator: torch.Generator | None) -> Tensor:
    """Denoising: a share `level` of values set to 0, or Gaussian noise of that deviation added."""
    check_values(x, "x")
    check_choice("corruption", kind, CHOICES["corruption"])
    if kind != "none":
        check_level(level)
    if kind == "mask":
        return x * (torch.rand(x.shape, device=x.device, **source(generator)) >= level)
    if kind == "gaussian":
        return x + level * torch.randn(x.shape, device=x.device, **source(generator))
    return x
