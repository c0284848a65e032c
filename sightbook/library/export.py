"""A library for other programs: a plain faiss index, or Parquet files with codes, ids and keys, or embeddings.

Data flow: catalogue → ids, codes, keys of the good pictures (one committed state) → file; embeddings are not kept in a
library, so they are made again from the sources.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sightbook.catalogue.rows import SourceRow
from sightbook.codes.tables import Floats, Metric
from sightbook.errors import ConfigError, ModelError
from sightbook.files import replace_atomic
from sightbook.images.entry import Entry, noun
from sightbook.images.names import escape
from sightbook.ingest.means import Means
from sightbook.ingest.scan import entries_of, is_there
from sightbook.library.state import State, of_one_state
from sightbook.progress import Listener, Notice, silent
from sightbook.words import counted, verb

if TYPE_CHECKING:
    from sightbook.library.library import Library
    from sightbook.model.encode import Encoder
    from sightbook.model.model import Model

Metadata = dict[str, str]
ROWS = 65_536  # of a Parquet row group


def to_faiss(library: Library, out: Path) -> int:
    """Writes an index that faiss opens by itself: `faiss.read_index(out).search(x, k)`, x (Q, D) float32 embeddings of
    encoder.onnx, gives the library's ids and raw scores. Returns the number of pictures.

    Fine codes stay behind: it searches by codes alone, as `Library.search(…, fine=False)` does. Equal scores may come
    in another order. ConfigError for a model whose score faiss cannot express (metric distance).
    """
    return of_one_state(library, lambda state: _faiss(state, out))


def _faiss(state: State, out: Path) -> int:
    import faiss

    model = state.model
    ids, packed = state.codes()
    words, matrix, bias = _for_inner_product(model.codebooks, model.config.metric, model.config.shared)
    M, K, d = words.shape
    index: Any = faiss.IndexPQ(M * d, M, K.bit_length() - 1, faiss.METRIC_INNER_PRODUCT)
    faiss.copy_array_to_vector(np.ascontiguousarray(words).reshape(-1), index.pq.centroids)
    index.is_trained = True
    codes, keep = index, [index]  # faiss holds plain pointers
    if matrix is not None and bias is not None:
        transform = faiss.LinearTransform(model.D, M * d, True)
        faiss.copy_array_to_vector(np.ascontiguousarray(matrix).reshape(-1), transform.A)
        faiss.copy_array_to_vector(bias, transform.b)
        transform.is_trained = True
        index = faiss.IndexPreTransform(transform, index)
        keep += [transform, index]
    named = faiss.IndexIDMap2(index)  # which takes empty ones only
    if len(ids):
        codes.add_sa_codes(packed)
        faiss.copy_array_to_vector(ids, named.id_map)
        for each in (*keep, named):
            each.ntotal = len(ids)
        named.construct_rev_map()
    with replace_atomic(out) as temporary:
        faiss.write_index(named, str(temporary))
        state.confirm()
    return len(ids)


def _for_inner_product(
    codebooks: Floats, metric: Metric, shared: bool
) -> tuple[Floats, Floats | None, NDArray[np.float32] | None]:
    """Codewords (M, K, d'), and what turns an embedding into a query (matrix (M·d', D), bias) or None, such that the
    inner product is the score (`codes.tables`).

    near-cosine: (⟨x_m, c_mk⟩ - ¼ ‖c_mk‖²) / g is the inner product of (x_m, 1) / g with (c_mk, -¼ ‖c_mk‖²).
    shared: every codebook sees the whole embedding (D = d), so the query is M copies of it.
    """
    M, _, d = codebooks.shape
    if metric == "inner" and not shared:
        return codebooks, None, None
    if metric == "distance":
        raise ConfigError(
            "the score of this model is a sum of distances, which no plain faiss index computes: export Parquet instead"
        )
    parts = 1 if shared else M  # of an embedding
    if metric == "inner":
        return codebooks, np.tile(np.eye(d, dtype=np.float32), (M, 1)), np.zeros(M * d, np.float32)
    squares = (codebooks.astype(np.float64) ** 2).sum(axis=2)
    scale = 0.75 * float(squares.mean()) or 1.0
    words = np.concatenate([codebooks, -0.25 * squares[:, :, None]], axis=2).astype(np.float32)
    matrix = np.zeros((M, d + 1, parts, d), np.float32)
    bias = np.zeros((M, d + 1), np.float32)
    for m in range(M):
        matrix[m, :d, m % parts] = np.eye(d, dtype=np.float32) / scale
        bias[m, d] = 1 / scale
    return words, matrix.reshape(M * (d + 1), parts * d), bias.reshape(-1)


def to_parquet(library: Library, out: Path) -> int:
    """Writes id, source, path, root, digest (BLAKE2b-128 of the file) and packed code of every good picture, by id, and
    what the picture tells about itself.

    A library that keeps fine codes gives them, too: fine, d bytes that are int8. A path that is not UTF-8 is written
    with its odd bytes as escapes.
    """
    return of_one_state(library, lambda state: _parquet(state, out))


def _parquet(state: State, out: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    bytes_, fine = state.facts.code_bytes, state.facts.fine_bytes
    schema = pa.schema(
        [
            ("id", pa.int64()), ("source", pa.string()), ("path", pa.string()), ("root", pa.string()),
            ("digest", pa.binary(16)), ("code", pa.binary(bytes_)),
            *([("fine", pa.binary(fine))] if fine else []),
            ("width", pa.int64()), ("height", pa.int64()), ("format", pa.string()), ("taken", pa.string()),
            ("camera", pa.string()), ("orientation", pa.int64()), ("latitude", pa.float64()),
            ("longitude", pa.float64()),
        ],
        metadata=_metadata(state),
    )  # fmt: skip
    count = 0
    with replace_atomic(out) as temporary:
        with pq.ParquetWriter(temporary, schema) as writer:
            for rows in state.rows(ROWS, fine=bool(fine)):
                about = state.about([row[0] for row in rows])
                writer.write_table(
                    _table(
                        [
                            (row[0], row[1], escape(row[2]), escape(row[3]), *row[4:], *about[row[0]])
                            for row in rows
                        ],
                        schema,
                    )
                )
                count += len(rows)
        state.confirm()
    return count


def embeddings_to_parquet(
    library: Library,
    out: Path,
    *,
    jobs: int | None = None,
    encode: Encoder | None = None,
    listener: Listener = silent,
) -> int:
    """Writes id, source, path and embedding (D float32) of every good picture whose file can be read, for databases
    that keep vectors. The files are read again; those that changed since the last `add` are left out, and told. jobs,
    encode: as in `Library.add`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from sightbook.model.encode import Encoded

    def read(
        state: State,
    ) -> tuple[Model, dict[tuple[str, str], tuple[int, bytes]], list[SourceRow], Metadata]:
        known = {(row[1], row[2]): (row[0], row[4]) for rows in state.rows(ROWS) for row in rows}
        return state.model, known, state.sources(), _metadata(state)

    model, known, sources, metadata = of_one_state(library, read)
    schema = pa.schema(
        [
            ("id", pa.int64()), ("source", pa.string()), ("path", pa.string()),
            ("embedding", pa.list_(pa.float32(), model.D)),
        ],
        metadata=metadata,
    )  # fmt: skip
    count = 0
    batch: list[tuple[object, ...]] = []
    entries = [entry for entry in _entries(sources, listener) if entry.key in known]
    with (
        replace_atomic(out) as temporary,
        pq.ParquetWriter(temporary, schema) as writer,
        closing(Means(encode, jobs, listener=listener).results(entries, model)) as results,
    ):
        for entry, result in results:
            id, digest = known[entry.key]
            if isinstance(result, Encoded) and result.digest == digest:
                batch.append((id, entry.source, escape(entry.path), result.x.tolist()))
            if len(batch) >= ROWS // 8:
                writer.write_table(_table(batch, schema))
                count += len(batch)
                batch.clear()
        if batch:
            writer.write_table(_table(batch, schema))
            count += len(batch)
    if left_out := len(known) - count:
        what = counted(left_out, noun(model.takes_vectors)[:-1])
        are = f"{verb(left_out, 'are')} not there as they were added, and {verb(left_out, 'were')} left out"
        listener(Notice(f"{what} {are}"))
    return count


def _table(rows: Sequence[tuple[object, ...]], schema: Any) -> Any:
    import pyarrow as pa

    columns = zip(*rows, strict=True)
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)


def _entries(sources: Sequence[SourceRow], listener: Listener) -> Iterator[Entry]:
    """What the sources that are there hold now."""
    for source in sources:
        if not is_there(source.root):
            listener(Notice(f"{source.root} is not there now"))
            continue
        yield from entries_of(source)


def _metadata(state: State) -> Metadata:
    facts = state.facts
    constants = state.model.config.fine if facts.fine else None
    return {
        "sightbook.fingerprint": facts.fingerprint,
        "sightbook.M": str(facts.M),
        "sightbook.K": str(facts.K),
        **{f"sightbook.fine.{name}": repr(value) for name, value in (constants or {}).items()},
    }


def model_to_onnx(model: Model, out: Path) -> None:
    """Writes the encoder: pixels (N, S, S, 3) uint8 → embeddings (N, D), also of a model whose own encoder.onnx gives
    the features that `Model.describe` makes them of.

    ModelError for a model of vectors, which has no encoder; MissingExtra when a description must be folded in and the
    package onnx is not installed.
    """
    if model.takes_vectors:
        raise ModelError(
            f"{model.folder} takes vectors and has no encoder to export: its description is a matrix and three vectors "
            "in description.safetensors"
        )
    model.check()
    content = (model.place / "encoder.onnx").read_bytes()
    if model.config.described:
        from sightbook.model.folding import fold

        content = fold(content, model.description)
    with replace_atomic(out) as temporary:
        temporary.write_bytes(content)
