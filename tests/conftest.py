"""The seed of the tests: fixed unless asked otherwise, printed, and different for every test."""

import secrets
import zlib

import pytest
import torch


def _seed(text: str) -> int:
    return secrets.randbelow(2**31) if text == "random" else int(text)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--seed",
        type=_seed,
        default=0,
        help="seed of all random draws in the tests; `random` draws one (default: 0)",
    )


def pytest_report_header(config: pytest.Config) -> str:
    return f"seed: {config.getoption('--seed')} (again with --seed {config.getoption('--seed')})"


@pytest.fixture
def generator(request: pytest.FixtureRequest) -> torch.Generator:
    """A generator of the test's own, so that a test draws the same whichever others run."""
    own = zlib.crc32(request.node.nodeid.encode())
    return torch.Generator().manual_seed(request.config.getoption("--seed") * 2**32 + own)
