"""The seed of the tests, fixed unless asked otherwise, and what else tests share."""

import secrets
import signal
import zlib
from collections.abc import Iterator

import processes
import pytest
import torch
from torch.distributions import Distribution

from hotgrad.ops.kernels import fused


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
def compiler() -> Iterator[None]:
    """A compiler without memory, and a global seed, since compiled code takes no generator."""
    validation = Distribution._validate_args
    torch.compiler.reset()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
    torch.compiler.reset()
    # the first compilation turns torch's validation of distributions off for good
    Distribution.set_default_validate_args(validation)


@pytest.fixture
def plain_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """What draws is made of torch's functions alone, as without the compiled kernels."""
    monkeypatch.setattr(fused, "compiled", lambda: None)


@pytest.fixture
def generator(request: pytest.FixtureRequest) -> torch.Generator:
    """A generator of the test's own, so that a test draws the same whichever others run."""
    own = zlib.crc32(request.node.nodeid.encode())
    return torch.Generator().manual_seed(request.config.getoption("--seed") * 2**32 + own)


@pytest.fixture
def start() -> Iterator[processes.Start]:
    """Starts the command line in processes that end with the test, also with one that fails."""
    with processes.ended() as start:
        yield start


@pytest.fixture
def background_job() -> Iterator[None]:
    """The test runs as a shell runs its background jobs, which ignore Ctrl-C."""
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, handler)
