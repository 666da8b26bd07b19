"""One set of good arguments for every public call, into which bad values are put one at a time."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from toy_runs import toy_config, toy_dataset, toy_model

import hotgrad as hg
from hotgrad import inference, selection, vae

Arguments = dict[str, Any]
LOGITS = torch.tensor([0.1, -0.2, 0.3])


def f(z: Any) -> torch.Tensor:
    return z.sum(-1).square()


def log_joint(z: Any, x: Any = None) -> Any:
    prior = -z.sum(-1)
    return prior if x is None else (prior, prior[..., None] * x[:, 0])


def bits() -> Any:
    return hg.Bernoulli(logits=LOGITS).to_event(1)


def relaxed_bits() -> Any:
    return hg.BinaryConcrete(0.5, logits=LOGITS).to_event(1)


def classes() -> Any:
    return hg.OneHotCategorical(logits=LOGITS)


def model() -> vae.VAE:
    return toy_model(vae.CategoricalLatent(2, 3), items=4, dtype=torch.float32)


def pixels() -> torch.Tensor:
    return torch.full((5, 4), 0.5)


def table() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).normal(size=(40, 3))


def select(**settings: Any) -> Any:
    """As scikit-learn asks, a selector looks at its settings when it is fitted."""
    X = table()
    return selection.SubsetSelector(**settings).fit(X, X[:, 0])


_numbers = itertools.count()


def _new(ending: str = "") -> str:
    return f"new-{next(_numbers)}{ending}"


GOOD: dict[str, Callable[[], Arguments]] = {
    "hg.ARM": dict,
    "hg.DisARM": dict,
    "hg.IMLE": dict,
    "hg.REBAR": dict,
    "hg.RELAX": lambda: {"critic": hg.Critic((3,))},
    "hg.VIMCO": dict,
    "hg.Bernoulli": lambda: {"logits": LOGITS},
    "hg.BinaryConcrete": lambda: {"temperature": 0.5, "logits": LOGITS},
    "hg.Concrete": lambda: {"temperature": 0.5, "logits": LOGITS},
    "hg.HardConcrete": lambda: {"temperature": 0.5, "logits": LOGITS},
    "hg.OneHotCategorical": lambda: {"logits": LOGITS},
    "hg.KSubset": lambda: {"logits": LOGITS, "k": 2},
    "hg.PlackettLuceSubset": lambda: {"logits": LOGITS, "k": 2},
    "hg.Gumbel": lambda: {"loc": LOGITS, "scale": 1.0},
    "hg.Independent": lambda: {
        "base_distribution": hg.Bernoulli(logits=LOGITS),
        "reinterpreted_batch_ndims": 1,
    },
    "hg.Joint": lambda: {"a": bits(), "b": classes()},
    "hg.Critic": lambda: {"event_shape": (3,)},
    "hg.Exact": dict,
    "hg.GappedStraightThrough": dict,
    "hg.GumbelRao": dict,
    "hg.GumbelSoftmax": dict,
    "hg.IndeCateR": dict,
    "hg.Learned": lambda: {"module": torch.nn.Linear(3, 1)},
    "hg.LearnedTemperature": lambda: {"estimator": hg.GumbelSoftmax()},
    "hg.LeaveOneOut": dict,
    "hg.MovingAverage": dict,
    "hg.MuProp": dict,
    "hg.NoBaseline": dict,
    "hg.PerturbedMAP": dict,
    "hg.ReinMax": dict,
    "hg.RelaxedTopK": dict,
    "hg.ScoreFunction": dict,
    "hg.StraightThrough": dict,
    "hg.StraightThroughGumbelSoftmax": dict,
    "hg.UnorderedSet": dict,
    "hg.audit": lambda: {"f": f, "q": bits(), "estimators": [hg.ARM()], "replicates": 20},
    "hg.binary_concrete": lambda: {"logits": LOGITS},
    "hg.gumbel_softmax": lambda: {"logits": LOGITS},
    "hg.m_hot": lambda: {"logits": LOGITS, "m": 2},
    "hg.m_hot_columns": lambda: {"logits": LOGITS, "m": 2},
    "hg.expectation": lambda: {"f": f, "q": bits(), "estimator": hg.REBAR()},
    "hg.importance_bound": lambda: {
        "log_weight": log_joint,
        "q": bits(),
        "estimator": hg.VIMCO(),
        "num_samples": 2,
    },
    "hg.monte_carlo_kl": lambda: {
        "p": hg.Concrete(0.5, logits=LOGITS),
        "q": hg.Concrete(0.6, logits=LOGITS),
    },
    "hg.schedules.Constant": lambda: {"value": 0.5},
    "hg.schedules.Exponential": dict,
    "hg.schedules.Linear": lambda: {"initial": 1.0, "final": 0.5, "steps": 10},
    "hg.schedules.Cosine": lambda: {"initial": 1.0, "final": 0.5, "steps": 10},
    "hg.estimators.make_estimator": lambda: {"name": "gumbel-softmax"},
    "hg.distributions.as_distribution": lambda: {"q": bits()},
    "vae.VAE": lambda: {
        "encoder": torch.nn.Linear(4, 6),
        "decoder": torch.nn.Linear(6, 4),
        "latent": vae.CategoricalLatent(2, 3),
        "likelihood": vae.BernoulliLikelihood(),
    },
    "vae.BernoulliLatent": lambda: {"variables": 3},
    "vae.CategoricalLatent": lambda: {"variables": 2, "categories": 3},
    "vae.KSubsetLatent": lambda: {"variables": 2, "categories": 3, "k": 2},
    "vae.BernoulliLikelihood": dict,
    "vae.GaussianLikelihood": dict,
    "vae.Config": dict,
    "vae.Dataset": lambda: {
        **{split: torch.rand(4, 16) for split in ("train", "valid", "test")},
        "name": "toy",
        "shape": (4, 4),
        "binary": False,
        "source": "the sweep",
    },
    "vae.build_model": lambda: {"config": toy_config(), "shape": (4, 4)},
    "vae.check_fits": lambda: {"dataset": toy_dataset(), "config": toy_config()},
    "vae.corrupt": lambda: {"x": pixels(), "kind": "mask", "level": 0.5, "generator": None},
    "vae.elbo": lambda: {"model": model(), "x": pixels()},
    "vae.evaluate": lambda: {"model": model(), "data": pixels(), "num_samples": 2},
    "vae.importance_weighted_bound": lambda: {"model": model(), "x": pixels(), "num_samples": 2},
    "vae.load": lambda: {"run": "run"},
    "vae.load_dataset": lambda: {"name": "rows.npy"},
    "vae.make_decoder": lambda: {"kind": "mlp", "shape": (4, 4), "hidden": (8,), "inputs": 6},
    "vae.make_encoder": lambda: {"kind": "mlp", "shape": (4, 4), "hidden": (8,), "outputs": 6},
    "vae.make_latent": lambda: {"kind": "k-subset", "num_latents": 2, "num_categories": 3},
    "vae.make_targets": lambda: {"x": pixels(), "kind": "dynamic", "generator": None},
    "vae.train": lambda: {"config": toy_config(), "out": _new(), "dataset": toy_dataset()},
    "selection.SubsetSelector": lambda: {"k": 2, "epochs": 1},
    "inference.diagnose": lambda: {"q": bits(), "log_joint": log_joint, "num_samples": 25},
    "inference.exact_posterior": lambda: {"q": bits(), "log_joint": log_joint},
    "inference.fit": lambda: {
        "log_joint": log_joint,
        "q": bits(),
        "steps": 3,
        "data": torch.ones(5, 2),
        "batch_size": 2,
    },
    "inference.load": lambda: {
        "path": "fit.safetensors",
        "log_joint": log_joint,
        "data": torch.ones(5, 2),
    },
}

OBJECTS: dict[str, Callable[[], Any]] = {
    "hg.Bernoulli": lambda: hg.Bernoulli(logits=LOGITS),
    "hg.BinaryConcrete": lambda: hg.BinaryConcrete(0.5, logits=LOGITS),
    "hg.Concrete": lambda: hg.Concrete(0.5, logits=LOGITS),
    "hg.HardConcrete": lambda: hg.HardConcrete(0.5, logits=LOGITS),
    "hg.OneHotCategorical": classes,
    "hg.KSubset": lambda: hg.KSubset(LOGITS, 2),
    "hg.PlackettLuceSubset": lambda: hg.PlackettLuceSubset(LOGITS, 2),
    "hg.Gumbel": lambda: hg.Gumbel(LOGITS, 1.0),
    "hg.Independent": bits,
    "hg.Independent.rsample": relaxed_bits,
    "hg.Independent.rsample_with_twin": relaxed_bits,
    "hg.Joint": lambda: hg.Joint(a=bits(), b=classes()),
    "hg.IMLE": hg.IMLE,
    "hg.GappedStraightThrough": hg.GappedStraightThrough,
    "hg.GumbelRao": hg.GumbelRao,
    "hg.GumbelSoftmax": hg.GumbelSoftmax,
    "hg.PerturbedMAP": hg.PerturbedMAP,
    "hg.ReinMax": hg.ReinMax,
    "hg.RelaxedTopK": hg.RelaxedTopK,
    "hg.StraightThrough": hg.StraightThrough,
    "hg.StraightThroughGumbelSoftmax": hg.StraightThroughGumbelSoftmax,
    "hg.LearnedTemperature": lambda: hg.LearnedTemperature(hg.GumbelSoftmax()),
    "hg.Audit": lambda: hg.audit(f, bits(), [hg.ARM()], replicates=20),
    "hg.schedules.Constant": lambda: hg.schedules.Constant(0.5),
    "hg.schedules.Exponential": hg.schedules.Exponential,
    "hg.schedules.Linear": lambda: hg.schedules.Linear(1.0, 0.5, 10),
    "hg.schedules.Cosine": lambda: hg.schedules.Cosine(1.0, 0.5, 10),
    "vae.VAE": model,
    "vae.Config": vae.Config,
    "vae.RunFolder": lambda: vae.RunFolder(Path("run")),
    "selection.SubsetSelector": lambda: selection.SubsetSelector(2, epochs=1),
    "inference.Fit": lambda: inference.fit(log_joint, bits(), steps=3),
}
"""One of each class whose methods users call, and of one method where another is needed."""

METHODS: dict[str, Callable[[Any], Arguments]] = {
    "log_prob": lambda it: {"value": it.sample()},
    "cdf": lambda it: {"value": it.sample()},
    "icdf": lambda it: {"value": torch.full((3,), 0.5)},
    "expand": lambda it: {"batch_shape": (2, *it.batch_shape)},
    "to_event": lambda it: {"ndims": len(it.batch_shape)},
    "with_logits": lambda it: {"logits": it.logits},
    "sample": lambda it: {} if hasattr(it, "batch_shape") else {"q": bits()},
    "sample_order": lambda it: {},
    "rsample": lambda it: {},
    "rsample_with_twin": lambda it: {},
    "enumerate_support": lambda it: {},
    "hg.RelaxedTopK.sample": lambda it: {"q": hg.PlackettLuceSubset(LOGITS, 2)},
    "inference.Fit.sample": lambda it: {},
    "__call__": lambda it: {"step": 3},
    "save": lambda it: {"path": _new(".json")},
    "inference.Fit.save": lambda it: {"path": _new(".safetensors")},
    "plot": lambda it: {"path": _new(".png")},
    "bound": lambda it: {"num_samples": 2},
    "diagnose": lambda it: {"num_samples": 25},
    "encode": lambda it: {"x": pixels()},
    "reconstruct": lambda it: {"x": pixels()},
    "decode": lambda it: {"z": it.encode(pixels()).mode},
    "log_likelihood": lambda it: {"x": pixels(), "z": it.encode(pixels()).sample((1,))},
    "vae.VAE.forward": lambda it: {"x": pixels(), "estimator": hg.GumbelSoftmax()},
    "concrete_elbo": lambda it: {
        "x": pixels(),
        "estimator": hg.GumbelSoftmax(),
        "prior_temperature": 0.5,
    },
    "generate": lambda it: {"num_items": 2},
    "make_schedule": lambda it: {"total_steps": 10},
    "from_dict": lambda it: {"values": {}},
    "open": lambda it: {"path": "run"},
    "fit": lambda it: {"X": table(), "y": table()[:, 0]},
    "partial_fit": lambda it: {"X": table(), "y": table()[:, 0]},
}
"""The good arguments of a method, by its name or by its class's as well."""


def write_files(folder: Path) -> None:
    """What the calls and the bad values name."""
    (folder / "taken").mkdir()
    (folder / "file.txt").write_text("a file")
    np.save(folder / "rows.npy", np.random.default_rng(0).uniform(size=(40, 4)))
    vae.train(toy_config(), folder / "run", dataset=toy_dataset())
    fit = inference.fit(log_joint, bits(), steps=3, data=torch.ones(5, 2))
    fit.save(folder / "fit.safetensors")
