"""The door to ArviZ: its Pareto fit for the diagnosis, and samples in its format for its plots."""

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hotgrad.extras import needing
from hotgrad.ops import checks

if TYPE_CHECKING:
    import arviz


def as_inference_data(samples: Tensor | Mapping[str, Tensor]) -> "arviz.InferenceData":
    """Samples as one chain of ArviZ, for its summaries and plots.

    They are independent draws of the fitted q, so what ArviZ says of mixing is about chance alone;
    whether q is the posterior, `diagnose` tells.

    Args:
        samples: `(num_samples, *batch, *event)`, or such tensors by name, as a fit's `sample`
            returns them. A single tensor is called `z`.

    Raises:
        ValueError: something else.
        ModuleNotFoundError: ArviZ isn't installed.

    Example:
        >>> from hotgrad.inference.arviz import as_inference_data
        >>> q = hg.Bernoulli(probs=torch.tensor([0.1, 0.5, 0.9])).to_event(1)
        >>> data = as_inference_data(q.sample((500,)))
        >>> dict(data.posterior.sizes)
        {'chain': 1, 'draw': 500, 'z_dim_0': 3}
    """
    named = {"z": samples} if isinstance(samples, Tensor) else samples
    if not isinstance(named, Mapping) or not all(isinstance(z, Tensor) for z in named.values()):
        raise ValueError(
            f"samples must be a tensor, or tensors by name, got {checks.shown(samples)}."
        )
    chains = {
        # NumPy has no bfloat16
        name: z.detach().to("cpu", torch.float64).unsqueeze(0).numpy()
        for name, z in named.items()
    }
    data: arviz.InferenceData = import_arviz().from_dict(posterior=chains)
    return data


def import_arviz() -> Any:
    """The package.

    Raises:
        ModuleNotFoundError: it isn't installed.
    """
    with needing("infer", "diagnosing a fit"):
        try:
            return _import()
        except FileNotFoundError:
            # Once a day ArviZ notes in the user's cache that it has warned of its next version. Of
            # two processes that do so at one time one finds the note moved away; now it is there.
            return _import()


def _import() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        import arviz
    return arviz
