"""The kind of each parameter of a public signature, and what is bad for one of a single call."""

from typing import Any

import numpy as np
import torch

import hotgrad as hg

T = torch.tensor
NAN, INF = float("nan"), float("inf")

_NAMES: dict[str, str] = {
    "function of z": "f log_joint log_weight",
    "function": "listener critic",
    "progress": "progress",
    "optimizer": "optimizer",
    "distribution": "q distribution p",
    "part": "distributions",
    "base": "base_distribution",
    "estimator": "estimator",
    "estimators": "estimators",
    "temperatures": "temperatures",
    "baseline": "baseline",
    "module": "module encoder decoder",
    "part of a model": "latent likelihood",
    "logits": "logits",
    "probs": "probs",
    "temperature": "temperature tau prior_temperature",
    "one temperature": "initial final floor min_temperature",
    "count": "num_samples num_inner num_items num_latents num_categories variables categories steps"
    " every epochs batch_size replicates evaluations budget total_steps devices anneal_every"
    " patience inputs outputs",
    "count from 0": "subset_size step",
    "size of a subset": "k m",
    "number above 0": "learning_rate logits_learning_rate scale",
    "tolerance": "tolerance",
    "number from 0": "rate anneal_rate kl_weight gap level corruption_level",
    "share below 1": "decay validation_fraction",
    "flag": "hard same_unit learned_prior binary resume tensorboard expand validate_args",
    "generator": "generator",
    "choice": "kind objective task targets corruption network prior kl schedule accelerator"
    " precision name",
    "text": "title source data data_dir column",
    "shape": "sample_shape batch_shape event_shape shape hidden",
    "dimension": "dim reinterpreted_batch_ndims ndims",
    "sample": "value",
    "tensor": "x z target",
    "parameters": "parameters",
    "file": "path",
    "path": "run",
    "new folder": "out",
    "seed": "seed",
    "random state": "random_state",
    "table": "X",
    "rows": "train valid test",
    "settings": "config",
    "data set": "dataset",
    "model": "model",
    "nothing bad": "eps origin row_numbers labels classes device kwargs",
}

KIND_OF: dict[str, str] = {
    **{name: kind for kind, names in _NAMES.items() for name in names.split()},
    "hg.Gumbel.loc": "location",
    "hg.Gumbel.scale": "location",
    "hg.HardConcrete.stretch": "range",
    "hg.IMLE.step": "number above 0",
    "hg.IMLE.noise": "choice",
    "hg.Critic.hidden": "count",
    "hg.Joint.log_prob.value": "samples by name",
    **{
        f"hg.{it}.with_logits.logits": "logits of a copy"
        for it in ("Bernoulli", "OneHotCategorical", "KSubset", "PlackettLuceSubset", "Independent")
    },
    "hg.Joint.with_logits.logits": "samples by name",
    "hg.schedules.Constant.value": "one temperature",
    "hg.REBAR.scale": "real",
    "vae.Config.make_schedule.total_steps": "count from 0",
    "vae.corrupt.x": "values",
    "vae.make_targets.x": "values",
    "hg.Gumbel.cdf.value": "numbers",
    "hg.Gumbel.icdf.value": "numbers",
    "vae.evaluate.progress": "function",
    "vae.Config.temperature": "one temperature",
    "vae.Config.prior_temperature": "one temperature",
    "vae.Config.latent": "choice",
    "vae.Config.likelihood": "choice",
    "vae.Config.estimator": "choice",
    "vae.Config.baseline": "choice",
    "vae.Config.optimizer": "choice",
    "vae.Config.from_dict.values": "settings by name",
    "vae.Dataset.name": "text",
    "vae.RunFolder.open.path": "path",
    "vae.load_dataset.name": "data",
    "vae.load_dataset.data_dir": "nothing bad",
    "vae.evaluate.data": "tensor",
    "selection.SubsetSelector.fit.y": "target",
    "selection.SubsetSelector.partial_fit.y": "target",
    "selection.SubsetSelector.hidden": "shape",
    "inference.fit.data": "data of a model",
    "inference.load.data": "data of a model",
    "inference.load.path": "path",
    "inference.load.log_joint": "function",
}

_UNFIT_TEMPERATURE = {
    "other shape": torch.full((5, 7), 0.5),
    "more dimensions": torch.ones(2, 2, 3),
}
_NO_ROW = {
    "no dimension": T(0.5),
    "no categories": torch.zeros(2, 0),
    "all masked": torch.full((3,), -INF),
    "inf in it": T([0.0, INF, 0.0]),
}
_NOT_ONE_HOT = {"none": torch.zeros(3), "two": T([1.0, 1.0, 0.0]), "half": torch.full((3,), 0.5)}
_UNFIT_SHAPE = {"other": (2, 7), "fewer dimensions": ()}

PARTICULAR: dict[str, dict[str, Any]] = {
    **{
        f"hg.{call}.logits": _NO_ROW
        for call in (
            *("gumbel_softmax", "m_hot", "m_hot_columns", "OneHotCategorical", "Concrete"),
            *("KSubset", "PlackettLuceSubset"),
        )
    },
    **{
        f"hg.{call}.temperature": _UNFIT_TEMPERATURE
        for call in ("binary_concrete", "m_hot", "m_hot_columns", "Concrete")
    },
    "hg.BinaryConcrete.temperature": {"other shape": torch.full((5, 7), 0.5)},
    "hg.HardConcrete.temperature": {"other shape": torch.full((5, 7), 0.5)},
    "hg.gumbel_softmax.tau": _UNFIT_TEMPERATURE,
    "hg.gumbel_softmax.dim": {"below": -5},
    "hg.m_hot.m": {"more than there are": 4},
    "hg.KSubset.k": {"more than there are": 4},
    **{
        f"hg.{distribution}.expand.batch_shape": _UNFIT_SHAPE
        for distribution in ("Bernoulli", "BinaryConcrete", "HardConcrete", "Gumbel")
    },
    **{
        f"hg.{distribution}.expand.batch_shape": {"text in it": (2, "a")}
        for distribution in (
            "OneHotCategorical",
            "Concrete",
            "KSubset",
            "PlackettLuceSubset",
            "Joint",
        )
    },
    "hg.Bernoulli.log_prob.value": {"half": torch.full((3,), 0.5)},
    "hg.Independent.log_prob.value": {"half": torch.full((3,), 0.5)},
    "hg.OneHotCategorical.log_prob.value": _NOT_ONE_HOT,
    "hg.KSubset.log_prob.value": {"one": T([1.0, 0.0, 0.0]), "half": torch.full((3,), 0.5)},
    "hg.PlackettLuceSubset.log_prob.value": {"three": torch.ones(3), "none": torch.zeros(3)},
    "hg.Concrete.log_prob.value": {"sums to 2": T([1.0, 0.5, 0.5])},
    "hg.OneHotCategorical.with_logits.logits": {"no categories": torch.zeros(2, 0)},
    "hg.KSubset.with_logits.logits": {"too few": torch.zeros(1)},
    "hg.Independent.with_logits.logits": {"no dimension": T(0.5)},
    "hg.OneHotCategorical.probs": {"sum to 2": T([1.0, 0.5, 0.5]), "no categories": T([])},
    "hg.Independent.reinterpreted_batch_ndims": {"negative": -1},
    **{
        f"hg.{distribution}.to_event.ndims": {"negative": -1}
        for distribution in ("Bernoulli", "Concrete", "Joint")
    },
    "hg.expectation.estimator": {"of a bound": hg.VIMCO(), "of classes": hg.RelaxedTopK()},
    "hg.expectation.num_samples": {"vast": 2**70},
    "hg.Bernoulli.sample.sample_shape": {"vast": (2**70,)},
    "hg.monte_carlo_kl.q": {"other width": hg.Concrete(0.5, logits=torch.zeros(5))},
    "vae.VAE.forward.x": {"other width": torch.zeros(5, 3), "other type": torch.zeros(5, 4).long()},
    "vae.VAE.forward.num_samples": {"vast": 2**70},
    "vae.VAE.concrete_elbo.estimator": {"not relaxed": hg.ReinMax()},
    "vae.VAE.decode.z": {"other width": torch.zeros(5, 2, 4)},
    "vae.KSubsetLatent.k": {"more than there are": 4},
    "vae.make_latent.subset_size": {"more than there are": 4},
    "vae.Config.seed": {"2^63": 2**63},
    "vae.Config.hidden": {"width 0": (0,), "a width in text": ("256",)},
    "vae.corrupt.level": {"2": 2.0},
    "selection.SubsetSelector.k": {"more than there are": 4},
    "selection.SubsetSelector.estimator": {"all states": hg.Exact(), "unknown": "rebarr"},
    "selection.SubsetSelector.fit.X": {"few rows": np.zeros((1, 3))},
    "inference.fit.estimator": {"of a bound": hg.VIMCO()},
    "inference.fit.num_samples": {"one": 1},
    "inference.diagnose.num_samples": {"few": 3},
}

STANDS_FOR: dict[str, str] = {
    **dict.fromkeys(("path", "out"), "can't write|file|folder|is not a run"),
    "X": "[Cc]olumns|[Tt]able|[Ii]nput|array|samples?|features?|text",
    "x": "[Ii]nput|items",
    "z": "codes",
    "target": "items",
    "distributions": "distribution|distribution",
    "distribution": "q",
    "kind": "network|latent|targets|corruption",
    **dict.fromkeys(("ndims", "reinterpreted_batch_ndims", "batch_shape"), "dimensions"),
    "value": "[Vv]alues?|vectors|states|[Ss]amples?|log_prob|cdf|icdf|relaxed bit",
    "base_distribution": "Independent",
    "run": "path",
    "y": "array|[Cc]lasses|[Tt]arget|samples",
    "logits": "k|dimensions|with_logits",
    "name": "estimator|data set|array|file",
    "p": "monte_carlo_kl|KL",
    "q": "monte_carlo_kl|KL",
    "data": "items|encoder",
    **dict.fromkeys(("inputs", "outputs"), "size of the code"),
    "num_latents": "variables",
    "num_categories": "categories",
    "subset_size": "k",
    "temperatures": "temperature",
    "total_steps": "steps",
    "estimator": "RelaxedTopK",
    "values": "[Ss]ettings|epochs|num_latents",
}
"""What a message may call a parameter instead of by its name, as a pattern."""
