"""A run's three pictures, made from its model, its data and its metrics."""

import csv

import torch

from hotgrad import vae
from hotgrad.cli.item_pictures import save_reconstructions, save_samples
from hotgrad.cli.learning_curves import save_curves
from hotgrad.estimators import ESTIMATORS

NUM_SAMPLES = 64
NUM_RECONSTRUCTIONS = 12
PICTURE_SEED = 0
"""Pictures of one model are always the same."""


@torch.no_grad()
def draw_pictures(folder: vae.RunFolder, model: vae.VAE, dataset: vae.Dataset) -> None:
    """samples.png, reconstructions.png and curves.png in the run's folder."""
    config, shape = folder.read_config()
    model = model.cpu().float()
    generator = torch.Generator().manual_seed(PICTURE_SEED)
    code = _describe(config)
    items = model.generate(NUM_SAMPLES, generator=generator).unflatten(-1, shape)
    save_samples(folder.path / "samples.png", items, title=f"Drawn from the prior: {code}")
    targets = vae.make_targets(dataset.test[:NUM_RECONSTRUCTIONS], config.targets, generator)
    visible = vae.corrupt(targets, config.corruption, config.corruption_level, generator)
    save_reconstructions(
        folder.path / "reconstructions.png",
        targets.unflatten(-1, shape),
        model.reconstruct(visible).unflatten(-1, shape),
        title=f"Test items and what their codes keep: {code}",
        corrupted=None if config.corruption == "none" else visible.unflatten(-1, shape),
    )
    with folder.metrics_file.open(newline="") as file:
        rows = list(csv.DictReader(file))
    # so that nobody reads the gap between the two curves as overfitting alone
    relaxed = ESTIMATORS[config.estimator].relaxes_f
    note = " (train: relaxed samples, not a bound)" if relaxed else ""
    save_curves(folder.path / "curves.png", rows, title=f"{dataset.name}: {code}{note}")


def _describe(config: vae.Config) -> str:
    code = {
        "categorical": f"{config.num_latents} x {config.num_categories} categories",
        "bernoulli": f"{config.num_latents} bits",
        "k-subset": f"{config.num_latents} x ({config.subset_size} of {config.num_categories})",
    }[config.latent]
    return f"{code}, {config.estimator}"
