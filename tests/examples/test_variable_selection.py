"""Variable selection: the model beside a dense one, its rival, and what the estimators reach."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

WIDTH = 30


def dense(example: Any, z: Tensor, width: int) -> Tensor:
    """log p(y, z) by y's own covariance, noise 1 + kept columns, with the noise integrated out."""
    _, x, y = example.table(width)
    odds = example.EXPECTED / (width - example.EXPECTED)
    values = []
    for kept in z.double():
        covariance = torch.eye(len(y), dtype=x.dtype) + example.SLAB * (x * kept) @ x.T
        length = y @ torch.linalg.solve(covariance, y)
        shape = (len(y) - 1) / 2
        log_likelihood = -0.5 * torch.logdet(covariance) - shape * length.log()
        values.append(log_likelihood + kept.sum() * np.log(odds))
    return torch.stack(values)


@pytest.mark.parametrize("width", [10, WIDTH])
def test_the_log_joint_is_that_of_the_dense_model(
    example: Any, width: int, generator: torch.Generator
) -> None:
    z = torch.randint(2, (12, width), generator=generator).float()
    log_joint, q = example.bits(width)
    assert q.event_shape == (width,)
    given, right = log_joint(z).double(), dense(example, z, width)
    torch.testing.assert_close(given - given[0], right - right[0], atol=2e-3, rtol=0)


def test_named_unknowns_are_put_in_order(example: Any) -> None:
    log_joint, q = example.problem()
    z = q.sample((5,), generator=torch.Generator().manual_seed(0))
    kept = example.in_order(z)
    assert torch.equal(kept[:, :4], z["rest"][:, :4])
    assert torch.equal(kept[:, 8:], z["rest"][:, 4:])
    code = z["blood"].argmax(-1)
    bits = [[int(bit) for bit in f"{number:04b}"] for number in code.tolist()]
    assert kept[:, 4:8].int().tolist() == bits
    torch.testing.assert_close(log_joint(z), example.bits(10)[0](kept))


def test_the_sampler_has_the_models_marginals(example: Any) -> None:
    log_joint, q = example.bits(10)
    states = q.enumerate_support()
    exact = log_joint(states).softmax(0) @ states
    chain = np.stack(list(itertools.islice(example.gibbs(*example.table()[1:]), 4000)))
    off = np.abs(chain.mean(0) - exact.numpy()).max()
    # what independent bits come to is off by 0.4
    assert off < 0.04


def test_what_the_ways_reach(example: Any, tmp_path: Path) -> None:
    found = example.main(tmp_path, width=WIDTH, steps=300, sweeps=2000)
    log_joint, q = example.bits(10)
    states = q.enumerate_support()
    exact = log_joint(states).softmax(0) @ states
    ten = found["ten"]
    torch.testing.assert_close(ten["exact"], exact, atol=1e-4, rtol=0)
    off = {way: float((kept - exact).abs().max()) for way, kept in ten.items()}
    for way in ("ScoreFunction", "IndeCateR", "REBAR"):
        assert off[way] < 0.25
    # as the picture says of them
    for way in ("GumbelSoftmax", "ReinMax", "independent bits"):
        assert off[way] > 0.3
    many = found["many"]
    reached = {way: float((kept - many["long Gibbs"]).abs().max()) for way, kept in many.items()}
    assert reached["bound of 32, weighted"] < min(reached["ELBO"], reached["bound of 32"])
    with Image.open(tmp_path / "variables.png") as image:
        assert image.size == (2088, 1310)
