"""The fit itself: steps uphill on the bound, until it stops rising, or the steps are used up."""

import math
import statistics
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from hotgrad.estimators import VIMCO, Estimator, ScoreFunction
from hotgrad.inference.ahead import look_ahead
from hotgrad.inference.model import LogJointFunction, NotFiniteError
from hotgrad.inference.objective import Objective
from hotgrad.inference.problem import Problem
from hotgrad.inference.result import Fit
from hotgrad.inference.rows import Data
from hotgrad.inference.unknowns import OwnLogits
from hotgrad.inference.watch import REDUCTION, REDUCTIONS, Trace, Watch
from hotgrad.ops import checks

LOGITS_STEP, OTHER_STEP = 0.1, 0.005
FURTHEST = 1e3
"""No fit moves a logit so far by steps of a sensible size: its slope vanishes long before."""

MakeOptimizer = Callable[[list[Tensor]], Optimizer]
Progress = Callable[[int, int, float], None]


def fit(
    log_joint: LogJointFunction,
    q: Any,
    *,
    estimator: Estimator | VIMCO | None = None,
    num_samples: int = 16,
    steps: int = 5000,
    objective: str = "elbo",
    optimizer: MakeOptimizer | None = None,
    data: Data | None = None,
    batch_size: int | None = None,
    parameters: Iterable[Tensor] = (),
    tolerance: float | None = 1e-4,
    generator: torch.Generator | None = None,
    progress: Progress | None = None,
) -> Fit:
    r"""Infers discrete unknowns: fits q to the posterior p(z | x) of a model, by its log joint.

    $$\max_\phi \; \mathbb{E}_{q_\phi(z)}[\log p(x, z)] + H(q_\phi) \;\le\; \log p(x),$$

    which is the same as the least KL(q || p(z | x)). The entropy is analytic, but for Plackett-Luce
    laws of many subsets and laws of your own without `entropy`, where it is sampled. The bound is
    only as good as q: a factorised q leaves out how unknowns depend on each other, and tends to be
    too sure. `Fit.diagnose()` says how far to trust it.

    **The model** is one plain function. Without data it is `log_joint(z)`, the data being inside;
    with `data` it is `log_joint(z, x)`, x being the minibatch, and there are two cases:

    - The rows have unknowns of their own: q's batch begins with the number of rows, or q is a
      module that makes it from x (amortised). `log_joint` returns log p(x_i, z_i) for each row,
      `(num_samples, rows)`; a minibatch counts for all rows.
    - All rows share the unknowns. In minibatches `log_joint` then returns a pair, log p(z) of shape
      `(num_samples, *batch)` and log p(x_i | z) of shape `(num_samples, *batch, rows)`: only the
      second is scaled from the minibatch to all rows.

    Parameters of the model are learned along with q (variational EM) if `log_joint` is an
    `nn.Module`, or if they are given. **Structured q**: where some unknowns depend on others,
    take the expectation of the inner ones inside `log_joint`, with their entropy added.

    **Stopping.** The bound is averaged over windows of a fiftieth of `steps`, 50 at least. A window
    rises if it is above the best one by more than `tolerance` of the bound's rise in the latter
    half of the steps, and by more than their noise. When five windows in a row haven't risen, the
    step size is reduced to 0.3 of what it was, then whenever two haven't; in place of the fourth
    reduction, the fit has converged. Where noise hides a slow rise, allow more steps. A bound that
    turns NaN or falls below where it began, and logits that fly off, stop the fit with a warning,
    and the last good state is what you get. `Fit.reason` says which it was.

    Args:
        log_joint: log p(x, z) up to a constant, from z `(num_samples, *batch, *event)`, for a
            `Joint` a dict of such. With an estimator that relaxes or differentiates f, it must be
            differentiable in z.
        q: a law, whose logits are the starting point and which stays as it is (at logits of exactly
            0 an even model may have no slope: start off them); or an `nn.Module` or function that
            makes a law: `q(x)`, `q()` without data.
        estimator: of the gradient; `ScoreFunction()` by default, which serves any law and model and
            is unbiased. For bits, `DisARM()` is better; for models that are linear in each unknown,
            `StraightThrough()` is unbiased and far less noisy; for few unknowns, `IndeCateR()`.
        num_samples: of z in each step.
        steps: at most.
        objective: "elbo", or "importance": $\mathbb{E}[\log \frac{1}{S} \sum_s p(x, z_s) /
            q(z_s)]$ of `num_samples` weights, a tighter bound, whose q is less sure of itself. Best
            with `VIMCO()`.
        optimizer: a function from parameters to a torch optimiser, such as
            `functools.partial(torch.optim.Adam, lr=0.05)`. By default Adam, with step size 0.1 for
            q's logits and 0.005 for all else.
        data: a tensor, or a tuple or a dict of tensors whose first dimension is the row.
        batch_size: rows in a step, drawn anew in every pass; all by default.
        parameters: what plain functions learn; modules are found.
        tolerance: of the relative rise; None takes all the steps, at one step size.
        generator: the source of randomness; torch's global one by default.
        progress: called after each step with (step, steps, smoothed bound).

    Returns:
        A `Fit`.

    Raises:
        ValueError: `log_joint` returns a wrong shape, or values that aren't finite, at the start;
            arguments that aren't what they should be.
        NotImplementedError: the estimator doesn't serve the law; the message names those that do.

    Example:
        >>> from hotgrad.inference import fit
        >>> log_joint = lambda z: 2.0 * z[..., 0] * z[..., 1] - z.sum(-1)
        >>> q = hg.Bernoulli(logits=torch.tensor([0.1, 0.1])).to_event(1)
        >>> generator = torch.Generator().manual_seed(0)
        >>> result = fit(log_joint, q, estimator=hg.Exact(), generator=generator)
        >>> result.converged, [round(p, 2) for p in result.marginals.tolist()]
        (True, [0.5, 0.5])

    Reference: Black Box Variational Inference (Ranganath, Gerrish, Blei, 2014),
    https://arxiv.org/abs/1401.0118; the step size by the bound's progress: Robust, Accurate
    Stochastic Optimization for Variational Inference (Dhaka et al., 2020),
    https://arxiv.org/abs/2009.00666
    """
    checks.check_count(steps, "steps")
    estimator = ScoreFunction() if estimator is None else estimator
    problem = Problem(log_joint, q, data, batch_size, parameters)
    bound = Objective(problem, objective, estimator, num_samples)
    with torch.inference_mode(False), torch.enable_grad():
        look_ahead(problem, estimator)
        course = _Course(problem, bound, optimizer, Watch(steps, tolerance, bound.at_start()))
        converged, reason = course.run(steps, generator, progress)
    return Fit(problem, bound.label, course.trace, converged, reason)


class _DivergedError(ValueError):
    """A step led to values that no further step can be taken from."""


class _Course:
    """A fit on its way."""

    def __init__(
        self, problem: Problem, bound: Objective, optimizer: MakeOptimizer | None, watch: Watch
    ) -> None:
        self._problem, self._bound, self._watch = problem, bound, watch
        self._optimizer = _make_optimizer(problem, bound.estimator, optimizer)
        self.trace = Trace(relaxed=bound.relaxed)
        self._good, self._good_step = self._snapshot(), 0

    def run(
        self, steps: int, generator: torch.Generator | None, progress: Progress | None
    ) -> tuple[bool, str]:
        """Whether it converged, and why it stopped."""
        batches = self._problem.batches(generator)
        window = self._watch.window
        for step in range(1, steps + 1):
            try:
                self._step(next(batches), generator)
            except (NotFiniteError, _DivergedError) as error:
                if step == 1:
                    raise
                return False, self._go_back(f"step {step:,} failed. {error}")
            if progress is not None:
                progress(step, steps, statistics.fmean(self.trace.bounds[-window:]))
            if step % window and step < steps:
                continue
            if (moved := self._moved()) > FURTHEST:
                return False, self._go_back(
                    f"by step {step:,} a logit of q had moved by {moved:.3g}, where 20 make a "
                    "state certain."
                )
            if step % window:
                break
            verdict = self._watch.judge(self.trace.bounds[-window:])
            if verdict == "converged":
                return True, (
                    f"converged after {step:,} steps: averaged over {window} steps, the bound no "
                    f"longer rises by {self._watch.tolerance:g} of its latest rise and more than "
                    f"its noise, at the {REDUCTIONS + 1}th step size, {self._step_size:.2g}"
                )
            if verdict == "fell":
                return False, self._go_back(
                    f"the bound fell from {self._watch.start.mean:.6g} at the start to "
                    f"{statistics.fmean(self.trace.bounds[-window:]):.6g} at step {step:,}."
                )
            if self._watch.is_best:
                self._good, self._good_step = self._snapshot(), step
            if verdict == "smaller steps":
                for group in self._optimizer.param_groups:
                    group["lr"] *= REDUCTION
        if self._watch.tolerance is None:
            return False, f"took all {steps:,} steps, as tolerance=None asks for"
        return False, (
            f"took all {steps:,} steps before the bound had stopped rising at all step sizes; more "
            "steps may raise it further"
        )

    @property
    def _step_size(self) -> float:
        return float(self._optimizer.param_groups[0]["lr"])

    def _step(self, rows: Tensor | slice, generator: torch.Generator | None) -> None:
        bound = self._bound(rows, generator)
        value = bound.item()
        if not math.isfinite(value):
            raise _DivergedError(f"The bound is {value}.")
        self._optimizer.zero_grad()
        (-bound).backward()
        self._optimizer.step()
        self.trace.bounds.append(value)
        self.trace.step_sizes.append(self._step_size)

    def _moved(self) -> float:
        """How far the logits of q that are learned themselves have come, the furthest of them."""
        if not isinstance(self._problem.unknowns, OwnLogits):
            return 0.0
        return self._problem.unknowns.moved()

    def _snapshot(self) -> dict[str, Tensor]:
        return {name: t.detach().clone() for name, t in self._problem.state().items()}

    def _go_back(self, why: str) -> str:
        """Restores the last good state; what to tell of it."""
        with torch.no_grad():
            for name, tensor in self._problem.state().items():
                tensor.copy_(self._good[name])
        reason = (
            f"diverged: {why} The state of step {self._good_step:,} is kept. If the model is right "
            f"there, try a smaller step size than {self._step_size:.2g}: "
            "optimizer=functools.partial(torch.optim.Adam, lr=...)"
        )
        warnings.warn(reason, stacklevel=4)
        return reason


def _make_optimizer(problem: Problem, estimator: Any, make: MakeOptimizer | None) -> Optimizer:
    own = list(problem.unknowns.logits.values()) if isinstance(problem.unknowns, OwnLogits) else []
    learned: dict[int, Tensor] = {id(tensor): tensor for tensor in own}
    others = list(problem.state().values())
    if isinstance(estimator, nn.Module):
        others += estimator.parameters()
    learned |= {id(t): t for t in others if isinstance(t, nn.Parameter) or t.requires_grad}
    if not learned:
        raise ValueError(
            "There is nothing to learn: q is a function that has no parameters. Make it an "
            "nn.Module, or give its tensors as `parameters`."
        )
    if make is None:
        rest = [tensor for tensor in learned.values() if not any(tensor is one for one in own)]
        groups = [{"params": own, "lr": LOGITS_STEP}, {"params": rest, "lr": OTHER_STEP}]
        return torch.optim.Adam([group for group in groups if group["params"]])
    optimizer = make(list(learned.values())) if callable(make) else None
    if not isinstance(optimizer, Optimizer):
        raise ValueError(
            "optimizer must be a function from parameters to a torch optimiser, such as "
            f"functools.partial(torch.optim.Adam, lr=0.05); got {make!r}. (An optimiser that is "
            "made already doesn't know the copy of q's logits that is learned.)"
        )
    return optimizer
