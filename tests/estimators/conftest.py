"""Fixtures that the estimators' suites share."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture
def forked_rng() -> Iterator[None]:
    """The test may seed torch's global generator; what it does is undone."""
    with torch.random.fork_rng(devices=[]):
        yield
