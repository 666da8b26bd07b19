"""Inference of discrete unknowns: variational fits by any estimator, checked against the exact."""

from hotgrad.inference.diagnosing import diagnose
from hotgrad.inference.diagnosis import Diagnosis
from hotgrad.inference.exact import ExactPosterior, exact_posterior
from hotgrad.inference.fitting import fit
from hotgrad.inference.loading import load
from hotgrad.inference.result import Fit

__all__ = ["Diagnosis", "ExactPosterior", "Fit", "diagnose", "exact_posterior", "fit", "load"]
