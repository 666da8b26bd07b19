"""Names of columns: every column has one, no two have the same, and a near miss is understood."""

import difflib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path


def quoted(names: Sequence[str], limit: int = 8) -> str:
    """Names for an error message, the first few of many."""
    shown = ", ".join(map(repr, names[:limit]))
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit:,} more"


def check_column(name: str, known: Sequence[str]) -> None:
    """One of a table's columns, of which there may be thousands: the error names the first few."""
    if name not in known:
        close = difflib.get_close_matches(name, known, 1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"The table has no column {name!r}.{hint} It has {len(known):,}: {quoted(known)}."
        )


def check_names(path: Path, names: Sequence[str]) -> None:
    """Every column has a name of its own, and there are several."""
    nameless = [str(number) for number, name in enumerate(names, 1) if not name]
    if nameless:
        raise ValueError(
            f"{path}: column {', '.join(nameless[:8])} has no name. Name every column; if it holds "
            "row numbers, leave it out when the file is written (pandas: to_csv(index=False))."
        )
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(
            f"{path} names more than one column {quoted(repeated)}. Rename or remove the others."
        )
    if len(names) < 2:
        raise ValueError(f"{path} has one column only, {names[0]!r}; expected several.")
