"""Vectors as a source: rows by number, the same bytes from every layout, read once when read in order."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sightbook.errors import PictureError, SourceError
from sightbook.images.kinds import table as tables
from sightbook.images.kinds.table import Table
from sightbook.images.load.pool import load
from sightbook.images.pixels.frame import Frame
from sightbook.images.sources import open_source, open_sources
from sightbook.images.stored import read_stored
from sightbook.images.vectors import read_many, read_vectors
from tests.images.pictures import encoded, gradient, write_folder, write_parquet

ROWS = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
KINDS: dict[str, pa.DataType] = {
    "list": pa.list_(pa.float32()),
    "large list": pa.large_list(pa.float64()),
    "fixed": pa.list_(pa.float32(), 5),
    "fixed half": pa.list_(pa.float16(), 5),
}


def table(path: Path, rows: Any, kind: pa.DataType, column: str = "embedding", **more: Any) -> Path:
    options = {name: more.pop(name) for name in ("row_group_size",) if name in more}
    pq.write_table(pa.table({column: pa.array(list(rows), kind), **more}), path, **options)
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("group", [7, 1000])
def test_a_row_is_its_little_endian_float32_by_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, group: int
) -> None:
    monkeypatch.setattr(tables, "BATCH_BYTES", 200)  # several batches in a row group
    rows = ROWS.astype(np.float16) if kind == "fixed half" else ROWS
    path = table(tmp_path / "v.parquet", rows, KINDS[kind], row_group_size=group)
    (source,) = open_sources([path])
    entries = list(source.entries())
    assert source.kind == "vectors" and [entry.path for entry in entries] == [str(n) for n in range(30)]
    assert {entry.size for entry in entries} == {20}
    assert entries[3].locator == f"{path} row 3"
    wanted = [row.tobytes() for row in rows.astype(np.float32)]
    order = [*range(30), 4, 29, 0, 12, 11]
    assert [entries[n].read() for n in order] == [wanted[n] for n in order]
    assert read_stored("vectors", str(path), "7") == wanted[7]
    read = [(e, v) for batch, found in read_many(entries, 8) for e, v in zip(batch, found, strict=True)]
    assert [entry for entry, _ in read] == entries
    assert np.array_equal(np.stack([vector for _, vector in read]), rows.astype(np.float32))
    assert np.array_equal(read_vectors(path), rows.astype(np.float32))


@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8", "u1"])
def test_an_array_gives_the_bytes_that_a_table_gives(tmp_path: Path, dtype: str) -> None:
    rows = (10 * ROWS).astype(dtype) if dtype != "u1" else np.arange(150, dtype=np.uint8).reshape(30, 5)
    np.save(tmp_path / "v.npy", rows)
    entries = list(open_sources([tmp_path / "v.npy"]).entries())
    assert [entry.read() for entry in entries] == [row.tobytes() for row in rows.astype("<f4")]
    some = [entries[n] for n in (3, 4, 5, 9, 2)]
    ((_, found),) = read_many(some, 100)
    assert np.array_equal(np.stack(found), rows[[3, 4, 5, 9, 2]].astype(np.float32))
    assert read_vectors(tmp_path / "v.npy").dtype == rows.dtype
    with pytest.raises(PictureError, match="no such row"):
        read_stored("vectors", str(tmp_path / "v.npy"), "30")


def test_each_row_group_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = table(tmp_path / "v.parquet", ROWS, KINDS["fixed"], row_group_size=10)
    entries = list(open_sources([path]).entries())
    groups: list[int] = []
    real = Table.batches
    monkeypatch.setattr(
        Table, "batches", lambda self, group, columns: groups.append(group) or real(self, group, columns)
    )
    list(read_many(entries, 4))
    assert groups == [0, 0, 1, 2], "and the first once more, for the length of a vector"


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        (["vectors"], "vectors"),
        (["mine"], "mine"),
        (["other", "emb"], "emb"),
    ],
)
def test_the_column_is_found_by_name_or_as_the_only_one(
    tmp_path: Path, columns: list[str], found: str
) -> None:
    arrays = {name: pa.array(list(ROWS if name == found else -ROWS), KINDS["list"]) for name in columns}
    pq.write_table(pa.table({"id": range(30), "tokens": [[1, 2]] * 30, **arrays}), tmp_path / "v.parquet")
    assert np.array_equal(read_vectors(tmp_path / "v.parquet"), ROWS)


@pytest.mark.parametrize("columns", [["one", "two"], ["embedding", "features"]])
def test_several_columns_that_may_be_meant_are_named(tmp_path: Path, columns: list[str]) -> None:
    pq.write_table(
        pa.table({name: pa.array(list(ROWS), KINDS["list"]) for name in columns}), tmp_path / "v.parquet"
    )
    for read in (open_source, read_vectors):
        with pytest.raises(SourceError, match=rf"several columns of vectors \({columns[0]}, {columns[1]}\)"):
            read(tmp_path / "v.parquet")


def test_a_table_with_pictures_is_a_source_of_pictures(tmp_path: Path) -> None:
    png = encoded(gradient())
    path = write_parquet(tmp_path / "p.parquet", [png] * 2)
    columns = pq.read_table(path).append_column("embedding", pa.array([[1.0], [2.0]]))
    pq.write_table(columns, path)
    (source,) = open_source(path)
    assert source.kind == "parquet" and [entry.read() for entry in source.entries()] == [png, png]


def test_labels_are_kept_for_evaluation(tmp_path: Path) -> None:
    labels = pa.array([n % 3 for n in range(30)])
    path = table(tmp_path / "v.parquet", ROWS, KINDS["fixed"], row_group_size=7, label=labels)
    assert [entry.label for entry in open_sources([path]).entries()] == [n % 3 for n in range(30)]


def test_rows_without_a_vector_are_their_own_fault(tmp_path: Path) -> None:
    path = table(tmp_path / "v.parquet", [None, [1, 2], [], [3, None], [4], [5, 6]], KINDS["list"])
    entries = list(open_sources([path]).entries())
    ((_, found),) = read_many(entries, 10)
    assert found[0] == found[2] == "the row holds no vector"
    assert [np.asarray(found[n]).tolist() for n in (1, 4, 5)] == [[1, 2], [4], [5, 6]]
    assert found[3][0] == 3 and np.isnan(found[3][1])  # type: ignore[arg-type]
    with pytest.raises(PictureError, match="no vector"):
        entries[2].read()
    with pytest.raises(
        SourceError, match=r"Row 0 of .*v\.parquet cannot be used \(the row holds no vector\)"
    ):
        read_vectors(path)


def test_null_rows_of_fixed_length_do_not_shift_the_others(tmp_path: Path) -> None:
    try:
        path = table(tmp_path / "v.parquet", [[1, 2], None, [3, 4]], pa.list_(pa.float32(), 2))
    except pa.ArrowNotImplementedError:
        pytest.skip("this pyarrow does not write them")
    ((_, found),) = read_many(list(open_sources([path]).entries()), 10)
    assert (found[0].tolist(), found[1], found[2].tolist()) == ([1, 2], "the row holds no vector", [3, 4])  # type: ignore[union-attr]


def test_ragged_rows_are_no_array(tmp_path: Path) -> None:
    path = table(tmp_path / "v.parquet", [[1, 2], [3, 4], [5]], KINDS["list"])
    with pytest.raises(SourceError, match=r"Row 2 .* \(1 number, not 2 as the first\)"):
        read_vectors(path)


def test_files_of_a_glob_are_one_array_in_order_of_their_names(tmp_path: Path) -> None:
    np.save(tmp_path / "b.npy", ROWS[10:])
    table(tmp_path / "a.parquet", ROWS[:10], KINDS["fixed"])
    assert np.array_equal(read_vectors(str(tmp_path / "*")), ROWS)
    assert [source.kind for source in open_source(tmp_path / "*")] == ["vectors", "vectors"]


def test_an_array_beside_pictures_is_not_meant_by_a_glob(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", ROWS)
    write_folder(tmp_path, {"a.png": encoded(gradient())})
    assert [source.kind for source in open_source(tmp_path / "*")] == ["folder"]


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda p: p / "no.npy", "nothing at"),
        (lambda p: table(p / "v.parquet", [], KINDS["list"]), "no (rows|vectors) in the Parquet file"),
        (lambda p: table(p / "v.parquet", [[], None], KINDS["list"]), "no vectors in the Parquet file"),
        (lambda p: table(p / "v.parquet", [[1, 2]], pa.list_(pa.int64())), "embedding: list<.*int64>"),
        (lambda p: write_folder(p, {"v.parquet": b"PAR1nonsense"}) / "v.parquet", "damaged or not Parquet"),
        (lambda p: write_folder(p, {"v.csv": b"1,2"}) / "v.csv", "no file of vectors|is no source"),
    ],
)
def test_what_holds_no_vectors_is_refused(tmp_path: Path, make: Any, what: str) -> None:
    path = make(tmp_path)
    for read in (open_source, read_vectors):
        with pytest.raises(SourceError, match=what):
            read(path)


def test_a_file_that_was_rewritten_is_said(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", ROWS)
    entries = list(open_sources([tmp_path / "v.npy"]).entries())
    np.save(tmp_path / "v.npy", ROWS[:20])
    with pytest.raises(SourceError, match="changed while it was read"):
        list(read_many(entries, 100))
    (tmp_path / "v.npy").unlink()
    with pytest.raises(SourceError, match="vanished"):
        entries[0].read()


def test_vectors_are_no_pictures_and_pictures_no_vectors(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", ROWS)
    with pytest.raises(SourceError, match="pictures are wanted here"):
        list(load(open_sources([tmp_path / "v.npy"]).entries(), Frame(8, 8)))
    write_folder(tmp_path / "p", {"a.png": encoded(gradient())})
    with pytest.raises(SourceError, match="vectors are wanted here"):
        list(read_many(open_sources([tmp_path / "p"]).entries(), 8))


def test_a_link_to_an_array_of_another_name_is_one(tmp_path: Path) -> None:
    """As caches keep files: under the digest of their content."""
    np.save(tmp_path / "v.npy", ROWS)
    (tmp_path / "v.npy").rename(tmp_path / "5feceb66")
    (tmp_path / "v.npy").symlink_to(tmp_path / "5feceb66")
    source, entry, *_ = (*open_source(tmp_path / "v.npy"), *open_sources([tmp_path / "v.npy"]).entries())
    assert source.labels.columns == [] and entry.read() == ROWS[0].tobytes()
    assert read_stored("vectors", str(tmp_path / "5feceb66"), "1") == ROWS[1].tobytes()
    assert np.array_equal(read_vectors(tmp_path / "v.npy"), ROWS)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX has the limit")
@pytest.mark.parametrize("suffix", ["npy", "parquet"])
def test_more_files_may_be_learned_from_than_may_be_open(tmp_path: Path, suffix: str) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for n in range(150):
        if suffix == "npy":
            np.save(tmp_path / f"{n:03}.npy", ROWS[n % 30][None])
        else:
            table(tmp_path / f"{n:03}.parquet", ROWS[n % 30][None], KINDS["list"])
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    try:
        assert np.array_equal(read_vectors(f"{tmp_path}/*.{suffix}"), np.tile(ROWS, (5, 1)))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_pictures_are_not_learned_from_as_vectors(tmp_path: Path) -> None:
    write_folder(tmp_path / "p", {"a.png": encoded(gradient())})
    np.save(tmp_path / "v.npy", ROWS)
    with pytest.raises(
        SourceError, match=r"There are pictures in .*p, and vectors are wanted here: give a .npy"
    ):
        read_vectors([str(tmp_path / "v.npy"), str(tmp_path / "p")])
    assert np.array_equal(read_vectors([str(tmp_path / "v.npy")] * 2), ROWS), "a file that is named twice"
