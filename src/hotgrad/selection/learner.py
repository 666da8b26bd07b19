"""What learns: a distribution of subsets and a network that sees the columns of one drawn from it.

Every row of a batch gets a subset of its own. The network's weights receive ordinary gradients,
the distribution's logits those of a gradient estimator, and both follow one Adam.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hotgrad.distributions import KSubset, PlackettLuceSubset
from hotgrad.distributions.capabilities import CanRelax
from hotgrad.estimators import Estimator, missing_methods
from hotgrad.estimators.base import label_of
from hotgrad.expectation import expectation
from hotgrad.progress import Report

DISTRIBUTIONS = (KSubset, PlackettLuceSubset)
"""Of the chosen columns: the first that an estimator works with."""
MOST_KL = 0.4
"""Nats a row that the KL of a certain choice may cost at most, however few rows there are."""
FIRST_LAYER_GAIN = 0.25
"""Of the first weights, so that columns without a say start near to having none."""


@dataclass(frozen=True)
class Progress:
    """Where a fit stands, given to a listener after every epoch.

    Args:
        epoch: how many are done.
        epochs: how many there will be, unless the fit stops early.
        loss: the epoch's mean over the rows: cross-entropy in nats, or squared error in units of
            the standardised target's variance.
        validation_loss: of the k most probable columns on the held-out rows; None where none are.
        certainty: the mean inclusion probability of the k most probable columns: k / columns at the
            start, 1 once the choice is certain.
    """

    epoch: int
    epochs: int
    loss: float
    validation_loss: float | None
    certainty: float


def shown_on(report: Report) -> Callable[[Progress], None]:
    """Epoch, loss and how certain the choice is, on a bar."""
    return lambda at: report(
        at.epoch,
        at.epochs,
        f"{at.epoch}/{at.epochs}  loss {at.loss:.3f}  certainty {at.certainty:.2f}",
    )


@dataclass(frozen=True)
class Goal:
    """What the network shall do with its k columns.

    Args:
        classes: whether the target is a class (cross-entropy) or one or more quantities (squared
            error).
        outputs: of the network: the number of classes or quantities.
    """

    classes: bool
    outputs: int

    def losses(self, outputs: Tensor, target: Tensor) -> Tensor:
        """One value for each row."""
        if self.classes:
            return F.cross_entropy(outputs, target, reduction="none")
        return (outputs - target).square().mean(-1)

    @property
    def nats(self) -> float:
        """How many nats of log-likelihood a loss of 1 is: that of unit-variance Gaussians."""
        return 1.0 if self.classes else self.outputs / 2


class Learner(nn.Module):
    """The logits of a distribution of subsets, the network, and their optimiser.

    Args:
        columns: of the table.
        k: how many are chosen.
        goal: of the network.
        hidden: widths of its hidden layers.
        estimator: of the logits' gradient.
        learning_rate: of the weights.
        logits_learning_rate: of the logits.
        kl_weight: of the distribution's KL to the uniform one, in nats for the whole table.
        generator: the source of the initial weights.
    """

    def __init__(
        self,
        columns: int,
        k: int,
        goal: Goal,
        *,
        hidden: Sequence[int],
        estimator: Estimator,
        learning_rate: float,
        logits_learning_rate: float,
        kl_weight: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.k, self.goal, self.estimator, self.kl_weight = k, goal, estimator, kl_weight
        self._most_entropy = _log_choices(columns, k)
        # Gumbel noise leads to Plackett-Luce subsets, none to KSubset
        relaxes = CanRelax in getattr(estimator, "requires", ())
        self._works_with_k_subset = not (relaxes or missing_methods(estimator, KSubset))
        self.logits = nn.Parameter(torch.zeros(columns, dtype=torch.float32))
        self.network = _perceptron([columns, *hidden, goal.outputs], generator)
        # an estimator that learns is trained with the network
        learned = [*self.network.parameters()]
        if isinstance(estimator, nn.Module):
            learned += estimator.parameters()
        groups = [
            {"params": learned, "lr": learning_rate},
            {"params": [self.logits], "lr": logits_learning_rate},
        ]
        self.optimizer = torch.optim.Adam(groups, fused=True)
        self._rates = [learning_rate, logits_learning_rate]

    @property
    def q(self) -> KSubset | PlackettLuceSubset:
        """The chosen columns' distribution: `KSubset`, unless the estimator needs Gumbel noise."""
        return self._distributions()[0]

    def _distributions(self) -> tuple[KSubset | PlackettLuceSubset, KSubset]:
        """The one that is sampled, and the one whose entropy counts, which has a closed form."""
        exact = KSubset(self.logits, self.k, validate_args=False)
        if self._works_with_k_subset:
            return exact, exact  # one object, since it keeps what it has computed
        return PlackettLuceSubset(self.logits, self.k, validate_args=False), exact

    def step(
        self,
        rows: Tensor,
        target: Tensor,
        *,
        table_rows: int,
        rate: float,
        generator: torch.Generator,
    ) -> float:
        """One step on a batch; returns its mean loss.

        Args:
            rows: `(batch, columns)`, standardised.
            target: `(batch,)` classes or `(batch, outputs)` quantities.
            table_rows: how many rows the table has, over which the KL is spread.
            rate: what to multiply the learning rates and the KL by.
            generator: of the subsets.
        """
        for group, base in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = base * rate
        q, exact = self._distributions()

        def losses(z: Tensor) -> Tensor:
            if len(z) != len(rows):
                raise ValueError(
                    f"The estimator {label_of(self.estimator)} can't choose columns: it asks about "
                    f"{len(z)} subsets at once, where each of {len(rows)} rows sees one of its own."
                )
            return self.goal.losses(self.network(rows * z), target)

        loss = expectation(
            losses,
            q,
            self.estimator,
            num_samples=len(rows),
            generator=generator,
        )
        self.optimizer.zero_grad()
        weight = min(self.kl_weight / table_rows, MOST_KL / max(self._most_entropy, 1.0))
        # the KL to the uniform distribution is a constant less the entropy
        (loss - rate * weight / self.goal.nats * exact.entropy()).backward()
        self.optimizer.step()
        return loss.item()

    @torch.no_grad()
    def certainty(self) -> float:
        """The mean inclusion probability of the k most probable columns."""
        q = self.q
        return float((q.mean * q.mode).sum() / self.k)

    @torch.no_grad()
    def total_loss(self, rows: Tensor, target: Tensor) -> float:
        """The sum of the losses with the k most probable columns."""
        return self.goal.losses(self.network(rows * self.q.mode), target).sum().item()


def _log_choices(n: int, k: int) -> float:
    """log of n choose k."""
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _perceptron(widths: Sequence[int], generator: torch.Generator) -> nn.Sequential:
    """Linear layers with ReLUs between them, initialised as torch does, from the generator."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layer = nn.utils.skip_init(nn.Linear, inputs, outputs, dtype=torch.float32)
        nn.init.kaiming_uniform_(layer.weight, math.sqrt(5), generator=generator)
        nn.init.zeros_(layer.bias)
        if not layers:
            layer.weight.detach().mul_(FIRST_LAYER_GAIN)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])
