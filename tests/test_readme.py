"""The README: its code runs, its table tells the facts that the classes state, its files exist."""

import re
from pathlib import Path

import pytest
import torch

import hotgrad as hg
from hotgrad.estimators import ESTIMATORS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_code_runs() -> None:
    assert len(BLOCKS) == 3
    scope: dict[str, object] = {}
    for block in BLOCKS:
        exec(block, scope)
    logits = scope["logits"]
    assert isinstance(logits, torch.Tensor)
    assert logits.grad is not None
    assert bool(logits.grad.abs().sum() > 0)
    assert len(scope["names"]) == 3
    halfway = scope["Halfway"]
    assert isinstance(halfway, type)
    q = hg.Bernoulli(logits=torch.zeros(3)).to_event(1)
    assert hg.expectation(lambda z: z.sum(-1), q, halfway(), num_samples=5).shape == ()


@pytest.mark.parametrize("name", ESTIMATORS)
def test_table_tells_the_facts(name: str) -> None:
    estimator = ESTIMATORS[name]
    row = re.search(rf"^\| `{estimator.__name__}\(.*$", README, re.MULTILINE)
    assert row is not None
    _, _, gradient, differentiates, sees, evaluations, *_ = (
        cell.strip() for cell in row.group().split("|")
    )
    assert (gradient in ("exact", "unbiased")) is estimator.unbiased
    assert (gradient == "biased") is not estimator.unbiased
    assert (differentiates == "yes") is estimator.differentiates_f
    assert (sees == "relaxed samples") is estimator.relaxes_f
    assert (evaluations == "S") is (name != "exact")


def test_links_lead_to_files() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert len(links) >= 4
    for link in links:
        assert (ROOT / link).is_file(), link
