"""Audits here are short where neither their times nor what they learn is looked at."""

from collections.abc import Iterator

import pytest
from audit.toys import quick_audits


@pytest.fixture(autouse=True, scope="module")
def _quick() -> Iterator[None]:
    with quick_audits():
        yield
