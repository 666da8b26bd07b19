"""The README: its code runs, its table tells the facts that the classes state, its files exist."""

import re
from pathlib import Path

import pytest
import torch

import hotgrad as hg
from hotgrad.estimators import ESTIMATORS, make_estimator
from hotgrad.inference import Fit

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
# the same code on less: the figures that it prints are nobody's
LESS = {"replicates=200": "replicates=20", "SubsetSelector(k=3,": "SubsetSelector(k=3, epochs=2,"}


def test_code_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(BLOCKS) == 5
    scope: dict[str, object] = {}
    code = "".join(BLOCKS)
    for much, little in LESS.items():
        assert code.count(much) == 1
        code = code.replace(much, little)
    exec(code, scope)
    logits = scope["logits"]
    assert isinstance(logits, torch.Tensor)
    assert logits.grad is not None
    assert bool(logits.grad.abs().sum() > 0)
    assert len(scope["names"]) == 3
    result = scope["result"]
    assert isinstance(result, Fit)
    assert result.converged
    assert result.marginals["broken"].argmax() == 2
    assert hasattr(scope["estimator"], "surrogate")
    assert "95 %" in capsys.readouterr().out
    halfway = scope["Halfway"]
    assert isinstance(halfway, type)
    q = hg.Bernoulli(logits=torch.zeros(3)).to_event(1)
    assert hg.expectation(lambda z: z.sum(-1), q, halfway(), num_samples=5).shape == ()


EVALUATIONS = {
    "exact": "states of z",
    "indecater": "S (1 + the other states of each part)",
    "muprop": "S + 1",
    "rebar": "3 S",
}


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
    # what is beside the number, a pair's or a set's, is told after a comma
    assert evaluations.partition(",")[0] == EVALUATIONS.get(name, "S")
    assert ("in pairs" in evaluations) is estimator.paired


@pytest.mark.parametrize("name", sorted(set(ESTIMATORS) - {"exact", "indecater"}))
def test_as_many_evaluations_as_the_table_says(name: str) -> None:
    estimator = make_estimator(name, critic=len if name == "relax" else None)  # type: ignore[arg-type]
    said = {"S": 4, "S + 1": 5, "3 S": 12}[EVALUATIONS.get(name, "S")]
    q = hg.Bernoulli(logits=torch.zeros(3)).to_event(1)
    assert estimator.evaluations(q, 4) == said


def test_links_lead_to_files() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert len(links) >= 4
    for link in links:
        assert (ROOT / link).is_file(), link
