"""The objectives of the relaxed estimators, for one bit, integrated without reparameterising."""

import math

import torch
from scipy import integrate
from torch import Tensor

LOGIT = 0.4


def smooth(y: Tensor) -> Tensor:
    """An f of a bit that is far from linear."""
    return (2 * y - 0.3) ** 3 + y.square()


def smooth_slope(y: float) -> float:
    return 6 * (2 * y - 0.3) ** 2 + 2 * y


def relaxed_objective_slope(logit: float, temperature: float) -> float:
    """d/da of the integral of f(sigmoid(x / t)) against the logistic density around a.

    The derivative is the density's, not f's: nothing is reparameterised here.
    """

    def integrand(x: float) -> float:
        up = 1 / (1 + math.exp(logit - x))
        density_slope = up * (1 - up) * (1 - 2 * up)
        y = 1 / (1 + math.exp(-x / temperature))
        return float(smooth(torch.tensor(y, dtype=torch.float64))) * -density_slope

    return float(integrate.quad(integrand, -35, 35, epsabs=1e-11, limit=400)[0])


def straight_through_slope(logit: float, temperature: float) -> float:
    """E[f'(hard) d(soft)/da], the hard bit being 1 where x = a + noise is positive."""

    def integrand(x: float) -> float:
        up = 1 / (1 + math.exp(logit - x))
        y = 1 / (1 + math.exp(-x / temperature))
        return smooth_slope(float(x > 0)) * y * (1 - y) / temperature * up * (1 - up)

    halves = (integrate.quad(integrand, *ends, epsabs=1e-12)[0] for ends in ((-35, 0), (0, 35)))
    return float(sum(halves))


def logistic_nodes(logit: float) -> tuple[Tensor, Tensor]:
    """Noise and weights: the trapezoidal rule, with a node's middle where the hard bit turns."""
    step = 0.002
    noise = (torch.arange(-20_000, 20_000, dtype=torch.float64) + 0.5) * step - logit
    return noise, step * noise.sigmoid() * (-noise).sigmoid()
