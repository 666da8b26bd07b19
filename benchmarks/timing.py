"""Interleaved timing: candidates take turns in one process, so a drift is a drift for all."""

import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

RESULTS = Path(__file__).parent / "results"


def interleaved(
    candidates: dict[str, Callable[[], object]], *, rounds: int = 15, seconds: float = 0.02
) -> dict[str, list[float]]:
    """Seconds a call, `rounds` times for each candidate, taking turns.

    A turn repeats the call until it has lasted about `seconds`.
    """
    repeats = {}
    for name, call in candidates.items():
        call()
        began = time.perf_counter()
        call()
        repeats[name] = max(1, round(seconds / (time.perf_counter() - began)))
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, call in candidates.items():
            began = time.perf_counter()
            for _ in range(repeats[name]):
                call()
            times[name].append((time.perf_counter() - began) / repeats[name])
    return times


def ratio(times: dict[str, list[float]], slow: str, fast: str) -> tuple[float, float, float]:
    """How many times faster `fast` is: median, lowest and highest over the rounds."""
    ratios = [a / b for a, b in zip(times[slow], times[fast], strict=True)]
    return statistics.median(ratios), min(ratios), max(ratios)


def machine() -> str:
    """One line about where a figure was measured."""
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )


def write_results(name: str, command: str, lines: list[str]) -> None:
    """A small document that says which command wrote it; printed too."""
    RESULTS.mkdir(exist_ok=True)
    text = "\n".join([f"<!-- written by `{command}` -->", f"Measured on {machine()}.", "", *lines])
    (RESULTS / f"{name}.md").write_text(text + "\n")
    print(text)
