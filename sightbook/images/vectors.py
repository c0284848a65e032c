"""Vectors that were made elsewhere, many at a time: `read_many` goes through a file once, in batches; `read_vectors`
gives all of them as one array, to learn from."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import groupby, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightbook.errors import SourceError
from sightbook.images.entry import Entry
from sightbook.images.kinds.npy import is_array, read_npy
from sightbook.images.kinds.open_files import keep_open
from sightbook.images.kinds.rows import Vector, open_rows
from sightbook.images.kinds.vectors import stored
from sightbook.images.names import escape
from sightbook.images.sources import open_sources
from sightbook.words import counted

__all__ = ["Vector", "fitting_length", "read_many", "read_vectors", "stored"]


def fitting_length(root: str, wanted: int) -> int:
    """`wanted` where some vector of the file has so many numbers, else how many the first has."""
    with closing(open_rows(root)) as file:
        F = file.shape[1]
        fits = wanted == F or any(not isinstance(each, str) and len(each) == wanted for each in file.all())
    return wanted if fits else F


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
    sources = open_sources([os.fspath(path)] if isinstance(path, str | os.PathLike) else path)
    for source in sources:
        if not (source.of_kind.of_vectors or source.of_kind.either):
            raise SourceError(
                f"There are pictures in {escape(str(source.root))}, and vectors are wanted here: give a .npy or a "
                ".parquet."
            )
    roots = [str(source.root) for source in sources]
    if len(roots) == 1 and is_array(roots[0]):
        return read_npy(roots[0])
    shapes = []
    for root in roots:  # one at a time: a process may have fewer open than there are
        with closing(open_rows(root)) as file:
            shapes.append(file.shape)
    F = shapes[0][1]
    rows = np.empty((sum(N for N, _ in shapes), F), np.float32)
    place = 0
    for name, shape in zip(roots, shapes, strict=True):
        with closing(open_rows(name)) as file:
            if file.shape != shape:
                raise SourceError(f"The source {escape(name)} changed while it was read: run again.")
            for number, vector in enumerate(file.all()):
                if isinstance(vector, str):
                    raise _unusable(name, number, vector)
                if len(vector) != F:
                    raise _unusable(name, number, f"{counted(len(vector), 'number')}, not {F} as the first")
                rows[place] = vector
                place += 1
    return rows


def _unusable(name: str, row: int, why: str) -> SourceError:
    return SourceError(f"Row {row} of {escape(name)} cannot be used ({why}): leave it out.")
