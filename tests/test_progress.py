"""Progress: a bar on a terminal, a line for every tenth elsewhere."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

import hotgrad as hg
from hotgrad.inference import fit
from hotgrad.progress import LINES, bar
from hotgrad.selection import SubsetSelector


def shown(console: Console, total: int) -> str:
    with console.capture() as captured, bar("counting", console=console) as report:
        for done in range(1, total + 1):
            report(done, total)
        report(total, total, "ready")
    return captured.get()


def test_without_a_terminal_there_are_a_few_lines() -> None:
    lines = shown(Console(force_terminal=False, width=80), 1000).splitlines()
    assert len(lines) == LINES
    assert lines[0].startswith("counting: 100/1,000  (")
    assert lines[-1].startswith("counting: 1,000/1,000  (")
    assert len(shown(Console(force_terminal=False), 3).splitlines()) == 3


def test_on_a_terminal_the_bar_ends_with_the_last_word() -> None:
    text = shown(Console(force_terminal=True, width=80), 1000)
    assert "counting" in text
    assert "ready" in text


def test_work_that_never_reports_shows_nothing() -> None:
    console = Console(force_terminal=True, width=80)
    with console.capture() as captured, bar("counting", console=console):
        pass
    assert "counting" not in captured.get()


def test_the_library_shows_its_progress_when_asked_to(
    capsys: pytest.CaptureFixture[str], generator: torch.Generator
) -> None:
    q = hg.Bernoulli(logits=torch.zeros(2)).to_event(1)
    hg.audit(
        lambda z: z.sum(-1), q, [hg.StraightThrough()], replicates=20, progress=True,
        generator=generator,
    )  # fmt: skip
    lines = capsys.readouterr().err.splitlines()
    assert 1 < len(lines) <= LINES
    assert all(line.startswith("auditing: ") for line in lines)
    fit(lambda z: z.sum(-1), q, steps=20, progress=True, generator=generator)
    assert re.match(r"fitting: 2/20  bound \S+  \(0 s\)\n", capsys.readouterr().err)
    table = np.random.default_rng(0).normal(size=(40, 3))
    SubsetSelector(1, epochs=2, random_state=0).fit(table, table[:, 0], progress=True)
    assert re.match(r"choosing: 1/2  loss \S+  certainty \S+  ", capsys.readouterr().err)
    hg.audit(lambda z: z.sum(-1), q, [hg.StraightThrough()], replicates=20, progress=False)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("progress", [3, "yes", Console])
def test_progress_that_is_nothing_to_call(progress: Any) -> None:
    q = hg.Bernoulli(logits=torch.zeros(2)).to_event(1)
    table = np.random.default_rng(0).normal(size=(40, 3))
    for ask in (
        lambda: hg.audit(lambda z: z.sum(-1), q, progress=progress),
        lambda: fit(lambda z: z.sum(-1), q, progress=progress),
        lambda: SubsetSelector(1).fit(table, progress=progress),
    ):
        with pytest.raises(ValueError, match="progress must be a function of"):
            ask()
