"""What the tests of the commands share."""

import pytest


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training draws none, which takes longer than a small run."""
    monkeypatch.setattr("hotgrad.cli.train.draw_pictures", lambda *_: None)
