"""Estimators that learn are measured after they did: on this very f and q, which stay the same."""

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import nn

from hotgrad.audit.replicates import Replicates

STEPS = 300
LEARNING_RATE = 0.02
REPLICATES, ELEMENTS = 32, 2**14
"""Side by side in each step; fewer where they have more elements of z together."""


def learnt(
    problem: Replicates,
    estimator: nn.Module,
    num_samples: int,
    per_call: int,
    generator: torch.Generator,
    progress: Callable[[float], None],
) -> nn.Module:
    """A copy of the estimator that has learnt, in evaluation mode.

    Args:
        problem: f and q, neither of which learns.
        estimator: a module with parameters, or with statistics that it keeps.
        num_samples: of a call.
        per_call: the most replicates of a call.
        generator: the source of randomness.
        progress: called with the share that is done.
    """
    copy: nn.Module = deepcopy(estimator).train()
    parameters = [p for p in copy.parameters() if p.requires_grad]
    replicates = max(min(REPLICATES, per_call, ELEMENTS // max(problem.size, 1)), 1)
    optimizer = torch.optim.Adam(parameters, LEARNING_RATE) if parameters else None
    for step in range(STEPS):
        value, _ = problem.surrogate(copy, num_samples, replicates, generator)
        if optimizer is not None:
            # not backward(), which would leave gradients in f's parameters
            slopes = torch.autograd.grad(value.mean(), parameters, allow_unused=True)
            for parameter, slope in zip(parameters, slopes, strict=True):
                parameter.grad = slope
            optimizer.step()
        progress((step + 1) / STEPS)
    copy.zero_grad()
    return copy.eval()
