"""Tables that come in pieces, and tables larger than what memory may hold."""

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from hotgrad.selection import SubsetSelector
from hotgrad.selection.standardising import ColumnScaler

ROWS, COLUMNS = 50_000, 1000  # 200 MB as float32


def test_moments_of_pieces_are_those_of_the_whole() -> None:
    random = np.random.default_rng(0)
    table = random.normal(loc=1e4, scale=[1e-2, 1, 50], size=(1000, 3))
    pieces, of_one_unit = ColumnScaler(), ColumnScaler(same_unit=True)
    for piece in np.split(table, [1, 400, 401]):
        for scaler in (pieces, of_one_unit):
            scaler.update(piece, np.arange(len(piece)))
    centred = table - table.mean(0)
    assert pieces.count == 1000
    np.testing.assert_allclose(pieces(table), centred / table.std(0), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(
        of_one_unit(table), centred / np.sqrt(table.var(0).mean()), rtol=1e-6, atol=1e-8
    )


def test_constant_columns_are_divided_by_one() -> None:
    table = np.full((1000, 2), [0.1, 1e9 + 0.1])
    for same_unit in (False, True):
        scaler = ColumnScaler(same_unit=same_unit).update(table, np.arange(1000))
        assert scaler.deviations.tolist() == [0.0, 0.0]
        assert (np.abs(scaler(table[:5])) < 1e-4).all()
        np.testing.assert_allclose(scaler(table[:5] + 2), 2, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "bool"])
def test_batches_of_every_type_are_standardised(dtype: str) -> None:
    table = np.random.default_rng(0).integers(0, 2, (500, 4)).astype(dtype)
    batch = ColumnScaler().update(table, np.arange(500))(table)
    np.testing.assert_allclose(batch.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(batch.std(0), 1, atol=1e-6)


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


HALF_THE_MEMORY = """
    import resource, sys
    import numpy as np
    from hotgrad.selection import SubsetSelector

    table = np.load(sys.argv[1], mmap_mode="r")
    y = np.arange(len(table)) % 2
    # what is loaded and started at the first fit
    SubsetSelector(2, hidden=(8,), epochs=1).fit(np.asarray(table[:500]), y[:500])
    with open("/proc/self/status") as status:
        used = next(int(line.split()[1]) for line in status if line.startswith("VmData")) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (used + table.nbytes // 2,) * 2)
    selector = SubsetSelector(2, hidden=(8,), epochs=1, batch_size=1000).fit(table, y)
    selector.partial_fit(table, y)
    try:
        table.astype(np.float32)
    except MemoryError:
        print("the limit sees a copy")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory by Linux's means")
def test_a_table_on_disk_is_learned_from_in_half_its_memory(tmp_path: Path) -> None:
    path = tmp_path / "table.npy"
    table = np.lib.format.open_memmap(path, "w+", np.float32, (ROWS, COLUMNS))
    block = np.random.default_rng(0).random((10_000, COLUMNS), dtype=np.float32)
    for start in range(0, ROWS, 10_000):
        table[start : start + 10_000] = block
    table.flush()
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(HALF_THE_MEMORY), str(path)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "the limit sees a copy\n"
