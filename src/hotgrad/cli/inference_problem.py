"""What `hotgrad infer` works on: the model, q and the data, built in or of the user's own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch.distributions import Distribution

from hotgrad.audit.problems import noisy_or
from hotgrad.cli.own_function import call_own, is_own, kind
from hotgrad.distributions import as_distribution
from hotgrad.estimators import ESTIMATORS, VIMCO, Critic, Estimator, make_estimator
from hotgrad.ops.checks import check_choice, check_temperature
from hotgrad.seeding import seeded_weights

NAMES = ("noisy-or",)
EXPECTED = (
    "It takes nothing and returns (log_joint, q), or (log_joint, q, data): log p(x, z) as a "
    "function of z (and x), and a distribution or what makes one"
)
TEMPERATURE = 0.5


@dataclass(frozen=True)
class Posed:
    """A model with its unknowns.

    Args:
        name: one word.
        text: one line that says what is inferred.
        log_joint: as `fit` takes it.
        q: as `fit` takes it.
        data: or None.
    """

    name: str
    text: str
    log_joint: Callable[..., Any]
    q: Any
    data: Any = None


def pose(name: str) -> Posed:
    """The problem of a name.

    Raises:
        ValueError: no such problem, or a function that doesn't return one.
    """
    if not is_own(name):
        check_choice("problem", name, NAMES)
        posed = noisy_or()
        causes = posed.q.event_shape.numel()
        text = f"which of {causes} causes explain what was found"
        return Posed(name, text, lambda z: -posed.f(z), posed.q)
    returned, function_name, text = call_own(name, EXPECTED)
    if not isinstance(returned, tuple) or len(returned) not in (2, 3):
        raise ValueError(f"{name}() returned {kind(returned)}. {EXPECTED}.")
    log_joint, q, *data = returned
    if not callable(log_joint) or not (isinstance(q, Distribution) or callable(q)):
        kinds = ", ".join(map(kind, returned))
        raise ValueError(f"{name}() returned ({kinds}). {EXPECTED}.")
    return Posed(function_name, text, log_joint, q, *data)


def chosen_estimator(name: str, temperature: float | None, q: Any, seed: int) -> Estimator | VIMCO:
    """The estimator of a name.

    Args:
        name: as `--estimator` has it.
        temperature: None is the default of those that have one.
        q: what it is for; a critic is made for it.
        seed: of a critic's first weights.

    Raises:
        ValueError: an unknown name, a temperature for an estimator without, a critic for a q that
            is no distribution.
    """
    check_choice("estimator", name, [*ESTIMATORS, "vimco"])
    cls = ESTIMATORS.get(name)
    arguments = () if cls is None else cls.arguments
    if temperature is not None:
        check_temperature(temperature, "--temperature")
        if "temperature" not in arguments:
            raise ValueError(f"{name} has no temperature: leave out --temperature.")
    if cls is None:
        return VIMCO()
    critic = None
    if "critic" in arguments:
        if not isinstance(q, Distribution):
            raise ValueError(
                f"{name} needs a critic made for q, which is a function here. Use another "
                "estimator such as rebar, or hotgrad.inference.fit with a critic of your own."
            )
        with seeded_weights(seed):
            critic = Critic(as_distribution(q).event_shape)
    return make_estimator(name, temperature=temperature or TEMPERATURE, critic=critic)
