"""Every public call of the library with one bad value at a time, made from the signatures.

A call is a function, a class, or a method of an object. Each has one set of arguments that is good;
the kind of each parameter says which values are bad for it. What is public and new has to be named:
a test fails for a call without good arguments and for a parameter without a kind.
"""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from sweep.bad_values import KINDS
from sweep.good_calls import GOOD, METHODS, OBJECTS, Arguments, select
from sweep.parameters import KIND_OF, PARTICULAR

import hotgrad as hg
from hotgrad import inference, selection, vae

MODULES: dict[str, ModuleType] = {
    "hg": hg,
    "hg.schedules": hg.schedules,
    "hg.estimators": hg.estimators,
    "hg.distributions": hg.distributions,
    "vae": vae,
    "selection": selection,
    "inference": inference,
}

MADE_BY_THE_LIBRARY = {
    *("hg.Audit", "hg.distributions.RelaxedSample", "inference.Diagnosis", "inference.Fit"),
    *("inference.ExactPosterior", "selection.Progress", "vae.Elbo", "vae.Evaluation"),
    *("vae.NonFiniteLossError", "vae.Progress", "vae.RunFolder"),
}
"""Results, which users read and don't make."""
TO_BE_WRITTEN = {"Estimator", "Pathwise", "Latent"}
"""What users write classes of their own from."""
ASKED_BY_THE_LIBRARY = {
    # of estimators and baselines
    *("surrogate", "bound_surrogate", "evaluations", "draw", "centre", "default_baseline"),
    # of distributions, by estimators
    *("antithetic", "argmax", "conditional_noise", "conditional_noise_of_order", "couple"),
    *("draw_noise", "gap_noise", "harden", "perturb", "perturb_with_slope", "redraw", "relax"),
    *("relax_top_k", "tangent", "log_prob_of_twin", "log_prob_of_order"),
    # of runs, by training
    *("create", "write_metrics", "write_model", "change_of"),
    # of a model's parts, by the model
    *("distribution", "relaxed", "mean"),
    # facts about classes, a copy, and a check
    *("has_baseline", "has_temperature", "missing_methods", "row_wise_estimators"),
    *("at_temperature", "check_rate"),
}
"""What is public so that users may write it or look at it, not so that they call it."""
AMONG_OTHERS = {
    *(
        "hg.Critic.forward",
        "hg.Independent.cdf",
        "hg.Independent.icdf",
        "vae.BernoulliLikelihood.log_prob",
        "vae.GaussianLikelihood.log_prob",
    ),
}
"""The same, of classes whose methods of that name users do call elsewhere."""


@dataclass(frozen=True)
class Call:
    """A public function, class or method, with arguments that are good if there are any."""

    name: str
    signature: inspect.Signature
    run: Callable[..., Any] = field(compare=False)
    good: Callable[[], Arguments] | None = field(compare=False)

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """Those that users give."""
        return {
            name: each
            for name, each in self.signature.parameters.items()
            if name != "self" and not name.startswith("_") and each.kind is not each.VAR_POSITIONAL
        }

    def kind_of(self, parameter: str) -> str | None:
        return KIND_OF.get(f"{self.name}.{parameter}", KIND_OF.get(parameter))

    def bad_values(self, parameter: str) -> dict[str, Any]:
        """What is bad for a parameter: None isn't, where it is the default."""
        values = {
            **KINDS.get(self.kind_of(parameter) or "", {}),
            **PARTICULAR.get(f"{self.name}.{parameter}", {}),
        }
        optional = self.parameters[parameter].default is None
        return {
            name: value
            for name, value in values.items()
            if not (optional and value is None) and value is not GOOD
        }

    def with_bad(self, parameter: str, value: Any) -> Any:
        """What comes of the good call with this value in it."""
        assert self.good is not None
        many = self.parameters[parameter].kind is inspect.Parameter.VAR_KEYWORD
        return self.run(**{**self.good(), ("a" if many else parameter): value})


def calls() -> Iterator[Call]:
    """All that is public, each once though it may be public in two modules."""
    seen: set[int] = set()
    for module_name, module in MODULES.items():
        for name in _public_names(module):
            public = getattr(module, name)
            full = f"{module_name}.{name}"
            skipped = inspect.ismodule(public) or not callable(public) or id(public) in seen
            if skipped or name in ASKED_BY_THE_LIBRARY or name in TO_BE_WRITTEN:
                continue
            seen.add(id(public))
            if full not in MADE_BY_THE_LIBRARY:
                run = select if public is selection.SubsetSelector else public
                yield Call(full, inspect.signature(public), run, GOOD.get(full))
            if inspect.isclass(public):
                yield from _methods(full, public)


def _public_names(module: ModuleType) -> list[str]:
    own = [n for n, it in vars(module).items() if getattr(it, "__module__", "") == module.__name__]
    return getattr(module, "__all__", [name for name in own if not name.startswith("_")])


def _methods(full: str, cls: type) -> Iterator[Call]:
    for name in sorted(dir(cls)):
        method = getattr(cls, name)
        public = name == "__call__" or not (name.startswith("_") or name in ASKED_BY_THE_LIBRARY)
        where = str(getattr(method, "__module__", ""))
        own = where.startswith("hotgrad") and not where.endswith(".formulas")  # which only refuse
        if public and own and inspect.isroutine(method):
            call = _method(full, name, inspect.signature(method))
            if call.parameters and call.name not in AMONG_OTHERS:
                yield call


def _method(full: str, name: str, signature: inspect.Signature) -> Call:
    def run(**arguments: Any) -> Any:
        return getattr(make(), name)(**arguments)

    def good() -> Arguments:
        return arguments_of(make())

    arguments_of = METHODS.get(f"{full}.{name}") or METHODS.get(name)
    make = OBJECTS.get(f"{full}.{name}") or OBJECTS.get(full)
    return Call(f"{full}.{name}", signature, run, good if arguments_of and make else None)


def cases() -> Iterator[tuple[Call, str, str]]:
    """Each call with a parameter and the name of what is bad for it."""
    for call in calls():
        for parameter in call.parameters:
            for bad in call.bad_values(parameter):
                yield call, parameter, bad
