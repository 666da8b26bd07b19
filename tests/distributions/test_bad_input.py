"""What users may pass by mistake, and the one line that they get."""

import math
import re
from typing import Any

import pytest
import torch

import hotgrad as hg

INF, NAN = math.inf, math.nan

PARAMETERS: list[tuple[type, dict[str, Any], str]] = [
    (hg.OneHotCategorical, {}, "exactly one of probs and logits; got neither"),
    (
        hg.OneHotCategorical,
        {"probs": torch.ones(1), "logits": torch.ones(1)},
        "exactly one of probs and logits; got both",
    ),
    (hg.OneHotCategorical, {"logits": torch.tensor([1, 2])}, "logits.float()"),
    (hg.OneHotCategorical, {"probs": torch.tensor([0, 1])}, "probs must be floating point"),
    (hg.OneHotCategorical, {"logits": [0.0, 1.0]}, "logits must be a tensor, got list"),
    (hg.OneHotCategorical, {"logits": torch.tensor(0.0)}, "needs a last dimension"),
    (hg.OneHotCategorical, {"logits": torch.zeros(2, 0)}, "has no categories"),
    (hg.OneHotCategorical, {"logits": torch.tensor([[0.0, NAN]])}, "In row (0,): nan"),
    (hg.OneHotCategorical, {"logits": torch.tensor([INF, 0.0])}, "In the row: inf"),
    (
        hg.OneHotCategorical,
        {"logits": torch.tensor([[0.0, 1.0], [-INF, -INF]])},
        "1 of 2 rows are not. In row (1,): all -inf",
    ),
    (
        hg.OneHotCategorical,
        {"probs": torch.tensor([[0.5, 0.5], [0.5, 0.4]])},
        "row (1,) sums to 0.9. Divide by the sum, or pass logits=weights.log()",
    ),
    (hg.OneHotCategorical, {"probs": torch.tensor([1.5, -0.5])}, "[0, 1], got 1.5 at (0,)"),
    (hg.OneHotCategorical, {"probs": torch.tensor([NAN, 1.0])}, "[0, 1], got nan at (0,)"),
    (hg.Bernoulli, {}, "got neither"),
    (hg.Bernoulli, {"logits": torch.tensor([0, 1])}, "got dtype torch.int64"),
    (hg.Bernoulli, {"logits": 0}, "logits must be a tensor, got int"),
    (hg.Bernoulli, {"logits": torch.tensor([0.0, NAN])}, "1 of 2 are, the first at (1,)"),
    (hg.Bernoulli, {"probs": torch.tensor([0.5, 1.01])}, "at (1,)"),
    (hg.Bernoulli, {"probs": -0.1}, "[0, 1], got -0.1"),
    (hg.Concrete, {"temperature": 0.0, "logits": torch.zeros(2)}, "positive and finite, got 0.0"),
    (hg.Concrete, {"temperature": 0.5, "logits": torch.tensor([NAN, 0.0])}, "In the row: nan"),
    (hg.Concrete, {"temperature": 0.5, "probs": torch.tensor([0.3, 0.3])}, "must sum to 1"),
    (hg.BinaryConcrete, {"temperature": NAN, "logits": torch.zeros(2)}, "got nan"),
    (hg.BinaryConcrete, {"temperature": 0.5, "logits": torch.tensor([INF])}, "finite logits"),
    (hg.BinaryConcrete, {"temperature": 0.5, "logits": torch.tensor([NAN])}, "must not be NaN"),
    (hg.HardConcrete, {"temperature": -1, "logits": torch.zeros(2)}, "got -1"),
    (hg.HardConcrete, {"temperature": 0.5, "logits": torch.tensor([1])}, "got dtype torch.int64"),
]


@pytest.mark.parametrize(("law", "arguments", "message"), PARAMETERS)
def test_bad_parameters(law: type, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        law(**arguments)


@pytest.mark.parametrize("law", [hg.OneHotCategorical, hg.Bernoulli])
def test_values_are_not_looked_at_without_validation(law: Any) -> None:
    q = law(logits=torch.full((2,), NAN), validate_args=False)
    assert q.logits.isnan().all()
    with pytest.raises(ValueError, match="must be floating point"):
        law(logits=torch.tensor([1, 2]), validate_args=False)


def test_probabilities_that_miss_one_by_rounding_are_taken() -> None:
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        probs = torch.rand(20, 1000, generator=torch.Generator().manual_seed(0)).softmax(-1)
        q = hg.OneHotCategorical(probs=probs.to(dtype))
        torch.testing.assert_close(
            q.mean.double().sum(-1), torch.ones(20, dtype=torch.float64), atol=0.02, rtol=0
        )
