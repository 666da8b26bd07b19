"""A critic for RELAX that suits any law: one hidden layer on a relaxed sample and the mean."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hotgrad.ops.checks import check_count


class Critic(nn.Module):
    """`critic(y, mean)`: a smooth network of a relaxed sample and of the marginals.

    Says 0 until it learns: `RELAX` with it starts as plain REINFORCE. Its own precision is float32
    whatever the samples' is.

    Args:
        event_shape: of one sample, `q.event_shape`.
        hidden: the hidden layer's width.

    Example:
        >>> critic = hg.Critic((20, 10))
        >>> critic(torch.rand(4, 7, 20, 10), torch.rand(4, 7, 20, 10)).shape
        torch.Size([4, 7])
    """

    def __init__(self, event_shape: Sequence[int], hidden: int = 100) -> None:
        super().__init__()
        check_count(hidden, "hidden")
        self.event_dims = len(event_shape)
        self.inner = nn.Linear(2 * math.prod(event_shape), hidden)
        self.outer = nn.Linear(hidden, 1)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, y: Tensor, mean: Tensor) -> Tensor:
        """`(*lead,)` for samples and means `(*lead, *event)`."""
        lead = y.shape[: y.ndim - self.event_dims]
        features = torch.cat([x.reshape((*lead, -1)) for x in (y, mean)], -1)
        features = 2 * features.to(self.inner.weight.dtype) - 1
        # smooth, since what it learns by is the slope of a slope
        said: Tensor = self.outer(nn.functional.silu(self.inner(features)))
        return said.squeeze(-1).to(y.dtype)
