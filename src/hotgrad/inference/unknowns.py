"""What is learned of the unknowns: a law's own logits, or whatever makes the law from the data."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch import distributions as td

from hotgrad.distributions import Joint, as_law
from hotgrad.inference.rows import Data, Rows
from hotgrad.ops import checks


class Unknowns(ABC):
    """The variational family at its current parameters."""

    own_rows: bool
    """Whether the rows of the data may have unknowns of their own."""

    @abstractmethod
    def law(self, x: Data | None, rows: Tensor | slice | None) -> Any:
        """The law of the unknowns of some rows of the data, which are x; of all without data."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Every tensor that learning changes, by name; not copies."""

    @property
    @abstractmethod
    def posterior(self) -> Any:
        """What users are given: the law, or the maker of laws."""


class OwnLogits(Unknowns):
    """A law whose logits are learned, from those of the given one on.

    Args:
        q: the law; it stays as it is.
        rows: the data, some of which have unknowns of their own where q's batch begins with as many
            rows.

    Raises:
        ValueError: a law without `logits` and `with_logits`, or whose logits were computed.
    """

    def __init__(self, q: td.Distribution, rows: Rows | None) -> None:
        # a Joint stays one, so that its samples have names
        self._start: Any = q if isinstance(q, Joint) else as_law(q)
        for name, law in _laws(self._start).items():
            _check_learnable(name, law)
        self.logits = {
            name: nn.Parameter(law.logits.detach().clone())
            for name, law in _laws(self._start).items()
        }
        self.own_rows = rows is not None and self._start.batch_shape[:1] == (rows.count,)

    def law(self, x: Data | None, rows: Tensor | slice | None) -> Any:
        if rows is None or not self.own_rows:
            return self._of(self.logits)
        return self._of({name: parameter[rows] for name, parameter in self.logits.items()})

    def state(self) -> dict[str, Tensor]:
        return dict(self.logits)

    def moved(self) -> float:
        """The largest difference of a logit to where it started; 0 where that is infinite."""
        starts = {name: law.logits.detach() for name, law in _laws(self._start).items()}
        moves = [
            float((now.detach() - starts[name])[starts[name].isfinite()].abs().max())
            for name, now in self.logits.items()
            if bool(starts[name].isfinite().any())
        ]
        return max(moves, default=0.0)

    @property
    def posterior(self) -> Any:
        return self._of({name: parameter.detach() for name, parameter in self.logits.items()})

    def _of(self, logits: Mapping[str, Tensor]) -> Any:
        return self._start.with_logits(logits if isinstance(self._start, Joint) else logits[""])


class Made(Unknowns):
    """A module or a function that makes the law: `q(x)` of the data, `q()` without."""

    own_rows = True

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def law(self, x: Data | None, rows: Tensor | slice | None) -> Any:
        law = self._make() if x is None else self._make(x)
        if not isinstance(law, td.Distribution):
            raise ValueError(
                "q must be a law, or a module or function that returns one; it returned "
                f"{type(law).__name__}."
            )
        return law if isinstance(law, Joint) else as_law(law)

    def state(self) -> dict[str, Tensor]:
        return tensors_of(self._make)

    @property
    def posterior(self) -> Any:
        return self._make


def unknowns_of(q: Any, rows: Rows | None) -> Unknowns:
    """The unknowns that q stands for.

    Raises:
        ValueError: q is neither a law nor something that can be called.
    """
    if isinstance(q, td.Distribution):
        return OwnLogits(q, rows)
    if isinstance(q, type) or not callable(q):
        raise ValueError(
            "q must be a law such as Bernoulli(logits=torch.zeros(5)).to_event(1), or a module or "
            f"function that returns one; got {checks.shown(q)}."
        )
    return Made(q)


def tensors_of(maybe_module: Any) -> dict[str, Tensor]:
    """Parameters and buffers of a module; nothing of a plain function."""
    if not isinstance(maybe_module, nn.Module):
        return {}
    return {**dict(maybe_module.named_parameters()), **dict(maybe_module.named_buffers())}


def _laws(law: Any) -> dict[str, Any]:
    return law.laws if isinstance(law, Joint) else {"": law}


def _check_learnable(name: str, law: Any) -> None:
    what = f"The law of {name!r}" if name else "q"
    if not hasattr(law, "logits") or not hasattr(law, "with_logits"):
        raise ValueError(
            f"{what} has no `logits` and `with_logits`: {type(getattr(law, 'law', law)).__name__}. "
            "Give a module or function that returns it."
        )
    inner = getattr(law, "law", law)
    copy = inner.with_logits(inner.logits)
    if type(copy) is not type(inner):
        raise ValueError(
            f"{what} is a {type(inner).__name__}, whose with_logits makes another law, a "
            f"{type(copy).__name__}. Override with_logits."
        )
    logits: Tensor = law.logits
    if logits.requires_grad and not logits.is_leaf:
        raise ValueError(
            f"{what} has logits that were computed from other tensors, which fit would not learn. "
            "Give a module, or a function with `parameters`, that returns the law; or "
            "logits.detach() as a starting point."
        )
