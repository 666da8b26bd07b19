"""How to train with what an audit found best, in one line of Python or of the shell."""

from collections.abc import Iterator
from typing import Any

from hotgrad.audit import Audit
from hotgrad.estimators import NoBaseline


def advice(audit: Audit, *, trains_vae: bool) -> Iterator[str]:
    """What to type; nothing where no estimator is best.

    Args:
        audit: the result.
        trains_vae: whether `hotgrad train` trains such a gradient.
    """
    row = audit.rows[0]
    if row["absolute_error_at_budget"] is None:
        return
    # as many samples as the step's evaluations pay for
    num_samples = row["num_samples"] * (audit.evaluations // row["evaluations"])
    best = audit.best()
    if not best.draws:
        num_samples = 1
    if trains_vae:
        yield f"Train with the best: hotgrad train {' '.join(_options(best, num_samples))}"
    else:
        count = f", num_samples={num_samples}" if num_samples > 1 else ""
        yield f"Train with the best: hg.expectation(f, q, {best.in_python}{count})"


def _options(estimator: Any, num_samples: int) -> Iterator[str]:
    yield f"--estimator {estimator.name}"
    if isinstance(getattr(estimator, "baseline", None), NoBaseline):
        yield "--baseline none"
    temperature = getattr(estimator, "temperature", None)
    if isinstance(temperature, float):
        yield f"--schedule constant --temperature {temperature:g}"
    if num_samples > 1:
        yield f"--num-samples {num_samples}"
