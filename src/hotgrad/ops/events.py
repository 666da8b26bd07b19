"""Values of samples beside the samples themselves, which have the event's dimensions more."""

from torch import Tensor


def over_event(terms: Tensor, batch_dims: int) -> Tensor:
    """The sum over all dimensions but the first so many."""
    return terms.flatten(batch_dims).sum(-1) if terms.ndim > batch_dims else terms


def like_event(values: Tensor, z: Tensor) -> Tensor:
    """Values `(*lead,)` with a 1 for each event dimension of z, so that they multiply it."""
    return values.reshape(values.shape + (1,) * (z.ndim - values.ndim))
