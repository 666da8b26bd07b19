"""Problems for `hotgrad audit` that an autoencoder poses: the gradient that trains its encoder.

For a few items x, f(z) is −log p(x given z) and q is the distribution of their codes. The bound's
other term, the KL, is exact and needs no estimator.
"""

from pathlib import Path

import torch
from torch import Tensor

from hotgrad import vae
from hotgrad.audit.problems import Problem
from hotgrad.cli.runs import open_run
from hotgrad.estimators import GumbelSoftmax
from hotgrad.ops.checks import check_count
from hotgrad.vae.data import iterate_batches

EPOCHS = 40
TEMPERATURE = 0.5
LEARNING_RATE = 3e-3
SMALL = vae.Config(
    num_latents=4, num_categories=8, hidden=(128,), batch_size=100, accelerator="cpu"
)


def digits_problem(items: int, seed: int) -> Problem:
    """The encoder of a small autoencoder that is trained first, which takes a second or two."""
    dataset = vae.load_dataset(SMALL.data)
    x = _first(dataset.test, items)
    model = vae.build_model(SMALL, dataset.shape)
    generator = torch.Generator().manual_seed(seed)
    estimator = GumbelSoftmax(TEMPERATURE)
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE)
    for _ in range(EPOCHS):
        for batch in iterate_batches(
            dataset.train, SMALL.batch_size, generator=generator, shuffle=True
        ):
            loss = -model(batch, estimator, generator=generator).value.mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return _problem("vae", model, x, x, f"4 variables of 8 categories, on {dataset.name}")


def run_problem(run: Path, items: int, seed: int, data_dir: str | None) -> Problem:
    """The encoder of a trained run, on its first test items."""
    opened = open_run(run, data_dir=data_dir)
    config = opened.config
    generator = torch.Generator().manual_seed(seed)
    target = vae.make_targets(_first(opened.dataset.test, items), config.targets, generator)
    visible = vae.corrupt(target, config.corruption, config.corruption_level, generator)
    code = " x ".join(map(str, opened.model.latent.event_shape))
    text = f"{config.latent} codes of {code}, on {opened.dataset.name}"
    name = run.resolve().name
    return _problem(name, opened.model.float(), visible, target, text)


def _problem(name: str, model: vae.VAE, x: Tensor, target: Tensor, code: str) -> Problem:
    model.eval().requires_grad_(False)
    q = model.encode(x)

    def f(z: Tensor) -> Tensor:
        return -model.log_likelihood(target, z)

    return Problem(name, f"the encoder's gradient for {len(x)} items: {code}", f, q)


def _first(items: Tensor, count: int) -> Tensor:
    check_count(count, "--items")
    if count > len(items):
        raise ValueError(f"--items is {count:,}, but there are {len(items):,} test items.")
    return items[:count]
