"""`.npy` files: what is an array of vectors, and what is refused before anything in it is believed."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sightbook.errors import SourceError
from sightbook.images.kinds.npy import open_npy, read_npy, read_query


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8", "u1", "<i8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_any_numbers_in_any_layout_are_read(tmp_path: Path, dtype: str, order: str) -> None:
    rows = np.arange(12).reshape(4, 3).astype(dtype, order=order)  # type: ignore[call-overload]
    np.save(tmp_path / "a.npy", rows)
    found = read_npy(str(tmp_path / "a.npy"))
    assert found.dtype == rows.dtype and found.tolist() == rows.tolist()
    file = open_npy(str(tmp_path / "a.npy"))
    assert [file.read(first, last).tolist() for first, last in ((1, 3), (3, 4), (0, 0))] == [
        rows[1:3].tolist(), rows[3:].tolist(), []
    ]  # fmt: skip
    file.close()


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_file_that_is_cut_short_while_it_is_read_is_said(tmp_path: Path, order: str) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((2000, 64), np.float32, order=order))  # type: ignore[call-overload]
    file = open_npy(str(path))
    os.truncate(path, 4096)
    with pytest.raises(SourceError, match=r"a\.npy was cut short while it was read"):
        file.read(1000, 2000)
    file.close()


def test_one_vector_is_a_query_and_no_collection(tmp_path: Path) -> None:
    np.save(tmp_path / "q.npy", np.arange(3.0))
    assert read_query(str(tmp_path / "q.npy")).tolist() == [[0, 1, 2]]
    with pytest.raises(SourceError, match=r"shape \(3,\), and vectors are \(N, F\)"):
        open_npy(str(tmp_path / "q.npy"))


class Armed:
    """Unpickling it would leave a file behind."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return _touch, (self.path,)


def _touch(path: str) -> None:
    Path(path).touch()


@pytest.mark.parametrize("pickled_array", [True, False])
def test_nothing_is_unpickled(tmp_path: Path, pickled_array: bool) -> None:
    armed, path = Armed(str(tmp_path / "fired")), tmp_path / "o.npy"
    if pickled_array:
        np.save(path, np.array([[armed, armed]], dtype=object), allow_pickle=True)
    else:
        path.write_bytes(pickle.dumps(armed))
    with pytest.raises(SourceError, match="no array of numbers"):
        open_npy(str(path))
    assert not (tmp_path / "fired").exists()


def header(text: str) -> bytes:
    """A version 1 header that says `text`, and 64 bytes of data."""
    line = text.encode() + b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(line).to_bytes(2, "little") + line + bytes(64)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY\x01\x00",
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 768)}"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 64)}"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 4)}"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': 4}"),
        header("{'descr': '|O', 'fortran_order': False, 'shape': (1, 4)}"),
        header("__import__('os').abort()"),
        header("{" * 300),
        header("-" * 9000),
        header("'unterminated"),
    ],
)
def test_a_header_that_lies_is_refused_in_a_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(SourceError, match=r"x\.npy"):
        open_npy(str(tmp_path / "x.npy"))


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        (np.empty((0, 4)), r"shape \(0, 4\)"),
        (np.empty((4, 0)), r"shape \(4, 0\)"),
        (np.float32(3), r"shape \(\)"),
        (np.zeros((2, 3, 4)), r"shape \(2, 3, 4\)"),
        (np.zeros((2, 3), complex), "complex128, and vectors are numbers"),
        (np.zeros((2, 3), bool), "bool, and vectors are numbers"),
        (np.array([["a", "b"]]), "vectors are numbers"),
    ],
)
def test_what_is_no_array_of_vectors_is_refused(tmp_path: Path, rows: np.ndarray, what: str) -> None:
    np.save(tmp_path / "x.npy", rows)
    with pytest.raises(SourceError, match=what):
        open_npy(str(tmp_path / "x.npy"))
    with pytest.raises(SourceError):
        read_query(str(tmp_path / "x.npy"))


def test_a_file_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="vanished"):
        open_npy(str(tmp_path / "x.npy"))
