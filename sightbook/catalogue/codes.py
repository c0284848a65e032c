"""Reading all codes at once, joined: what the engine is built from."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sightbook.catalogue.rows import GOOD
from sightbook.catalogue.steady import steady

if TYPE_CHECKING:
    from sightbook.catalogue.catalogue import Catalogue

_ROWS = 4_096  # joined at once
_GOOD = f"FROM pictures WHERE state = {GOOD}"


@steady
def codes(catalogue: Catalogue) -> tuple[str, array[int], bytearray]:
    """(stamp, ids ascending, their packed codes joined) of the good pictures, from one committed state."""
    ids, (codes,) = join(catalogue, "id", ("code",), _GOOD)
    return catalogue.stamp, ids, codes


@steady
def codes_and_digests(catalogue: Catalogue) -> tuple[str, array[int], bytearray, bytearray]:
    """The same, and their content digests joined."""
    ids, (codes, digests) = join(catalogue, "id", ("code", "digest"), _GOOD)
    return catalogue.stamp, ids, codes, digests


def join(
    catalogue: Catalogue, id: str, columns: Sequence[str], rows: str
) -> tuple[array[int], list[bytearray]]:
    """The ids of the rows, ascending, and each of the columns joined.

    SQLite joins some thousand rows in one step, during which other threads go on; row by row, searching threads and
    this one would wait for each other at every row.
    """
    ids = array("q")  # not a list of rows: that takes ten times the room
    joined = [bytearray() for _ in columns]
    names = [f"c{number}" for number in range(len(columns))]
    inner = ", ".join(f"{column} AS {name}" for column, name in zip(columns, names, strict=True))
    outer = ", ".join(f"group_concat(hex({name}), '')" for name in names)
    statement = (
        f"SELECT group_concat(i, ' '), {outer} "
        f"FROM (SELECT {id} AS i, {inner} {rows} AND {id} > ? ORDER BY {id} LIMIT {_ROWS})"
    )
    while True:
        last = ids[-1] if ids else -1
        found, *parts = catalogue.connection.execute(statement, (last,)).fetchone()
        if found is None:
            return ids, joined
        ids.extend(map(int, found.split(" ")))
        for column, part in zip(joined, parts, strict=True):
            column.extend(bytes.fromhex(part))
