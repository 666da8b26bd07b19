"""What `fit` sees before its first step: ignored unknowns, gradients that are not there."""

from typing import Any

import pytest
import torch
from inference.models import SCORES, bits, linear, seeded

import hotgrad as hg
from hotgrad.inference import fit


@pytest.mark.parametrize("estimator", [hg.GumbelSoftmax(0.5), hg.StraightThrough(), hg.REBAR()])
@pytest.mark.parametrize("kind", ["detached", "rounded", "with parameters"])
def test_an_estimator_that_needs_a_gradient_which_isnt_there(
    estimator: hg.Estimator, kind: str
) -> None:
    weight = torch.tensor(1.0, requires_grad=True)
    functions = {
        "detached": lambda z: linear(z.detach()),
        "rounded": lambda z: linear(z.round()),
        "with parameters": lambda z: linear(z.detach()) * weight,
    }
    with pytest.raises(ValueError, match=r"log_joint, which has no gradient to z.*ScoreFun"):
        fit(functions[kind], bits(3), estimator=estimator, generator=seeded())
    fit(functions[kind], bits(3), steps=3, generator=seeded())


def test_the_unknown_without_a_gradient_is_named() -> None:
    q = hg.Joint(a=bits(3), b=bits(2))
    with pytest.raises(ValueError, match="no gradient to 'b'"):
        fit(
            lambda z: linear(z["a"]) + (z["b"] > 0.5).sum(-1).float(),
            q,
            estimator=hg.StraightThrough(),
            generator=seeded(),
        )


@pytest.mark.parametrize("estimator", [None, hg.StraightThrough()])
def test_an_ignored_unknown_is_warned_of(estimator: hg.Estimator | None) -> None:
    q = hg.Joint(used=bits(3), spare=bits(2), other=bits(1))
    with pytest.warns(UserWarning, match="log_joint ignores 'spare', 'other'"):
        result = fit(
            lambda z: linear(z["used"]), q, estimator=estimator, steps=20, generator=seeded()
        )
    torch.testing.assert_close(result.marginals["spare"], torch.full((2,), 0.5), atol=0.2, rtol=0)


@pytest.mark.parametrize("estimator", [None, hg.StraightThrough()])
@pytest.mark.parametrize(
    ("q", "log_joint", "message"),
    [
        (
            bits(5),
            lambda z: linear(z[..., 1:4]),
            r"ignores 2 of 5 unknowns in z, the first at \[0\]",
        ),
        (
            hg.OneHotCategorical(logits=torch.zeros(2, 3)).to_event(1),
            lambda z: linear(z[..., 1, :]),
            r"ignores 1 of 2 unknowns in z, the first at \[0, 0\]",
        ),
        (
            hg.Joint(a=bits(4), b=bits(2)),
            lambda z: linear(z["a"][..., :3]) + z["b"].sum(-1),
            r"ignores 1 of 4 unknowns in 'a', the first at \[3\]",
        ),
    ],
    ids=["bits", "categories", "joint"],
)
def test_some_unknowns_of_one_name_that_are_ignored_are_warned_of(
    q: Any, log_joint: Any, message: str, estimator: hg.Estimator | None
) -> None:
    with pytest.warns(UserWarning, match=message):
        fit(log_joint, q, estimator=estimator, steps=3, generator=seeded())


@pytest.mark.parametrize(
    "log_joint",
    [
        lambda z: linear(z.mul_(1.0)),
        lambda z: torch.from_numpy(z.numpy() @ SCORES.numpy()),
        lambda z: linear(z) + 5 * z[..., 0] * (z[..., 1] - z[..., 1].square()),
    ],
    ids=["in place", "numpy", "a slope of 0 at 0 and 1"],
)
def test_what_is_not_ignored_isnt_called_so(log_joint: Any) -> None:
    fit(log_joint, bits(3), steps=3, generator=seeded())


def test_a_log_joint_that_ignores_everything_is_warned_of() -> None:
    with pytest.warns(UserWarning, match="log_joint ignores z"):
        fit(lambda z: torch.zeros(len(z)), bits(2), steps=10, generator=seeded())


def test_an_unknown_that_is_certain_isnt_called_ignored() -> None:
    q = hg.Joint(used=bits(3), certain=hg.Bernoulli(logits=torch.tensor(torch.inf)))
    result = fit(lambda z: linear(z["used"]) * z["certain"], q, steps=20, generator=seeded())
    assert result.marginals["certain"].item() == 1
