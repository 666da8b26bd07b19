"""Which commands there are, and what brings their packages; importing this imports nothing."""

from typing import NamedTuple

STOPPED = 130
"""The exit status after Ctrl-C."""


class Listed(NamedTuple):
    """A command as `hotgrad --help` lists it; it is the function NAME in `hotgrad.cli.NAME`."""

    summary: str
    """The first line of the function's docstring."""
    extra: str | None = None
    """Brings the packages that it needs, beside those of the command line itself."""


COMMANDS = {
    "train": Listed(
        "Train a discrete autoencoder; leave a folder with its model, metrics and pictures.",
        "train",
    ),
    "evaluate": Listed("Evaluate a run with hard samples, whatever it was trained with.", "train"),
    "generate": Listed("Draw codes from the prior and decode them.", "train"),
    "encode": Listed(
        "Write each item's most probable code and its marginals to an .npz file.", "train"
    ),
    "select": Listed(
        "Choose k columns of a table, and score them on held-out rows beside other methods' "
        "choices.",
        "select",
    ),
    "infer": Listed(
        "Infer the discrete unknowns of a model: fit q to the posterior, and check it.", "infer"
    ),
    "audit": Listed(
        "Measure how biased, how noisy and how costly each gradient is, against the exact one.",
        "audit",
    ),
    "draw": Listed("Draw one-hot vectors (or bits, or m-hot vectors) and look at them."),
}
