"""Clusters: the model beside scipy's, the responsibilities, and the likelihood that is reached."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.special import softmax
from scipy.stats import multivariate_normal
from sklearn.datasets import load_iris


def scores(mixture: Any) -> np.ndarray:
    """log p(x, class) by scipy, `(N, classes)`."""
    weights = mixture.weights.detach().softmax(-1).numpy()
    normals = mixture.normals()
    columns = [
        np.log(weight) + multivariate_normal(mean, covariance).logpdf(load_iris().data)
        for weight, mean, covariance in zip(
            weights,
            normals.mean.detach().numpy(),
            normals.covariance_matrix.detach().numpy(),
            strict=True,
        )
    ]
    return np.stack(columns, -1)


def test_the_model_is_the_mixture(example: Any) -> None:
    mixture, q = example.problem()
    z = q.sample((3,), generator=torch.Generator().manual_seed(0))
    right = (scores(mixture) * z.numpy()).sum(-1)
    with torch.no_grad():
        np.testing.assert_allclose(mixture(z).numpy(), right, rtol=1e-4, atol=1e-3)
    assert q.batch_shape == (150,)


def test_classes_are_numbered_by_length_of_petal(example: Any) -> None:
    assert example.adjusted(np.array([0, 1, 2, 0]), [5.0, 1.0, 3.0]).tolist() == [2, 0, 1, 2]
    means = example.problem()[0].means[:, example.ACROSS].tolist()
    assert means == sorted(means)


def test_what_the_gradients_reach(example: Any, tmp_path: Path) -> None:
    ways = example.main(tmp_path, steps=500)
    for name, way in ways.items():
        right = scores(way.mixture)
        np.testing.assert_allclose(way.exact.numpy(), softmax(right, -1), atol=2e-3)
        # k-means leaves -197.3, the EM algorithm ends at -180.2
        assert -190 < way.log_likelihood < -180, name
        assert way.off < 0.15, name
    with Image.open(tmp_path / "clusters.png") as image:
        assert image.size == (2360, 1030)
