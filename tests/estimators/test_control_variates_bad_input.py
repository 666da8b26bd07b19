"""What REBAR and RELAX refuse, and what they say then."""

from typing import Any

import pytest
import torch

import hotgrad as hg


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan"), float("inf"), "0.5", None, True])
@pytest.mark.parametrize(
    "cls", [hg.REBAR, lambda temperature: hg.RELAX(len, temperature)], ids=["REBAR", "RELAX"]
)
def test_temperatures_are_checked_when_they_are_made(cls: Any, temperature: Any) -> None:
    with pytest.raises(ValueError, match="temperature must be"):
        cls(temperature)


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), "1", None, True])
def test_rebars_scale_is_checked_when_it_is_made(scale: Any) -> None:
    with pytest.raises(ValueError, match="scale must be a finite number, got"):
        hg.REBAR(scale=scale)


@pytest.mark.parametrize("critic", [None, 3, hg.Critic, "critic"])
def test_relax_needs_a_critic(critic: Any) -> None:
    with pytest.raises(ValueError, match=r"critic must be a module critic\(y, mean\), .*; got"):
        hg.RELAX(critic)


@pytest.mark.parametrize(
    ("critic", "got"),
    [
        (lambda y, mean: y, r"\(4, 5, 3\)"),
        (lambda y, mean: y.sum(), r"\(\)"),
        (lambda y, mean: None, "NoneType"),
    ],
    ids=["too many", "one", "none"],
)
def test_a_critic_of_another_shape_is_refused(critic: Any, got: str) -> None:
    q = hg.Bernoulli(logits=torch.zeros(5, 3, requires_grad=True)).to_event(1)
    why = rf"critic .*\(4, 5\) for .*\(4, 5, 3\), got {got}"
    with pytest.raises(ValueError, match=why):
        hg.expectation(lambda z: z.sum(-1), q, hg.RELAX(critic), num_samples=2)


@pytest.mark.parametrize(
    "critic", [lambda y, mean: y.detach().sum(-1), lambda y, mean: y.sum(-1).long()]
)
def test_a_critic_without_a_gradient_is_refused(critic: Any) -> None:
    q = hg.Bernoulli(logits=torch.zeros(5, 3, requires_grad=True)).to_event(1)
    with pytest.raises(ValueError, match=r"critic.* gradient to the relaxed"):
        hg.expectation(lambda z: z.sum(-1), q, hg.RELAX(critic))


@pytest.mark.parametrize("event_shape", [3, "3", None, (3.0,), (-1,)])
def test_a_critics_event_shape_is_checked_when_it_is_made(event_shape: Any) -> None:
    with pytest.raises(ValueError, match=r"event_shape must be a shape, q\.event_shape; got"):
        hg.Critic(event_shape)


def test_a_critic_for_other_events_is_refused() -> None:
    q = hg.Bernoulli(logits=torch.zeros(5, 3, requires_grad=True)).to_event(1)
    why = r"\(4,\), got .*\(2, 5, 3\)\. Use Critic\(q\.event_shape\)"
    with pytest.raises(ValueError, match=why):
        hg.expectation(lambda z: z.sum(-1), q, hg.RELAX(hg.Critic((4,))))
