"""Is f what an audit can measure: right at hard samples, and a fixed function of each of them."""

import torch

from hotgrad.audit.replicates import Replicates
from hotgrad.estimators import entry


def check_function(problem: Replicates, num_samples: int, generator: torch.Generator) -> None:
    """Asks f about hard samples, twice, the second time about one more.

    Raises:
        ValueError: its values have a wrong shape, aren't finite, or differ for the same z.
        Exception: whatever f raises.
    """
    q, f = problem.q, entry.checked(problem.f, problem.q, None)
    with torch.no_grad():
        f(q.sample((num_samples,), generator=generator))
        z = q.sample((num_samples + 1,), generator=generator)
        values = f(z)
        entry.check_finite(values)
        alone = f(z[:1])
    tolerance = torch.finfo(values.dtype).eps ** 0.5 * float(values.abs().max())
    off = float((alone - values[:1]).abs().max())
    if off > tolerance:
        raise ValueError(
            "f must be a fixed function of each sample of z, but the same z got values that differ "
            f"by {off:.3g} when it was asked about again, alone: does f draw at random, or look at "
            "other samples too? Put dropout and batch normalisation into evaluation mode with "
            "module.eval(), or fix the noise inside f."
        )
