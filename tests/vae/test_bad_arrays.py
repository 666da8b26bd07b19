"""What each kind of bad .npy or .npz file is told."""

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from data_files import save

from hotgrad.vae.data import load_dataset


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((0, 4)), r"type float64 and shape \(0, 4\), expected numbers of shape \(rows"),
        (np.zeros((12, 0)), r"shape \(12, 0\)"),
        (np.zeros(12), r"shape \(12,\)"),
        (np.full((12, 2), "a"), r"array of type <U1"),
        (np.zeros((12, 2), dtype=complex), r"array of type complex128"),
        (np.zeros((9, 2)), r"holds 9 rows, expected at least 10"),
        (np.full((12, 2), 1e300), r"24 of 24 values are NaN, infinite or too large for float32"),
    ],
)
def test_an_array_that_is_no_table(tmp_path: Path, array: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_dataset(save(tmp_path / "a.npy", array))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_located(tmp_path: Path, bad: float) -> None:
    array = np.zeros((30, 4))
    array[17, 2] = bad
    with pytest.raises(ValueError, match=r"a.npy: 1 of 120 values are NaN.* first in row 17 "):
        load_dataset(save(tmp_path / "a.npy", array))
    np.savez(tmp_path / "b.npz", train=np.eye(4), valid=array, test=np.eye(4))
    with pytest.raises(ValueError, match=r"b.npz, valid: 1 of 120 values .* first in row 17 "):
        load_dataset(tmp_path / "b.npz")


def test_objects_are_refused_not_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}] * 12), allow_pickle=True)
    (tmp_path / "b.npy").write_bytes(pickle.dumps([1, 2]))
    np.savez(tmp_path / "c.npz", x=np.array([{}] * 12))
    for name in ("a.npy", "b.npy", "c.npz"):
        with pytest.raises(
            ValueError, match=rf"{name} holds Python objects .* nothing is ever unpickled"
        ):
            load_dataset(tmp_path / name)


@pytest.mark.parametrize("keep", [0, 3, 60, 500])
def test_a_npy_cut_short(tmp_path: Path, keep: int) -> None:
    path = save(tmp_path / "a.npy", np.eye(12))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"a.npy (can't be read: it is cut short|holds Python ob)"):
        load_dataset(path)


def test_an_npz_cut_short(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.eye(12))
    path = tmp_path / "a.npz"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"a.npz can't be read: .*BadZipFile"):
        load_dataset(path)


def test_an_npz_that_leaves_the_choice_open(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", train=np.eye(12), test=np.eye(12))
    message = r"holds 2 arrays: train, test. Expected one, or one a split, named train, valid, test"
    with pytest.raises(ValueError, match=message):
        load_dataset(tmp_path / "a.npz")


def test_an_npz_without_the_named_array(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.eye(12), y=np.eye(12))
    with pytest.raises(ValueError, match=r"a.npz has no array 'z': it holds x, y. Name one"):
        load_dataset(tmp_path / "a.npz", column="z")


def test_an_npz_with_nothing_or_something_else_in_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w"):
        pass
    with pytest.raises(ValueError, match=r"holds 0 arrays: none at all"):
        load_dataset(tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("notes.txt", "hello")
    with pytest.raises(ValueError, match=r"its member 'notes.txt' is no array"):
        load_dataset(tmp_path / "a.npz")


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "dia", "bsr"])
@pytest.mark.parametrize("column", [None, "data"])
def test_a_sparse_matrix_is_called_by_its_name(
    tmp_path: Path, kind: str, column: str | None
) -> None:
    scipy.sparse.save_npz(tmp_path / "a.npz", scipy.sparse.eye(20, format=kind))
    with pytest.raises(ValueError, match=r"a.npz holds a sparse matrix of SciPy.*toarray\(\)"):
        load_dataset(tmp_path / "a.npz", column=column)


def test_a_npy_with_more_behind_it(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npy", np.eye(12))
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(ValueError, match=r"a.npy can't be read.*announces 1,152 bytes, and 2,"):
        load_dataset(path)


def test_a_column_of_a_npy(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is a .npy file, .* column 'x' can't be looked up"):
        load_dataset(save(tmp_path / "a.npy", np.eye(12)), column="x")


def test_splits_that_do_not_belong_together(tmp_path: Path) -> None:
    bits = np.ones((12, 4), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", train=bits, valid=bits / 2, test=bits)
    with pytest.raises(ValueError, match=r"the splits have types float64, uint8, expected uint8"):
        load_dataset(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", train=bits, valid=bits, test=bits[:, :3])
    with pytest.raises(ValueError, match=r"have shapes \(4,\), \(4,\), \(3,\), expected the same"):
        load_dataset(tmp_path / "a.npz")
