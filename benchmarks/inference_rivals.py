"""Runs that `benchmarks.inference` times: `fit`, and SVI by Pyro on the same model.

Each takes steps until its ELBO, computed exactly while the clock stands still, is near enough to
the optimum, or until its steps are used up.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI, Trace_ELBO, TraceGraph_ELBO
from torch import Tensor

import hotgrad as hg
from benchmarks.inference_models import Quadratic
from hotgrad.inference import fit
from hotgrad.inference.fitting import OWN_STEP
from hotgrad.inference.pyro import as_pyro

SAMPLES, LOOK_EVERY = 16, 10
FALL = 0.998
"""What a falling step size is multiplied by in each step."""


@dataclass
class Run:
    """How a run came nearer to the optimum: its clock runs only while it steps."""

    model: Quadratic
    optimum: float
    share: float
    seconds: float = 0.0
    steps: int = 0
    reached_at: float | None = None
    reached_in: int = 0
    diverged: bool = False
    gap: float = float("inf")
    """The smallest relative gap that was seen."""
    _since: float = field(default=0.0, repr=False)

    def start(self) -> None:
        self._since = time.perf_counter()

    def stop(self, steps: int, logits: Tensor) -> None:
        """After some steps: is the optimum near?"""
        self.seconds += time.perf_counter() - self._since
        self.steps += steps
        self.gap = min(self.gap, 1 - self.model.elbo(logits) / self.optimum)
        if self.reached_at is None and self.gap <= self.share:
            self.reached_at, self.reached_in = self.seconds, self.steps


Contender = Callable[[Run, int, int], None]
"""Takes steps for a run: with at most so many, and a seed."""


def by_fit(estimator: Any = None) -> Contender:
    """`fit` with its default settings, to the end that it chooses."""

    def contend(run: Run, steps: int, seed: int) -> None:
        logits: list[Tensor] = []

        def optimizer(parameters: list[Tensor]) -> torch.optim.Optimizer:
            logits.extend(parameters)
            return torch.optim.Adam(parameters, OWN_STEP)

        def look(step: int, steps: int, bound: float) -> None:
            if step % LOOK_EVERY == 0:
                run.stop(LOOK_EVERY, logits[0])
                run.start()

        generator = torch.Generator().manual_seed(seed)
        run.start()
        fit(
            run.model.log_joint,
            run.model.q,
            estimator=estimator,
            steps=steps,
            optimizer=optimizer,
            generator=generator,
            progress=look,
        )

    return contend


MakeQ = Callable[[Tensor], Any]


def by_svi(
    guide: MakeQ, prior: MakeQ, elbo: Any, step_size: float, falls: bool, **infer: Any
) -> Contender:
    """Pyro's SVI with Adam, and particles as a batch; the prior is uniform, the rest a factor."""

    def contend(run: Run, steps: int, seed: int) -> None:
        pyro.clear_param_store()
        pyro.set_rng_seed(seed)
        zeros = torch.zeros_like(run.model.q.logits)

        def model() -> None:
            z = pyro.sample("z", prior(zeros))
            pyro.factor("model", run.model.log_joint(z) + len(zeros) * math.log(2))

        def guide() -> None:
            pyro.sample("z", guide(pyro.param("logits", zeros.clone())), infer=infer)

        objective = elbo(num_particles=SAMPLES, vectorize_particles=True, max_plate_nesting=0)
        constant, falling = pyro.optim.Adam, pyro.optim.ClippedAdam
        adam = falling({"lr": step_size, "lrd": FALL}) if falls else constant({"lr": step_size})
        svi = SVI(model, guide, adam, objective)
        while run.steps < steps and run.reached_at is None:
            run.start()
            try:
                for _ in range(LOOK_EVERY):
                    svi.step()
            except ValueError:
                if bool(pyro.param("logits").isfinite().all()):
                    raise
                run.diverged = True  # so Pyro says of logits that have become NaN
                return
            run.stop(LOOK_EVERY, pyro.param("logits"))

    return contend


def bits(logits: Tensor) -> Any:
    """Pyro's own."""
    return dist.Bernoulli(logits=logits).to_event(1)


def relaxed_bits(temperature: float) -> MakeQ:
    """Pyro's own, hard with the relaxed sample's gradient and density."""
    return lambda logits: dist.RelaxedBernoulliStraightThrough(
        torch.tensor(temperature), logits=logits
    ).to_event(1)


def straight_through_bits(logits: Tensor) -> Any:
    """This library's, for a guide of Pyro's."""
    return as_pyro(hg.Bernoulli(logits=logits).to_event(1), hg.StraightThrough())


FIT = "`fit`, default"
FITS: dict[str, Contender] = {
    FIT: by_fit(),
    "`fit`, `DisARM()`": by_fit(hg.DisARM()),
    "`fit`, `StraightThrough()`": by_fit(hg.StraightThrough()),
}
RIVALS: dict[str, Callable[[float, bool], Contender]] = {
    "Pyro, `Trace_ELBO`": lambda *size: by_svi(bits, bits, Trace_ELBO, *size),
    "Pyro, `TraceGraph_ELBO`, decaying average baseline": lambda *size: by_svi(
        bits, bits, TraceGraph_ELBO, *size, baseline={"use_decaying_avg_baseline": True}
    ),
    "Pyro, `RelaxedBernoulliStraightThrough(0.5)`": lambda *size: by_svi(
        relaxed_bits(0.5), relaxed_bits(0.5), Trace_ELBO, *size
    ),
    "Pyro, `RelaxedBernoulliStraightThrough(0.1)`": lambda *size: by_svi(
        relaxed_bits(0.1), relaxed_bits(0.1), Trace_ELBO, *size
    ),
    "Pyro, `as_pyro(q, StraightThrough())`": lambda *size: by_svi(
        straight_through_bits, bits, Trace_ELBO, *size
    ),
}
