"""Tables that come in pieces, and tables larger than what memory may hold."""

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from hotgrad.selection import SubsetSelector
from hotgrad.selection.batches import Moments, Standardised

ROWS, COLUMNS = 60_000, 1000  # 240 MB as float32


def test_moments_of_pieces_are_those_of_the_whole() -> None:
    random = np.random.default_rng(0)
    table = random.normal(loc=1e4, scale=[1e-2, 1, 50], size=(1000, 3))
    pieces = Moments(3)
    for piece in np.split(table, [1, 400, 401]):
        pieces.update(piece, np.arange(len(piece)))
    np.testing.assert_allclose(pieces.mean, table.mean(0), rtol=1e-12)
    np.testing.assert_allclose(pieces.scale(same_unit=False), table.std(0), rtol=1e-9)
    np.testing.assert_allclose(
        pieces.scale(same_unit=True), np.sqrt(table.var(0).mean()), rtol=1e-9
    )


def test_constant_columns_are_divided_by_one() -> None:
    table = np.full((1000, 2), [0.1, 1e9 + 0.1])
    moments = Moments(2)
    moments.update(table, np.arange(1000))
    assert moments.scale(same_unit=False).tolist() == [1.0, 1.0]
    assert (Standardised(table, moments, same_unit=False)[np.arange(5)].abs() < 1e-4).all()


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "bool"])
def test_batches_of_every_type_are_standardised(dtype: str) -> None:
    table = np.random.default_rng(0).integers(0, 2, (500, 4)).astype(dtype)
    moments = Moments(4)
    moments.update(table, np.arange(500))
    batch = Standardised(table, moments, same_unit=False)[np.arange(500)]
    np.testing.assert_allclose(batch.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(batch.std(0, correction=0), 1, atol=1e-6)


def test_pieces_lead_to_the_planted_columns() -> None:
    random = np.random.default_rng(0)
    selector = SubsetSelector(2, random_state=0)
    for _ in range(60):
        x = random.normal(size=(250, 10))
        labels = np.where(x[:, 3] * x[:, 8] > 0, "same", "other")
        selector.partial_fit(x, labels, classes=["same", "other"])
    assert selector.get_support(indices=True).tolist() == [3, 8]
    assert selector.classes_.tolist() == ["other", "same"]
    assert [record["epoch"] for record in selector.history_] == list(range(1, 61))


def test_the_first_piece_is_a_fit_of_one_epoch_at_full_rate() -> None:
    x = np.random.default_rng(0).normal(size=(100, 6))
    settings = {"k": 2, "random_state": 0, "validation_fraction": 0.0, "batch_size": 100}
    fitted = SubsetSelector(epochs=1, **settings).fit(x)
    begun = SubsetSelector(**settings).partial_fit(x)
    # one step: the cosine starts at the full rate
    np.testing.assert_array_equal(fitted.logits_, begun.logits_)


def test_a_later_piece_goes_on_from_a_fit() -> None:
    x = np.random.default_rng(0).normal(size=(100, 6))
    selector = SubsetSelector(2, random_state=0, epochs=3).fit(x, x[:, 0])
    before = selector.logits_
    selector.partial_fit(x, x[:, 0])
    step = np.abs(selector.logits_ - before).max()
    assert 0 < step < 0.05
    assert selector.n_epochs_ == 4


MEMORY = """
    import resource, sys
    import numpy as np
    from hotgrad.selection import SubsetSelector

    table = np.load({path!r}, mmap_mode="r")
    y = np.arange(len(table)) % 2
    # what is loaded and started at the first fit
    SubsetSelector(5, epochs=1).fit(np.asarray(table[:500]), y[:500])
    with open("/proc/self/status") as status:
        used = next(int(line.split()[1]) for line in status if line.startswith("VmData")) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (used + table.nbytes // 2,) * 2)
    {action}
"""


def run(path: Path, action: str) -> subprocess.CompletedProcess[str]:
    code = textwrap.dedent(MEMORY).format(path=str(path), action=action)
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def table_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "table.npy"
    table = np.lib.format.open_memmap(path, "w+", np.float32, (ROWS, COLUMNS))
    random = np.random.default_rng(0)
    for start in range(0, ROWS, 10_000):
        table[start : start + 10_000] = random.random((10_000, COLUMNS), dtype=np.float32)
    table.flush()
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory by Linux's means")
@pytest.mark.parametrize(
    "action",
    [
        "SubsetSelector(5, epochs=1, batch_size=250).fit(table, y)",
        "SubsetSelector(5, batch_size=250).partial_fit(table, y)",
    ],
    ids=["fit", "partial_fit"],
)
def test_a_table_on_disk_is_learned_from_in_half_its_memory(table_file: Path, action: str) -> None:
    done = run(table_file, action)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory by Linux's means")
def test_the_limit_sees_a_copy(table_file: Path) -> None:
    done = run(table_file, "copy = table.astype(np.float32)")
    assert done.returncode != 0
    assert "Unable to allocate" in done.stderr
