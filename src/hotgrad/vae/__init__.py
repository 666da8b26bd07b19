"""Discrete variational autoencoders: codes of categories, bits or subsets, by any estimator.

Needs the `train` extra: `pip install "hotgrad[train]"`.
"""

from hotgrad.vae.build import build_model
from hotgrad.vae.config import CHOICES, Config
from hotgrad.vae.data import Dataset, load_dataset
from hotgrad.vae.evaluation import Evaluation, elbo, evaluate, importance_weighted_bound
from hotgrad.vae.inputs import check_fits, corrupt, make_targets
from hotgrad.vae.latent import (
    BernoulliLatent,
    CategoricalLatent,
    KSubsetLatent,
    Latent,
    make_latent,
)
from hotgrad.vae.likelihood import BernoulliLikelihood, GaussianLikelihood
from hotgrad.vae.model import VAE, Elbo
from hotgrad.vae.networks import make_decoder, make_encoder
from hotgrad.vae.run import RunFolder, load
from hotgrad.vae.training import NonFiniteLossError, Progress, train

__all__ = [
    "CHOICES",
    "VAE",
    "BernoulliLatent",
    "BernoulliLikelihood",
    "CategoricalLatent",
    "Config",
    "Dataset",
    "Elbo",
    "Evaluation",
    "GaussianLikelihood",
    "KSubsetLatent",
    "Latent",
    "NonFiniteLossError",
    "Progress",
    "RunFolder",
    "build_model",
    "check_fits",
    "corrupt",
    "elbo",
    "evaluate",
    "importance_weighted_bound",
    "load",
    "load_dataset",
    "make_decoder",
    "make_encoder",
    "make_latent",
    "make_targets",
    "train",
]
