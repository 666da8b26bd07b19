"""The diagnosis: its enumeration beside another exact way, and how near the fits come to it."""

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

CAUSES = 12


def quickscore(example: Any) -> tuple[float, Tensor]:
    """log p(findings) and each p(cause | findings), by a sum over sets of present findings.

    Reference: A Tractable Inference Algorithm for Diagnosing Multiple Diseases (Heckerman, 1989),
    https://arxiv.org/abs/1304.1511
    """
    network = list(example.CAUSES.values())[:CAUSES]
    total, with_cause = 0.0, [0.0] * CAUSES
    present = example.PRESENT
    for size in range(len(present) + 1):
        for some in itertools.combinations(present, size):
            missing = (*some, *example.ABSENT)
            spared = [
                math.prod(1 - brings.get(name, 0.0) for name in missing) for _, brings in network
            ]
            factors = [1 - prior + prior * s for (prior, _), s in zip(network, spared, strict=True)]
            term = (-1) ** size * (1 - example.LEAK) ** len(missing) * math.prod(factors)
            total += term
            for j, (prior, _) in enumerate(network):
                with_cause[j] += term * prior * spared[j] / factors[j]
    return math.log(total), torch.tensor(with_cause) / total


def test_enumeration_and_the_fits(example: Any, tmp_path: Path) -> None:
    found = example.main(tmp_path, causes=CAUSES, steps=1500)
    _, right = quickscore(example)
    torch.testing.assert_close(found["exact"], right, atol=1e-5, rtol=0)
    off = {name: float((marginals - right).abs().max()) for name, marginals in found.items()}
    # the ELBO overlooks rivals of the likeliest explanation, as the example says
    assert off["bound of 16"] < 0.12 < 0.15 < off["ELBO"]
    assert off["bound of 16, weighted"] < 0.04
    with Image.open(tmp_path / "diagnosis.png") as image:
        assert image.size == (2000, 1240)


def test_the_log_joint_is_normalised(example: Any) -> None:
    log_joint, q = example.problem(CAUSES)
    states = q.enumerate_support()
    log_evidence, _ = quickscore(example)
    assert float(log_joint(states).double().logsumexp(0)) == pytest.approx(log_evidence, abs=1e-4)
    assert example.problem()[1].event_shape == (20,)
