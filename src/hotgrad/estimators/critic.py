"""A critic for RELAX that suits any q: one hidden layer on a relaxed sample and the mean."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hotgrad.ops.checks import check_count, shown


class Critic(nn.Module):
    """`critic(y, mean)`: a smooth network of a relaxed sample and of the marginals.

    Says 0 until it learns: `RELAX` with it starts as plain REINFORCE. Its own precision is float32
    whatever the samples' is.

    Args:
        event_shape: of one sample, `q.event_shape`.
        hidden: the hidden layer's width.

    Raises:
        ValueError: an event shape that is none, or, when used, another one than the samples'.

    Example:
        >>> critic = hg.Critic((20, 10))
        >>> critic(torch.rand(4, 7, 20, 10), torch.rand(4, 7, 20, 10)).shape
        torch.Size([4, 7])
    """

    def __init__(self, event_shape: Sequence[int], hidden: int = 100) -> None:
        super().__init__()
        if not isinstance(event_shape, tuple | list) or not all(
            isinstance(size, int) and size >= 0 for size in event_shape
        ):
            raise ValueError(
                f"event_shape must be a shape, q.event_shape; got {shown(event_shape)}."
            )
        check_count(hidden, "hidden")
        self.event_shape = torch.Size(event_shape)
        self.inner = nn.Linear(2 * self.event_shape.numel(), hidden)
        self.outer = nn.Linear(hidden, 1)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def extra_repr(self) -> str:
        return f"event_shape={tuple(self.event_shape)}"

    def forward(self, y: Tensor, mean: Tensor) -> Tensor:
        """`(*lead,)` for samples and means `(*lead, *event)`."""
        lead = y.shape[: y.ndim - len(self.event_shape)]
        if y.shape[len(lead) :] != self.event_shape:
            raise ValueError(
                f"The critic is made for events of shape {tuple(self.event_shape)}, got relaxed "
                f"samples of shape {tuple(y.shape)}. Use Critic(q.event_shape)."
            )
        size = self.event_shape.numel()
        features = torch.cat([x.reshape((*lead, size)) for x in (y, mean)], -1)
        features = 2 * features.to(self.inner.weight.dtype) - 1
        # smooth, since what it learns by is the slope of a slope
        said: Tensor = self.outer(nn.functional.silu(self.inner(features)))
        return said.squeeze(-1).to(y.dtype)
