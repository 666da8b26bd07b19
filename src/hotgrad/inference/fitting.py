"""`fit`: a model and a distribution in, the fitted posterior out."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from hotgrad.estimators import VIMCO, Estimator, ScoreFunction
from hotgrad.inference.log_joint import Data, LogJointFunction
from hotgrad.inference.objective import Objective, check_log_joint
from hotgrad.inference.problem import OwnParameters, Problem
from hotgrad.inference.result import Fit
from hotgrad.inference.training import Convergence, Mean, Progress, Training
from hotgrad.ops import checks
from hotgrad.progress import Report, told

OWN_STEP, OTHER_STEP = 0.1, 0.005
"""Step sizes: of the parameters of a q that is a distribution, and of all else."""
MakeOptimizer = Callable[[list[Tensor]], Optimizer]


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
    progress: Progress | bool | None = None,
) -> Fit:
    r"""Infers discrete unknowns: fits q to the posterior p(z | x) of a model, by its log joint.

    $$\max_\phi \; \mathbb{E}_{q_\phi(z)}[\log p(x, z)] + H(q_\phi) \;\le\; \log p(x),$$

    which is the same as the least KL(q || p(z | x)). The bound is only as good as q: a factorised q
    leaves out how unknowns depend on each other, and tends to be too sure. `Fit.diagnose()` says
    how far to trust it.

    Where the estimator differentiates the log joint, the entropy is analytic, but for Plackett-Luce
    of many subsets and distributions of your own without `entropy`, where it is sampled.
    An estimator that only evaluates is asked about log p - log q, whose noise vanishes as q comes
    near the posterior, where that of log p alone would stay.

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
    half of the steps, by more than their noise, and by more than 0.001 nats, since without noise a
    bound rises for ever, by less and less. When five windows in a row haven't risen, the
    step size is reduced to 0.3 of what it was, then whenever two haven't; in place of the fourth
    reduction, the fit has converged. Where noise hides a slow rise, allow more steps. A bound that
    turns NaN or falls below where it began, logits that fly off, and an error in q or `log_joint`
    that the last good state doesn't lead to, stop the fit with a warning, and that state is what
    you get. `Fit.reason` says which it was. Any other exception, also one of `progress`, ends it
    without a `Fit`; what modules and `parameters` have learned by then stays in them.

    Args:
        log_joint: log p(x, z) up to a constant, from z `(num_samples, *batch, *event)`, for a
            `Joint` a dict of such. An estimator that relaxes or differentiates f needs it
            differentiable in z, and its gradient depends on how you continue it between 0 and 1.
        q: a distribution, whose logits are the starting point and which stays as it is (at logits
            of exactly 0 an even model may have no slope: start off them); or an `nn.Module` or
            function that makes a distribution: `q(x)`, `q()` without data.
        estimator: of the gradient; `ScoreFunction()` by default, which works with any q and model
            and is unbiased. For models that are linear in each unknown (Ising, Potts),
            `StraightThrough()` is unbiased and far less noisy; so is `IndeCateR()` for few
            unknowns, for any model; `Exact()` where all states can be listed.
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
        tolerance: the least rise of a window, as a share; None takes all the steps, at one step
            size.
        generator: the source of randomness; torch's global one by default.
        progress: True shows how far it is, on the error stream; a function is called after each
            step with (step, steps, smoothed bound).

    Returns:
        A `Fit`.

    Raises:
        ValueError: `log_joint` returns a wrong shape, or values that aren't finite, at the start;
            arguments that aren't what they should be.
        NotImplementedError: the estimator doesn't work with q; the message names those that do.

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
    steps = checks.check_count(steps, "steps")
    checks.check_generator(generator)
    estimator = ScoreFunction() if estimator is None else estimator
    with (
        told(progress, "(step, steps, bound)", "fitting", "infer", shown_on) as listener,
        torch.inference_mode(False),
        torch.enable_grad(),
    ):
        problem = Problem(log_joint, q, data, batch_size, parameters)
        bound = Objective(problem, objective, estimator, num_samples)
        training = Training(problem, bound, _make_optimizer(problem, estimator, optimizer))
        check_log_joint(problem.at_first(), estimator)
        convergence = Convergence(steps, tolerance, Mean.of(bound.at_start()))
        # batch normalisation, for one, keeps count of all that it has seen
        training.restore()
        ending = training.run(steps, convergence, generator, listener)
    return Fit(problem, bound.label, training.trace, ending)


def shown_on(report: Report) -> Progress:
    """Step and smoothed bound on a bar."""
    return lambda step, steps, bound: report(step, steps, f"{step:,}/{steps:,}  bound {bound:.6g}")


def _make_optimizer(problem: Problem, estimator: Any, make: MakeOptimizer | None) -> Optimizer:
    q = problem.variational
    own = list(q.parameters.values()) if isinstance(q, OwnParameters) else []
    learned: dict[int, Tensor] = {id(tensor): tensor for tensor in own}
    others = list(problem.state().values())
    if isinstance(estimator, nn.Module):
        others += estimator.parameters()
    learned |= {id(t): t for t in others if t.requires_grad}
    if not learned:
        raise ValueError(
            "There is nothing to learn: q has no parameters, or none that require a gradient. Make "
            "it an nn.Module, or give its tensors as `parameters`."
        )
    if make is None:
        rest = [tensor for tensor in learned.values() if not any(tensor is one for one in own)]
        groups = [{"params": own, "lr": OWN_STEP}, {"params": rest, "lr": OTHER_STEP}]
        return torch.optim.Adam([group for group in groups if group["params"]])
    optimizer = make(list(learned.values())) if callable(make) else None
    if not isinstance(optimizer, Optimizer):
        raise ValueError(
            "optimizer must be a function from parameters to a torch optimiser, such as "
            f"functools.partial(torch.optim.Adam, lr=0.05); got {checks.shown(make)}. (One that is "
            "made already doesn't know the copy of q's logits that is learned.)"
        )
    return optimizer
