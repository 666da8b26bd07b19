"""Capabilities: the protocols tell at run time, and to mypy, what a distribution lacks."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import hotgrad as hg
from hotgrad.distributions import capabilities
from hotgrad.distributions.capabilities import lacking

ROOT = Path(__file__).resolve().parents[2]
PROTOCOLS = {
    name: member
    for name, member in vars(capabilities).items()
    if getattr(member, "_is_protocol", False) and member.__module__ == capabilities.__name__
}
HAVING = {
    "CanSample": {"Bernoulli", "OneHotCategorical", "KSubset", "PlackettLuceSubset"},
    "HasLogProb": {"Bernoulli", "OneHotCategorical", "KSubset", "PlackettLuceSubset"},
    "HasParams": {"Bernoulli", "OneHotCategorical", "KSubset", "PlackettLuceSubset"},
    "HasMean": {"Bernoulli", "OneHotCategorical", "KSubset", "PlackettLuceSubset"},
    "HasMode": {"Bernoulli", "OneHotCategorical", "KSubset", "PlackettLuceSubset"},
    "CanEnumerate": {"Bernoulli", "OneHotCategorical", "KSubset", "PlackettLuceSubset"},
    "CanRelax": {"Bernoulli", "OneHotCategorical", "KSubset", "PlackettLuceSubset"},
    "CanRelaxGivenHard": {"Bernoulli", "OneHotCategorical", "PlackettLuceSubset"},
    "CanRelaxTopK": {"PlackettLuceSubset"},
    "CanGap": {"Bernoulli", "OneHotCategorical"},
    "HasTangent": {"Bernoulli", "OneHotCategorical"},
    "CanCouple": {"Bernoulli", "OneHotCategorical", "PlackettLuceSubset"},
    "CanBeAntithetic": {"Bernoulli"},
    "CanPerturb": {"Bernoulli", "OneHotCategorical", "KSubset", "PlackettLuceSubset"},
    "CanPerturbWithSlope": {"Bernoulli", "OneHotCategorical", "KSubset", "PlackettLuceSubset"},
}
KINDS: dict[str, Any] = {
    "Bernoulli": hg.Bernoulli,
    "OneHotCategorical": hg.OneHotCategorical,
    "KSubset": hg.KSubset,
    "PlackettLuceSubset": hg.PlackettLuceSubset,
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_who_can_do_what(name: str) -> None:
    able = {kind for kind, cls in KINDS.items() if not lacking(cls, PROTOCOLS[name])}
    assert able == HAVING[name]


def test_one_that_only_samples_lacks_all_else() -> None:
    class Bare(hg.DiscreteDistribution):
        def sample(self, sample_shape: Any = (), *, generator: Any = None) -> torch.Tensor:
            raise AssertionError

    for name, protocol in PROTOCOLS.items():
        assert bool(lacking(Bare(), protocol)) is (name != "CanSample")


def test_mypy_sees_what_a_distribution_lacks(tmp_path: Path) -> None:
    code = tmp_path / "asks.py"
    code.write_text(
        "import torch\n"
        "from hotgrad.distributions import Bernoulli, KSubset\n"
        "from hotgrad.distributions.capabilities import CanCouple, CanRelax\n"
        "def relax(q: CanRelax) -> None: ...\n"
        "def couple(q: CanCouple) -> None: ...\n"
        "relax(KSubset(torch.zeros(3), 2))\n"
        "couple(Bernoulli(logits=torch.zeros(3)))\n"
        "couple(KSubset(torch.zeros(3), 2))\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", str(ROOT / ".mypy_cache"), str(code)],
        cwd=ROOT,
        # the sources and the cache of `make lint`, without which torch's own would be read anew
        env=os.environ | {"MYPYPATH": "src"},
        capture_output=True,
        text=True,
    )
    (error, _, *_) = done.stdout.splitlines()
    assert "asks.py:8: error" in error
    assert "CanCouple" in done.stdout
    assert "Found 1 error" in done.stdout, done.stdout + done.stderr
