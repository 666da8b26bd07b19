"""How far to trust a fit, in words: one sentence, and the figures behind it."""

import math
import shutil
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from hotgrad.audit.table import counted, percent, significant
from hotgrad.inference.exact import ExactPosterior
from hotgrad.inference.marginals import Worst
from hotgrad.inference.readings import NO_MEAN, Readings, finite_or_none

WIDTH = 88
FAR = 0.1
"""A marginal that is further off than this isn't called right."""
ALIKE = 1e-3
"""The difference from the posterior below which weights are called alike."""


@dataclass(frozen=True, eq=False, repr=False)
class Diagnosis(Readings):
    """How far a fit may be from the posterior; `print` shows it.

    Rows are the elements of q's batch `(*batch,)`: each has a posterior of its own.

    Args:
        num_samples: S, of every row.
        elbos: mean log weight, `(*batch,)`, in nats; -inf where a sample is impossible.
        elbo_errors: its standard errors.
        bounds: log of the mean weight of all S samples, which rises to log p(x) with S.
        pareto_k: shape of the weights' tail; NaN where the largest are tied, so that there is none.
        effective_samples: how many samples of the posterior itself are worth as much; from 0 to S.
        impossible: the share of samples that the model rules out.
        weighted_marginals: of the samples weighted by p(x, z) / q(z), `(*batch, *event)`, by name
            for a `Joint`: better than q's own where the reading is good or usable.
        worst: the marginal of q that is furthest from those.
        exact: the posterior by enumeration, if it could be had.
        not_exact: why it couldn't, or nothing.
    """

    @property
    def verdict(self) -> str:
        """How far to trust the fit: by the exact posterior, or else by its samples' weights."""
        if self.exact is not None:
            return _by_the_exact(self.exact)
        row = _worst_row(self)
        unreliable = int((self.readings >= 2).sum())
        if not unreliable:
            return _by_weighted_samples(self, row)
        what = "the fit"
        if row:
            rows = counted(self.elbos.numel(), "row")
            what = f"{unreliable:,} of {rows}; row {_shown(row)} is worst"
        return f"Don't trust {what}: {_why_not(self, row)}."

    def to_dict(self) -> dict[str, Any]:
        """Everything but the marginals, as JSON holds it."""
        exact = self.exact
        return {
            "verdict": self.verdict,
            "num_samples": self.num_samples,
            "elbo": finite_or_none(self.elbo),
            "bound": finite_or_none(self.bound),
            "reliable_k": self.reliable_k,
            "worst_marginal": _worst(self.worst),
            "exact": None
            if exact is None
            else {
                "states": exact.states,
                "log_evidence": float(exact.log_evidence.sum()),
                "kl": finite_or_none(float(exact.kl.sum())),
                "worst_marginal": _worst(exact.worst),
            },
            "not_exact": self.not_exact,
            "rows": self.rows,
        }

    def __str__(self) -> str:
        """The verdict, a line for each figure, and what the figures can't see."""
        width = min(shutil.get_terminal_size((WIDTH, 0)).columns, WIDTH)
        figures = list(_figures(self))
        column = max(len(name) for name, _ in figures) + 2
        text = [*textwrap.wrap(self.verdict, width), ""]
        for name, value in figures:
            begin, indent = name.ljust(column), " " * column
            text += textwrap.wrap(value, width, initial_indent=begin, subsequent_indent=indent)
        if self.exact is None:
            blind = (
                "Weights know only what the samples have seen: a mode that the fit never visits "
                "leaves no trace in them. There is no exact posterior to compare with: "
                f"{self.not_exact}"
            )
            text += ["", *textwrap.wrap(blind, width)]
        return "\n".join(text)

    __repr__ = __str__


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


def _by_weighted_samples(found: Diagnosis, row: tuple[int, ...]) -> str:
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


def _why_not(found: Diagnosis, row: tuple[int, ...]) -> str:
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


def _fit_of_tail(found: Diagnosis, row: tuple[int, ...]) -> str:
    k, effective = float(found.pareto_k[row]), float(found.effective_samples[row])
    begin = f"k-hat {k:.2f}, " if math.isfinite(k) else ""
    gap = float(found.gaps[row])
    below = (
        f", the ELBO is {significant(gap)} nats below their bound" if ALIKE < gap < math.inf else ""
    )
    return f"{begin}{found.num_samples:,} samples are worth {significant(effective)}{below}"


def _figures(found: Diagnosis) -> Iterator[tuple[str, str]]:
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


def _tails(found: Diagnosis) -> str:
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


def _worst_row(found: Diagnosis) -> tuple[int, ...]:
    """By reading; among equals the one with the fewest effective samples."""
    return _place(found.readings - found.effective_samples / (2 * found.num_samples))


def _place(badness: Tensor) -> tuple[int, ...]:
    number = badness.argmax().cpu()
    return tuple(int(i) for i in torch.unravel_index(number, badness.shape))


def _shown(row: tuple[int, ...]) -> str:
    return str(row[0]) if len(row) == 1 else str(row)


def _worst(worst: Worst) -> dict[str, Any]:
    plain = asdict(worst) | {"index": list(worst.index)}
    return plain | {name: finite_or_none(plain[name]) for name in ("fitted", "reference", "error")}
