"""Whether a run's files agree with each other: settings, and the tensors that they ask for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor


def check_settings(file: Path, recorded: Any, settings: Mapping[str, Any]) -> None:
    """Refuse settings that have been edited since a file was made with them.

    Args:
        file: that was.
        recorded: what it was made with, some or all of the settings.
        settings: those of the run's config.json.

    Raises:
        ValueError: they differ.
    """
    if not isinstance(recorded, dict):
        raise ValueError(f"{file} doesn't say what settings it was made with. Make the run anew.")
    for name, value in recorded.items():
        if settings.get(name) != value:
            raise ValueError(
                f"{file.with_name('config.json')} says {name}={settings.get(name)!r}, but "
                f"{file.name} was made with {name}={value!r}. Put it back, or start a new run."
            )


def check_tensors(file: Path, found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Refuse tensors of other names, shapes or dtypes than a run's configuration makes.

    Raises:
        ValueError: there is one.
    """
    wrong = {name: _kind(tensor) for name, tensor in found.items()}
    right = {name: _kind(tensor) for name, tensor in expected.items()}
    if wrong != right:
        name = min(wrong.items() ^ right.items())[0]
        raise ValueError(
            f"{file} doesn't fit config.json: {name} is {wrong.get(name, 'absent')}, expected "
            f"{right.get(name, 'absent')}."
        )


def check_finite(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuse NaN and infinity.

    Raises:
        ValueError: there is one.
    """
    if bad := not_finite(tensors):
        raise ValueError(
            f"{file} holds numbers that aren't finite, the first in {bad}. Nothing can be made of "
            "them: train anew."
        )


def not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The name of the first tensor with NaN or infinity in it."""
    return next((name for name, its in tensors.items() if not bool(its.isfinite().all())), None)


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"
