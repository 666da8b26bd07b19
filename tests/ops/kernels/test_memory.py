"""What a sample and its gradient hold in memory: themselves, and nothing else of their size."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from ops.kernels.reasons import needs_kernels
from torch import Generator, Tensor
from torch.profiler import ProfilerActivity, profile

import hotgrad as hg

SHAPE = 1024, 4096
SMALL = 1.02


def peak(work: Callable[[], Any]) -> int:
    """The most bytes that torch has held at once, besides those it held before."""
    activities = [ProfilerActivity.CPU]
    with profile(activities=activities, profile_memory=True, acc_events=True) as profiler:
        result = work()
    assert profiler.profiler is not None
    events = profiler.profiler.kineto_results.events()
    changes = [(e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]"]
    held = most = 0
    for _, change in sorted(changes, key=lambda pair: pair[0]):
        held += change
        most = max(most, held)
    del result
    return most


@needs_kernels
@pytest.mark.parametrize(
    ("function", "hard", "dtype", "tensors"),
    [
        (hg.gumbel_softmax, False, torch.float32, 2),
        (hg.gumbel_softmax, False, torch.bfloat16, 2),
        (hg.binary_concrete, False, torch.float32, 2),
    ],
)
def test_forward_and_backward(
    function: Any, hard: bool, dtype: torch.dtype, tensors: int, generator: Generator
) -> None:
    logits = torch.zeros(SHAPE, dtype=dtype, requires_grad=True)
    upstream = torch.ones(SHAPE, dtype=dtype)

    def step() -> Tensor:
        y = function(logits, 0.7, hard=hard, generator=generator)
        y.backward(upstream)
        return y

    step()
    logits.grad = None
    size = logits.numel() * logits.element_size()
    assert tensors * size <= peak(step) < tensors * SMALL * size
