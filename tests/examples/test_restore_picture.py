"""The restored picture: the model, the sampler that stands beside it, and what both achieve."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import hotgrad as hg


def test_both_ways_restore_it(example: Any, tmp_path: Path) -> None:
    wrong = example.main(tmp_path, side=64, steps=(4, 100))
    assert wrong["flipped"] == pytest.approx(0.25, abs=0.03)
    assert wrong["fit"] < wrong["flipped"] / 2
    with Image.open(tmp_path / "restored.png") as image:
        assert image.size == (1996, 1330)


def test_the_log_joint_counts_pairs_and_flips(example: Any) -> None:
    log_joint, q = example.problem(5)
    z = q.sample((3,), generator=torch.Generator().manual_seed(0))
    for state, value in zip(z, log_joint(z), strict=True):
        alike = sum(
            1 if state[i, j] == state[k, m] else -1
            for (i, j), (k, m) in itertools.combinations(itertools.product(range(5), repeat=2), 2)
            if abs(i - k) + abs(j - m) == 1
        )
        expected = example.COUPLING * alike + (state * q.logits).sum()
        assert float(value) == pytest.approx(float(expected), rel=1e-5)


def test_straight_through_is_unbiased_on_it(example: Any) -> None:
    """Linear in each pixel: the mean over all samples is the exact gradient."""
    log_joint, q = example.problem(3)
    logits = q.logits.double().requires_grad_()
    distribution = q.with_params({"logits": logits})
    hg.expectation(log_joint, distribution, hg.Exact()).backward()
    exact = logits.grad.clone()
    states = distribution.enumerate_support().reshape(-1, 3, 3).requires_grad_()
    (slopes,) = torch.autograd.grad(log_joint(states).sum(), states)
    probs = distribution.log_prob(states).exp().view(-1, 1, 1)
    mean = distribution.mean
    torch.testing.assert_close((probs * slopes).sum(0) * mean * (1 - mean), exact)


def test_the_sampler_has_the_models_marginals(example: Any) -> None:
    log_joint, q = example.problem(3)
    states = q.enumerate_support().reshape(-1, 3, 3)
    exact = (log_joint(states).softmax(0).view(-1, 1, 1) * states).sum(0)
    sweeps = list(itertools.islice(example.gibbs(q.logits, seed=0), 2000))
    off = (torch.stack(sweeps).mean(0) - exact).abs().max()
    # the pixels' own odds, without neighbours, are what a sampler without a coupling would give
    assert off < 0.04 < 0.1 < (q.mean - exact).abs().max()
