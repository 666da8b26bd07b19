"""A diagnosis in words: one sentence that says how far to trust the fit, and the figures."""

import math
import shutil
import textwrap
from collections.abc import Iterator

import torch
from torch import Tensor

from hotgrad.audit.table import counted, percent, significant
from hotgrad.inference.exact import ExactPosterior
from hotgrad.inference.findings import Findings
from hotgrad.inference.weights import NO_MEAN

WIDTH = 88
FAR = 0.1
"""A marginal that is further off than this isn't called right."""
ALIKE = 1e-3
"""The difference from the posterior below which weights are called alike."""


def verdict(found: Findings) -> str:
    """How far to trust the fit: by the exact posterior, or else by its samples' weights."""
    if found.exact is not None:
        return _by_the_exact(found.exact)
    row = _worst_row(found)
    unreliable = int((found.readings >= 2).sum())
    if not unreliable:
        return _by_weighted_samples(found, row)
    what = "the fit"
    if row:
        what = (
            f"{unreliable:,} of {counted(found.elbos.numel(), 'row')}; row {_shown(row)} is worst"
        )
    return f"Don't trust {what}: {_why_not(found, row)}."


def as_text(found: Findings) -> str:
    """The verdict, a line for each figure, and what the figures can't see."""
    width = min(shutil.get_terminal_size((WIDTH, 0)).columns, WIDTH)
    figures = list(_figures(found))
    column = max(len(name) for name, _ in figures) + 2
    text = [*textwrap.wrap(verdict(found), width), ""]
    for name, value in figures:
        begin, indent = name.ljust(column), " " * column
        text += textwrap.wrap(value, width, initial_indent=begin, subsequent_indent=indent)
    if found.exact is None:
        blind = (
            "Weights know only what the samples have seen: a mode that the fit never visits leaves "
            f"no trace in them. There is no exact posterior to compare with: {found.not_exact}"
        )
        text += ["", *textwrap.wrap(blind, width)]
    return "\n".join(text)


def _by_the_exact(exact: ExactPosterior) -> str:
    worst, event = exact.worst, float(exact.any_event.max())
    off, states = worst.difference, counted(exact.states, "state")
    if off > FAR:
        return (
            f"Don't trust the marginals: the fit has {worst.fitted:.3g} for {worst.place}, the "
            f"exact posterior of {states} has {worst.reference:.3g}."
        )
    begin = f"Trust the marginals to {significant(off)}, by the exact posterior of {states}"
    several = "the probability of any event"
    if event > FAR:
        return f"{begin}; what several unknowns do together may be off by {significant(event)}."
    return f"{begin}, and {several} to {significant(event)}."


def _by_weighted_samples(found: Findings, row: tuple[int, ...]) -> str:
    worst, why = found.worst, _fit_of_tail(found, row)
    if row:
        why = f"worst row {_shown(row)}: {why}"
    if worst.difference <= worst.error:
        # Pinsker's bound, by the Rényi divergence that the effective samples estimate, or by KL
        share = float(found.effective_samples[row]) / found.num_samples
        nats = min(-math.log(share), float(found.gaps[row]))
        apart = min(worst.error, math.sqrt(max(nats, 0.0) / 2))
        if apart < ALIKE:
            return (
                "As far as its samples see, the fit is right: their weights are all alike, as "
                f"those of the posterior's own samples would be ({why})."
            )
        return (
            f"As far as its samples see, trust the fit's marginals to about {significant(apart)}: "
            f"weighting the samples moves none by more than chance ({why})."
        )
    heavy = float(found.pareto_k[row]) >= found.reliable_k
    reliable = "" if heavy else ", which is reliable as far as they see,"
    moved = (
        f"weighting its samples{reliable} moves {worst.place} from {worst.fitted:.3g} to "
        f"{worst.reference:.3g} ({why})"
    )
    if worst.difference > FAR:
        return f"Don't trust the fit's own marginals but the `weighted_marginals`: {moved}."
    return (
        f"As far as its samples see, trust the fit's marginals to about "
        f"{significant(worst.difference)}: {moved}."
    )


def _why_not(found: Findings, row: tuple[int, ...]) -> str:
    if float(found.effective_samples[row]) == 0:
        return f"the model rules out all {found.num_samples:,} samples"
    why = _fit_of_tail(found, row)
    if int(found.readings[row]) == 3:
        return f"the weights behave as if they had no mean, which no sample size repairs ({why})"
    if bool(found.few[row]):
        return f"few samples carry the weight, so that weighting them is biased, too ({why})"
    return (
        f"the weights have a heavy tail, so that weighting the samples may be biased, too ({why})"
    )


def _fit_of_tail(found: Findings, row: tuple[int, ...]) -> str:
    k, effective = float(found.pareto_k[row]), float(found.effective_samples[row])
    begin = f"k-hat {k:.2f}, " if math.isfinite(k) else ""
    gap = float(found.gaps[row])
    below = (
        f", the ELBO is {significant(gap)} nats below their bound" if ALIKE < gap < math.inf else ""
    )
    return f"{begin}{found.num_samples:,} samples are worth {significant(effective)}{below}"


def _figures(found: Findings) -> Iterator[tuple[str, str]]:
    exact, rows = found.exact, found.elbos.numel()
    total = "" if rows == 1 else f", sum of {rows:,} rows"
    if exact is None:
        error = float(found.elbo_errors.square().sum().sqrt())
        yield "ELBO", f"{found.elbo:.6g}, standard error {significant(error)}{total}"
    else:
        yield "log evidence", f"{float(exact.log_evidence.sum()):.6g} exactly{total}"
        yield "ELBO", f"{found.elbo:.6g} exactly{total}"
        yield "KL(q || p)", _of_rows(exact.kl, "nats", largest=True)
        worst = exact.worst
        yield "worst marginal", f"{worst.place}: {worst.fitted:.4g}, exactly {worst.reference:.4g}"
    yield "bound", f"{found.bound:.6g} with {found.num_samples:,} weighted samples{total}"
    yield "Pareto k-hat", _tails(found)
    samples = f"of {found.num_samples:,}"
    yield "effective samples", _of_rows(found.effective_samples, samples, largest=False)
    if float(found.impossible.max()) > 0:
        share = percent(float(found.impossible.mean()))
        yield "impossible samples", f"{share} % have probability 0 under the model"


def _tails(found: Findings) -> str:
    k, good, limit = found.pareto_k, found.good_k, found.reliable_k
    kinds = {
        f"good (below {good:.2g})": k < good,
        f"usable (to {limit:.2g})": (k >= good) & (k < limit),
        "heavy, but with little of the weight": (k >= limit) & found.close,
        "heavy (to 1)": (k >= limit) & (k <= NO_MEAN) & ~found.close,
        "as if without a mean (above 1)": (k > NO_MEAN) & ~found.close,
        "without a tail, the largest weights being tied": k.isnan(),
    }
    if k.ndim == 0:
        words = next(name for name, has in kinds.items() if bool(has))
        return words if bool(k.isnan()) else f"{float(k):.2f}, {words}"
    counts = {name: int(has.sum()) for name, has in kinds.items()}
    return "; ".join(f"{count:,} rows {name}" for name, count in counts.items() if count)


def _of_rows(values: Tensor, unit: str, *, largest: bool) -> str:
    if values.ndim == 0:
        return f"{significant(float(values))} {unit}"
    where = _place(values if largest else -values)
    return (
        f"worst {significant(float(values[where]))} {unit} in row {_shown(where)}, "
        f"mean {significant(float(values.mean()))}"
    )


def _worst_row(found: Findings) -> tuple[int, ...]:
    """By reading; among equals the one with the fewest effective samples."""
    return _place(found.readings - found.effective_samples / (2 * found.num_samples))


def _place(badness: Tensor) -> tuple[int, ...]:
    number = badness.argmax().cpu()
    return tuple(int(i) for i in torch.unravel_index(number, badness.shape))


def _shown(row: tuple[int, ...]) -> str:
    return str(row[0]) if len(row) == 1 else str(row)
