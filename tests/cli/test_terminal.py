"""What stands in files and names reaches the terminal as text, whatever it holds."""

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from hotgrad.cli import terminal
from hotgrad.cli.terminal import complain, harmless, say
from hotgrad.progress import bar

NASTY = "a\x1b[31mred\x1b]0;title\x07\x9b2J\u202eb [bold]c[/bold] :smile:"
SHOWN = r"a\x1b[31mred\x1b]0;title\x07\x9b2J\u202eb [bold]c[/bold] :smile:"


def test_control_characters_are_escapes_and_lines_stay_lines() -> None:
    assert harmless(NASTY) == SHOWN
    assert harmless("one\ntwo\tthree, né 日本") == "one\ntwo\tthree, né 日本"


def test_every_way_to_the_terminal_is_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(NASTY, title=NASTY)
    table.add_row(NASTY)
    with terminal.console.capture() as captured:
        say(NASTY)
        terminal.console.print(table, width=400)
    printed = captured.get()
    assert printed.count(SHOWN) == 4
    assert not np.isin(list(printed), ["\x1b", "\x07", "\x9b", "\u202e"]).any()
    complain(f"{NASTY}\nand more")
    assert capsys.readouterr().err == f"hotgrad: {SHOWN} and more\n"


def test_a_bar_s_label_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(force_terminal=True, width=200)
    with console.capture() as captured, bar("[red]x[/red].npy", console=console) as report:
        report(1, 1)
    assert "[red]x[/red].npy" in captured.get()
