"""Vectors that were made elsewhere, many at a time: `read_many` goes through a file once, in batches; `read_vectors`
gives all of them as one array, to learn from."""

# Plain strings, as in the kinds of sources.
# ruff: noqa: PTH110, PTH111

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightbook.errors import SourceError
from sightbook.images.entry import EmptySource, Entry
from sightbook.images.kinds.npy import is_npy, read_npy
from sightbook.images.kinds.open_files import keep_open
from sightbook.images.kinds.rows import Rows, Vector, open_rows
from sightbook.images.kinds.vectors import stored
from sightbook.images.names import escape
from sightbook.images.patterns import matches
from sightbook.words import counted

__all__ = ["Vector", "fitting_length", "read_many", "read_vectors", "stored"]


def fitting_length(root: str, wanted: int) -> int:
    """`wanted` where some vector of the file has so many numbers, else how many the first has."""
    file = open_rows(root)
    try:
        F = file.shape[1]
        if wanted == F or any(not isinstance(each, str) and len(each) == wanted for each in file.all()):
            return wanted
        return F
    finally:
        file.close()


def read_many(entries: Iterable[Entry], count: int) -> Iterator[tuple[list[Entry], list[Vector | str]]]:
    """Up to `count` entries at a time, in order, with their vectors (F,) float32, or why there is none.

    Fast where rows follow each other. SourceError when a source is gone, was rewritten, or holds pictures.
    """
    for origin, some in groupby(entries, key=lambda entry: entry.origin):
        if origin is None or origin.kind.rows is None:
            place = "a source" if origin is None else escape(origin.root)
            raise SourceError(
                f"There are pictures in {place}, and vectors are wanted here: give a file of vectors."
            )
        while batch := list(islice(some, count)):
            origin.check()
            yield batch, keep_open(origin, origin.kind.rows).take([int(entry.path) for entry in batch])


def read_vectors(path: str | os.PathLike[str] | Sequence[str]) -> NDArray[Any]:
    """All vectors (N, F) of a `.npy` file (in its own dtype), a Parquet file, or several or a glob of those (float32).

    SourceError when there is nothing, or no vectors, or when they differ in length.
    """
    found = _files([path] if isinstance(path, str | os.PathLike) else path)
    if len(found) == 1 and is_npy(found[0]):
        return read_npy(found[0])
    files: list[tuple[str, Rows]] = []
    for each in found:
        try:
            files.append((each, open_rows(each)))
        except EmptySource as error:  # said by `Sources.left_out`
            empty = error
    if not files:
        raise empty
    F = files[0][1].shape[1]
    rows = np.empty((sum(file.shape[0] for _, file in files), F), np.float32)
    place = 0
    for name, file in files:
        for number, vector in enumerate(file.all()):
            if isinstance(vector, str) or len(vector) != F:
                why = (
                    vector
                    if isinstance(vector, str)
                    else f"{counted(len(vector), 'number')}, not {F} as the first"
                )
                raise SourceError(f"Row {number} of {escape(name)} cannot be used ({why}): leave it out.")
            rows[place] = vector
            place += 1
    return rows


def _files(specs: Iterable[str | os.PathLike[str]]) -> list[str]:
    """The files that paths and patterns name; SourceError when one names nothing, or no file of vectors."""
    found: list[str] = []
    for spec in specs:
        text = os.path.expanduser(os.fspath(spec))
        some = [text] if os.path.exists(text) else matches(text)
        if not some:
            raise SourceError(f"There is nothing at '{escape(text)}': check the path.")
        found += some
    for each in found:
        if not is_npy(each) and not each.lower().endswith(".parquet"):
            raise SourceError(f"'{escape(each)}' is no file of vectors: give a .npy or a .parquet.")
    return found
