"""An open Parquet file: its row groups in batches, its labels. Which column is wanted, the kinds of sources say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

from sightbook.errors import SourceError
from sightbook.images.entry import Label, Origin, vanished
from sightbook.images.names import shown

# What is held of one file at a time; Hugging Face writes row groups of about this size, others write them of any size.
_BATCH_BYTES = 32 << 20


class Table:
    """A Parquet file, opened; SourceError when it is gone or damaged. starts: the first row of each row group, and the
    number of rows."""

    def __init__(self, origin: Origin) -> None:
        import pyarrow
        import pyarrow.parquet

        self.root = origin.root
        self._errors: tuple[type[Exception], ...] = (pyarrow.ArrowException, OSError)
        try:
            self.file: Any = pyarrow.parquet.ParquetFile(self.root, pre_buffer=False, buffer_size=1 << 20)
        except FileNotFoundError as error:
            raise vanished(self.root) from error
        except self._errors as error:
            raise self.damaged(error) from error
        self.schema: Any = self.file.schema_arrow
        self.has_label = "label" in self.schema.names and _is_label(self.schema.field("label").type)
        self.label_names = _names(self.schema.metadata)
        metadata = self.file.metadata
        sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        self.starts = list(accumulate(sizes, initial=0))

    def __len__(self) -> int:
        return int(self.starts[-1])

    def close(self) -> None:
        self.file.close()

    def batches(self, group: int, columns: list[str]) -> Iterator[Any]:
        """Record batches of one row group: the whole group when it is small, pieces of it when it is large."""
        about = self.file.metadata.row_group(group)
        if not about.num_rows:
            return
        rows = max(1, min(about.num_rows, _BATCH_BYTES * about.num_rows // max(1, about.total_byte_size)))
        try:
            yield from self.file.iter_batches(
                batch_size=rows, row_groups=[group], columns=columns, use_threads=False
            )
        except self._errors as error:
            raise self.damaged(error) from error

    def labels(self, group: int) -> Iterator[Label]:
        """The labels of one row group, for evaluation; None for each row where there is no such column."""
        if not self.has_label:
            yield from [None] * (self.starts[group + 1] - self.starts[group])
            return
        for batch in self.batches(group, ["label"]):
            yield from map(label_of, batch.column(0).to_pylist())

    def damaged(self, why: object) -> SourceError:
        first_line = str(why).strip().partition("\n")[0].rstrip(".")
        return SourceError(
            f"The Parquet file {shown(self.root)} is damaged or not Parquet ({first_line}): fetch or write it again."
        )


def label_of(value: object) -> Label:
    """A value of a label column; None for what is no label."""
    return value if isinstance(value, (int, str)) else None


def _is_label(kind: Any) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    return bool(types.is_integer(kind) or types.is_string(kind) or types.is_large_string(kind))


def _names(metadata: dict[bytes, bytes] | None) -> list[str] | None:
    """features.label.names of the Hugging Face schema metadata, when it is there and well formed."""
    try:
        document = json.loads((metadata or {})[b"huggingface"])
        names = document["info"]["features"]["label"]["names"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    return names
