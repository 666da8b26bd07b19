"""The exact gradient: summed over all states in float64, or estimated where they are too many."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hotgrad.audit.long_run import best_pilot, long_run
from hotgrad.audit.reference import Reference
from hotgrad.audit.replicates import MAX_ELEMENTS, MAX_ROWS, Replicates
from hotgrad.audit.seeds import Seeds
from hotgrad.estimators import Exact, missing_methods
from hotgrad.ops import like_event

RUN_LENGTH = 100
"""The most evaluations of f of a long run, in units of one call for all replicates."""


def find_reference(
    problem: Replicates,
    budget: int,
    count: int,
    num_samples: int,
    seeds: Seeds,
    progress: Callable[[float], None],
) -> Reference:
    """The exact gradient of a problem.

    Args:
        problem: f and q.
        budget: the most states that are summed over.
        count: replicates of the audit.
        num_samples: of one of its calls.
        seeds: of a long run.
        progress: called with the share that is done.

    Raises:
        ValueError: f isn't finite at a state, or there are too many states and no unbiased
            estimator serves the law.
    """
    states = _states(problem.q, budget)
    if states is not None:
        return _sum_over(problem, states, seeds, progress)
    if (pilot := best_pilot(problem, seeds)) is not None:
        most = RUN_LENGTH * count * num_samples
        return long_run(problem, pilot, (count, most), seeds, progress)
    law = type(getattr(problem.q, "law", problem.q)).__name__
    raise ValueError(
        f"q has a support over the budget of {budget:,} states without an unbiased reference: no "
        f"unbiased estimator serves {law} with this f. Raise the budget, make the event smaller, "
        "or give the law a `log_prob`, so that ScoreFunction() serves it."
    )


def _states(q: Any, budget: int) -> Tensor | None:
    """`(states, *ones, *event)`, or None where they are too many or can't be listed."""
    if missing_methods(Exact, getattr(q, "law", q)):
        return None
    try:
        listed: Tensor = q.enumerate_support(expand=False, budget=budget)
    except ValueError:
        return None
    return listed


def _sum_over(
    problem: Replicates, states: Tensor, seeds: Seeds, progress: Callable[[float], None]
) -> Reference:
    begin = time.perf_counter()
    q, dtype = problem.q, problem.logits.dtype
    leaf = problem.logits.to(torch.float64).requires_grad_()
    total, rounding = torch.zeros_like(leaf), torch.zeros_like(leaf)
    sizes = leaf.new_zeros(q.batch_shape)
    rows = min(MAX_ELEMENTS // max(problem.size, 1), MAX_ROWS // max(q.batch_shape.numel(), 1))
    generator = torch.Generator().manual_seed(0)
    # f may be undefined where z can't be: there it is asked about one that was drawn
    drawn: Tensor = q.sample(generator=seeds("stand-in"))
    done = 0
    for block in states.split(max(rows, 1)):
        block = block.expand(block.shape[:1] + q.batch_shape + q.event_shape)
        probs = q.with_logits(leaf).log_prob(block.to(torch.float64)).exp()
        with torch.no_grad():
            possible = like_event(probs > 0, block)
            values = problem.ask(torch.where(possible, block, drawn.to(dtype)))
        weighed = probs * values.to(torch.float64)
        signs = torch.randint(2, weighed.shape, generator=generator).to(weighed) * 2 - 1
        for sums, terms in ((total, weighed), (rounding, weighed * signs)):
            (slope,) = torch.autograd.grad(terms.sum(), leaf, retain_graph=sums is total)
            sums += slope
        sizes += weighed.detach().abs().sum(0)
        eps = torch.finfo(values.dtype).eps
        done += len(block)
        progress(done / len(states))
    return Reference(
        gradient=total.flatten(),
        spread=total.new_zeros((0, problem.size)),
        square_error=0.0,
        # as if the last digit of each value of f were a coin's, and each score's its own
        rounding=eps * float(rounding.norm())
        + torch.finfo(torch.float64).eps * float(sizes.norm()),
        evaluations=len(states),
        states=len(states),
        milliseconds=1000 * (time.perf_counter() - begin),
    )
