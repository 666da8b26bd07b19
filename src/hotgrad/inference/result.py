"""What a fit gives: the posterior, how it came about, and ways to look at it and keep it."""

import contextlib
import math
import os
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hotgrad.estimators.vimco import log_mean
from hotgrad.extras import needing
from hotgrad.inference.diagnosing import diagnose_blocks, log_weights_of
from hotgrad.inference.diagnosis import Diagnosis
from hotgrad.inference.exact import TooManyStatesError, exact_posterior
from hotgrad.inference.log_joint import Piece
from hotgrad.inference.marginals import (
    Marginals,
    Unknown,
    as_unknowns,
    fixed_generator,
    joined,
    rows_at_once,
    unknowns_of,
)
from hotgrad.inference.problem import Problem
from hotgrad.inference.storage import save
from hotgrad.inference.training import CONVERGED, Ending, Trace
from hotgrad.ops import checks

ELBO_STATES, ELBO_SAMPLES = 2**12, 2**10
"""The most states of a row that the ELBO sums over; and samples where there are more."""


class Fit:
    """A fitted posterior, from `fit` or from `load`.

    What goes over all the data (`marginals`, `sample`, `bound`, `diagnose`) does so in pieces, with
    modules in eval mode.
    """

    def __init__(
        self,
        problem: Problem,
        label: str,
        trace: Trace,
        ending: Ending,
        elbo: float | None = None,
    ) -> None:
        self._problem = problem
        self.label = label
        """The objective, the estimator and its samples."""
        self.trace = trace
        """`steps`, `bounds` and `step_sizes`, an entry a step."""
        self.outcome, self.reason = ending
        """"converged", "diverged" or "out of steps"; and why it stopped, in words."""
        self._elbo = elbo

    @property
    def converged(self) -> bool:
        """Whether the bound stopped rising, rather than the steps ran out or a step failed."""
        return self.outcome == CONVERGED

    @property
    def posterior(self) -> Any:
        """The fitted distribution; of an amortised q the module that makes it."""
        return self._problem.variational.posterior

    @property
    def marginals(self) -> Marginals:
        """The means of all unknowns `(*batch, *event)`, by name for a `Joint`."""
        return self._gathered(lambda q: q.mean, 0)

    @property
    def elbo(self) -> float:
        r"""The evidence lower bound of all the data, worked out once.

        $E_q[\log p(x, z)] + H(q)$.

        A sum over all states of a row's unknowns where these are few, otherwise by hard samples.
        -inf where q gives a probability to what the model rules out; NaN, with a warning, where
        log_joint has values that aren't finite.
        """
        if self._elbo is None:
            self._elbo = self._estimate_elbo()
        return self._elbo

    @property
    def unknowns(self) -> list[Unknown]:
        """The marginals once more, unknown by unknown, with what they are of."""
        with self._problem.looking_back():
            return unknowns_of(next(self._problem.blocks()).q, self.marginals)

    def sample(
        self, num_samples: int = 1, *, generator: torch.Generator | None = None
    ) -> Tensor | dict[str, Tensor]:
        """Samples of the posterior `(num_samples, *batch, *event)`, by name for a `Joint`."""
        num_samples = checks.check_count(num_samples, "num_samples")
        checks.check_generator(generator)
        return self._gathered(lambda q: q.sample((num_samples,), generator=generator), 1)

    def bound(self, num_samples: int = 1000, *, generator: torch.Generator | None = None) -> float:
        r"""The importance-weighted bound of all the data, one estimate of it.

        $$\log \frac{1}{S} \sum_{s=1}^S \frac{p(x, z_s)}{q(z_s)}, \quad z_s \sim q,$$

        summed over q's batch. Its mean is below log p(x) and rises towards it with S.

        Args:
            num_samples: S.
            generator: the source of randomness; torch's global one by default.

        Raises:
            ValueError: the fit was loaded without its log_joint.

        Reference: Importance Weighted Autoencoders (Burda, Grosse, Salakhutdinov, 2015), Section 3,
        https://arxiv.org/abs/1509.00519
        """
        num_samples = checks.check_count(num_samples, "num_samples")
        checks.check_generator(generator)
        total = 0.0
        with self._problem.looking_back():
            for block in self._problem.blocks():
                log_weights = log_weights_of(block.q, block.log_joint, num_samples, generator)
                total += float(log_mean(log_weights).sum())
        return total

    def diagnose(
        self,
        num_samples: int = 1000,
        *,
        budget: int = 2**16,
        generator: torch.Generator | None = None,
    ) -> Diagnosis:
        """How far to trust the posterior; needs ArviZ.

        Pareto-k-hat and the effective size of importance weights, and, where a row's unknowns have
        no more than `budget` states, the exact posterior: KL and the worst marginal.

        Args:
            num_samples: of the weights.
            budget: the most states that are enumerated.
            generator: the source of randomness; torch's global one by default.

        Raises:
            ValueError: the fit was loaded without its log_joint.
            ModuleNotFoundError: ArviZ isn't installed.
        """
        with self._problem.looking_back():
            blocks = ((block.q, block.log_joint) for block in self._problem.blocks())
            return diagnose_blocks(
                blocks, num_samples=num_samples, budget=budget, generator=generator
            )

    def plot(self, path: str | os.PathLike[str], *, title: str = "Fit to the posterior") -> None:
        """Draws the bound over the steps and the marginals, as a PNG.

        Args:
            path: the file, written whole or not at all.
            title: one line above.

        Raises:
            ValueError: the folder doesn't exist.
            ModuleNotFoundError: matplotlib isn't installed.
        """
        with needing("infer", "plot"):
            from hotgrad import canvas
            from hotgrad.inference.plot import picture_of
        checks.check_text(title, "title")
        canvas.save(picture_of(self, title), path)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes what was learned and how it came about, for `load`; as a safetensors file.

        Args:
            path: the file, written whole or not at all.

        Raises:
            ValueError: the folder doesn't exist.
            ModuleNotFoundError: safetensors isn't installed.
        """
        ending = Ending(self.outcome, self.reason)
        save(path, self._problem, self.trace, self.elbo, self.label, ending)

    def _estimate_elbo(self) -> float:
        total = 0.0
        try:
            with self._problem.looking_back():
                for block in self._problem.blocks():
                    total += float(_elbo_of(block).sum())
        except checks.NotFiniteError as error:
            # nothing else of the fit is lost for it
            warnings.warn(f"The bound of the fit is unknown. {error}", stacklevel=3)
            return math.nan
        return total

    def _gathered(self, of: Callable[[Any], Any], dim: int) -> Any:
        with self._problem.looking_back():
            found = [of(block.q) for block in self._problem.blocks()]
        return joined(found, dim)

    def __repr__(self) -> str:
        # only what is known already: to work the ELBO out would run the user's model
        steps = f"{len(self.trace.bounds):,} steps, {self.outcome}"
        if self._elbo is not None:
            return f"Fit({self.posterior!r}, elbo={self._elbo:.6g}, {steps})"
        what = "relaxed bound" if self.trace.relaxed else "bound"
        return f"Fit({self.posterior!r}, {what} at the end {self.trace.latest:.6g}, {steps})"


def _elbo_of(block: Piece) -> Tensor:
    """Of each row `(*batch,)`: exactly where the states are few, otherwise from samples."""
    with contextlib.suppress(TooManyStatesError, NotImplementedError):
        return exact_posterior(block.q, block.log_joint, budget=ELBO_STATES).elbo
    vector = as_unknowns(block.q)
    # many unknowns take long, and average out each other's noise
    samples = min(rows_at_once(vector), ELBO_SAMPLES)
    # nearly alike where q is near the posterior, as log p alone isn't
    return log_weights_of(vector, block.log_joint, samples, fixed_generator(vector)).mean(0)
