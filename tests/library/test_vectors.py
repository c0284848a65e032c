"""A library of vectors: everything a library of pictures does, by row numbers."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pyarrow.parquet as pq
import pytest

from sightbook.codes.tables import Metric
from sightbook.errors import ConfigError, LibraryError, ModelError
from sightbook.evaluate.run import evaluate
from sightbook.images.load.pool import digest
from sightbook.ingest.migrate import migrate
from sightbook.library import export
from sightbook.library.care.check import check
from sightbook.library.library import Library
from sightbook.model.model import Model
from tests.library.held import held
from tests.library.pictures import fill, picture
from tests.tiny import tiny_described_model, tiny_model, tiny_vectors_model

F = 12
ROWS = np.random.default_rng(1).normal(size=(300, F)).astype(np.float32)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model.open(tiny_vectors_model(tmp_path_factory.mktemp("vectors"), F=F))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    np.save(tmp_path / "v.npy", ROWS)
    return tmp_path / "v.npy"


def scores(model: Model, queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(Q, N) float32, summed in the order of the engine."""
    tables, codes = model.tables(model.describe(queries)), model.assign(model.describe(rows))
    total = np.zeros((len(queries), len(rows)), np.float32)
    for m in range(model.M):
        total += tables[:, m, codes[:, m]]
    return total


def content(rows: np.ndarray, model: Model) -> dict[str, tuple[bytes, bytes]]:
    """Digest and packed code by row, each on its own: what any history of `add` must end in."""
    return {
        str(n): (digest(row.tobytes()), model.pack(model.assign(model.describe(row[None])))[0].tobytes())
        for n, row in enumerate(rows)
    }


def test_search_is_brute_force_over_all_codes(place: Path, model: Model, file: Path) -> None:
    queries = np.random.default_rng(2).normal(size=(9, F))
    with Library.open(place, create_with=model) as library:
        assert library.add(file).added == 300
        hits = library.search_vectors(queries, 20)
        alone = library.search_vectors(queries[4], 20)
        chosen = library.search_vectors(queries, 5, among=[3, 50, 7, 299])
    wanted = scores(model, queries, ROWS)
    for q in range(9):
        best = np.argsort(-wanted[q], kind="stable")[:20]
        mine = [hit for hit in hits if hit.query == q]
        assert [hit.path for hit in mine] == [str(n) for n in best]
        assert [hit.raw for hit in mine] == wanted[q][best].tolist()
        assert {hit.id for hit in chosen if hit.query == q} == {3, 50, 7, 299}
    assert [(hit.id, hit.raw) for hit in alone] == [(hit.id, hit.raw) for hit in hits if hit.query == 4]
    assert hits[0].read() == ROWS[int(hits[0].path)].tobytes()
    assert hits[0].locator == f"{file} row {hits[0].path}"


def test_adding_again_changes_nothing_and_a_rewritten_file_what_differs(
    place: Path, model: Model, file: Path
) -> None:
    with Library.open(place, create_with=model) as library:
        library.add(file)
        again = library.add(file)
        assert (again.added, again.changed, again.unchanged, again.rate) == (0, 0, 300, 0)
        rows = np.concatenate([ROWS[:290], ROWS[:20]])  # rows 290 … 309 are new or other ones
        rows[5] = -ROWS[5]
        np.save(file, rows)
        report = library.add(file)
        assert (report.added, report.changed, report.unchanged) == (10, 11, 289)
        assert held(library) == content(rows, model)
        np.save(file, rows[:100])
        assert library.add(file, prune=True).removed == 210
        assert held(library) == content(rows[:100], model) and len(library) == 100


def test_a_bad_row_is_a_failure_and_comes_back_when_it_is_good(place: Path, model: Model, file: Path) -> None:
    rows = ROWS.copy()
    rows[7, 3] = np.nan
    np.save(file, rows)
    with Library.open(place, create_with=model) as library:
        report = library.add(file)
        assert (report.added, [failure.path for failure in report.failed]) == (299, ["7"])
        assert "not finite" in report.failed[0].reason
        assert library.add(file).known_failures == 1
        assert library.status().failed[0].locator == f"{file} row 7"
        np.save(file, ROWS)
        library.add(file)
        assert library.failures() == [] and held(library) == content(ROWS, model)


def test_a_file_of_vectors_of_another_length_is_refused_as_a_whole(
    place: Path, model: Model, file: Path, tmp_path: Path
) -> None:
    import pyarrow as pa

    wide = [row.tolist() for row in np.zeros((4, F + 1), np.float32)]
    ragged = pa.table({"embedding": pa.array([*wide, ROWS[0].tolist()], pa.list_(pa.float32()))})
    pq.write_table(pa.table({"embedding": wide}), tmp_path / "wide.parquet")
    pq.write_table(ragged, tmp_path / "ragged.parquet")
    with Library.open(place, create_with=model) as library:
        for call in (library.add, lambda specs: Library.plan(place, specs)):
            with pytest.raises(
                LibraryError,
                match=r"wide\.parquet holds vectors of 13 numbers, .* takes vectors of 12 numbers: give",
            ):
                call([file, tmp_path / "wide.parquet"])
        assert library.status().sources == [] and len(library) == 0
        report = library.add(tmp_path / "ragged.parquet")
        assert (report.added, len(report.failed)) == (1, 4), "one vector fits: the others are their own fault"


def test_what_is_shown_can_be_removed(place: Path, model: Model, file: Path) -> None:
    with Library.open(place, create_with=model) as library:
        library.add(file)
        hit = library.search_vectors(ROWS[17], 1)[0]
        assert library.remove(hit.locator) == 1
        assert library.remove(f"{file} row 1?") == 9 + (hit.path not in {str(n) for n in range(10, 20)})
        with pytest.raises(LibraryError, match="nothing in"):
            library.remove(f"{file}/3")


def test_a_moved_file_keeps_its_ids_also_as_parquet(place: Path, model: Model, file: Path) -> None:
    import pyarrow as pa

    with Library.open(place, create_with=model) as library:
        library.add(file)
        ids = {hit.path: hit.id for hit in library.search_vectors(ROWS[0], 300)}
        array = pa.FixedSizeListArray.from_arrays(pa.array(ROWS.ravel()), F)
        pq.write_table(pa.table({"embedding": array}), file.with_suffix(".parquet"))
        file.unlink()
        report = library.add(file.with_suffix(".parquet"), moved_from=file)
        assert (report.added, report.changed, report.unchanged) == (0, 0, 300)
        assert {hit.path: hit.id for hit in library.search_vectors(ROWS[0], 300)} == ids


def test_status_check_and_remove(place: Path, model: Model, file: Path) -> None:
    with Library.open(place, create_with=model) as library:
        library.add(file)
        assert library.remove([3, (library.status().sources[0].id, "9")]) == 2
        assert library.remove(f"{file} row 17") == 1
        status = library.status()
        assert (status.pictures, status.method) == (297, "neighbours")
        assert [(source.kind, source.root) for source in status.sources] == [("vectors", str(file))]
        assert {hit.path for hit in library.search_vectors(ROWS[0], 300)} == (
            {str(n) for n in range(300)} - {"2", "9", "17"}
        )
    assert {finding.verdict for finding in check(place)} == {"ok"}


def test_migrating_gives_the_codes_of_the_new_model(
    place: Path, model: Model, file: Path, tmp_path: Path
) -> None:
    other = Model.open(tiny_vectors_model(tmp_path / "other", F=F, M=8, seed=5))
    with Library.open(place, create_with=model) as library:
        library.add(file)
        report = migrate(place, other)
        assert (report.encoded, report.missing, report.failed) == (300, 0, 0)
        assert held(library) == content(ROWS, other)
        hit = library.search_vectors(ROWS[8], 1)[0]
        assert hit.raw == scores(other, ROWS[8:9], ROWS).max()


def test_migrating_to_a_model_of_another_kind_or_length_is_refused_and_changes_nothing(
    place: Path, model: Model, file: Path, tmp_path: Path
) -> None:
    longer = Model.open(tiny_vectors_model(tmp_path / "longer", F=F + 1))
    pictures = Model.open(tiny_model(tmp_path / "pictures"), threads=1)
    with Library.open(place, create_with=model) as library:
        library.add(file)
        with pytest.raises(
            LibraryError, match=r"holds vectors of 12 numbers, and the new model takes vectors of 13"
        ):
            migrate(place, longer)
        with pytest.raises(LibraryError, match=r"holds vectors, and the new model takes pictures"):
            migrate(place, pictures)
        assert held(library) == content(ROWS, model) and not (place / "model.new").exists()
    # The file was made anew by another network, and a model was learned from it: that is what migrating is for.
    rows = np.random.default_rng(3).normal(size=(300, F + 1)).astype(np.float32)
    np.save(file, rows)
    assert migrate(place, longer).encoded == 300
    with Library.open(place) as library:
        assert held(library) == content(rows, longer)


def test_pictures_and_vectors_do_not_mix(place: Path, model: Model, file: Path, tmp_path: Path) -> None:
    photos = fill(tmp_path / "p", 3)
    with Library.open(place, create_with=model) as library:
        for call in (library.add, lambda specs: Library.plan(place, specs)):
            with pytest.raises(
                LibraryError, match=r"holds pictures, and the model of .* takes vectors of 12"
            ):
                call([file, photos])
        assert library.status().sources == []
        with pytest.raises(ModelError, match="takes no pictures: give it vectors"):
            library.search(picture(0))
    pictures = Model.open(tiny_model(tmp_path / "m"), threads=1)
    with Library.open(tmp_path / "l", create_with=pictures) as library:
        with pytest.raises(LibraryError, match=r"holds vectors, and the model of .* takes pictures"):
            library.add([photos, file])
        assert library.status().sources == []
        with pytest.raises(ModelError, match=r"holds pictures and has no vectors"):
            library.search_vectors(ROWS[0])


@pytest.mark.parametrize(
    ("query", "what"),
    [
        (ROWS[0, :5], "12 numbers"),
        (np.where(np.arange(F) == 2, np.nan, ROWS[0]), "not finite"),
        (np.ma.masked_array(ROWS[0], np.arange(F) == 2), "values that are masked"),
        (ROWS[None], r"\(N, F\)"),
        (np.array(["a"] * F), r"\(N, F\)"),
        (ROWS[:0], r"\(N, F\)"),
    ],
)
def test_a_query_that_is_no_vector_is_refused(
    place: Path, model: Model, file: Path, query: np.ndarray, what: str
) -> None:
    with Library.open(place, create_with=model) as library:
        library.add(file)
        with pytest.raises(ConfigError, match=what):
            library.search_vectors(query)
        with pytest.raises(ConfigError, match="1 or more"):
            library.search_vectors(ROWS[0], 0)


def test_the_first_bits_are_scanned_where_codes_are_nested(tmp_path: Path) -> None:
    centres = np.random.default_rng(0).normal(size=(30, F))
    rows = np.repeat(centres, 20, axis=0) + 0.2 * np.random.default_rng(1).normal(size=(600, F))
    np.save(tmp_path / "v.npy", rows)
    model = Model.fit(rows, tmp_path / "m", bits=32)
    with Library.open(tmp_path / "l", create_with=model) as library:
        library.add(tmp_path / "v.npy")
        whole = library.search_vectors(rows[:5], 10)
        nested = library.search_vectors(rows[:5], 10, scan_bits=16)
    assert [(hit.query, hit.id, hit.raw) for hit in nested] == [
        (hit.query, hit.id, hit.raw) for hit in whole
    ], "600 rows are few enough that no candidate is lost"


def test_exports_hold_keys_codes_and_embeddings(
    place: Path, model: Model, file: Path, tmp_path: Path
) -> None:
    with Library.open(place, create_with=model) as library:
        library.add(file)
        assert export.to_parquet(library, tmp_path / "c.parquet") == 300
        assert export.embeddings_to_parquet(library, tmp_path / "e.parquet") == 300
    codes = pq.read_table(tmp_path / "c.parquet").to_pylist()
    assert {row["path"]: (row["digest"], row["code"]) for row in codes} == content(ROWS, model)
    found = pq.read_table(tmp_path / "e.parquet")
    assert found.schema.field("embedding").type.list_size == model.D
    x = np.array(found["embedding"].to_pylist(), np.float32)
    assert np.array_equal(x, model.describe(ROWS)[[int(path) for path in found["path"].to_pylist()]])


@pytest.mark.parametrize("metric", ["near-cosine", "inner"])
@pytest.mark.parametrize("K", [16, 256])
def test_faiss_scores_as_we_do_where_every_codebook_sees_all(
    place: Path, file: Path, tmp_path: Path, metric: Metric, K: int
) -> None:
    tiny_vectors_model(tmp_path / "m", F=F, M=6, K=K)
    config = tmp_path / "m" / "config.json"
    config.write_text(config.read_text().replace('"near-cosine"', f'"{metric}"'))
    model = Model.open(tmp_path / "m")
    with Library.open(place, create_with=model) as library:
        library.add(file)
        library.remove([1, 30])
        assert export.to_faiss(library, tmp_path / "v.faiss") == 298
        x = np.random.default_rng(2).normal(size=(20, model.D)).astype(np.float32)
        hits = library.search_embeddings(x, 298)
    found, ids = faiss.read_index(str(tmp_path / "v.faiss")).search(x, 298)
    for q in range(20):
        ours = {hit.id: hit.raw for hit in hits if hit.query == q}
        theirs = dict(zip(ids[q].tolist(), found[q].tolist(), strict=True))
        assert theirs.keys() == ours.keys()
        assert max(abs(theirs[id] - ours[id]) for id in ours) < 1e-4 * max(map(abs, ours.values()))


def test_exports_of_described_pictures_are_right(tmp_path: Path) -> None:
    model = Model.open(tiny_described_model(tmp_path / "m"), threads=1)
    photos = fill(tmp_path / "p", 40)
    with Library.open(tmp_path / "l", create_with=model) as library:
        library.add(photos, jobs=1)
        export.embeddings_to_parquet(library, tmp_path / "e.parquet", jobs=1)
        export.to_faiss(library, tmp_path / "p.faiss")
        table = pq.read_table(tmp_path / "e.parquet")
        x = np.array(table["embedding"].to_pylist(), np.float32)
        hits = library.search_embeddings(x, 40)
    for row, path in zip(x, table["path"].to_pylist(), strict=True):
        alone = model.embed(model.prepare((photos / path).read_bytes())[None])[0]
        assert np.abs(row - alone).max() < 1e-5
    found, ids = faiss.read_index(str(tmp_path / "p.faiss")).search(x, 40)
    for q in range(40):
        ours = {hit.id: hit.raw for hit in hits if hit.query == q}
        assert all(
            abs(ours[id] - score) < 1e-4 for id, score in zip(ids[q].tolist(), found[q].tolist(), strict=True)
        )


def test_evaluating_a_model_of_vectors_is_refused(model: Model, tmp_path: Path) -> None:
    photos = fill(tmp_path / "p", 30)
    (tmp_path / "l.csv").write_text("file,label\n" + "".join(f"{n:03}.png,{n % 2}\n" for n in range(30)))
    with pytest.raises(ModelError, match="takes no pictures"):
        evaluate(model, "labelled", photos, labels=tmp_path / "l.csv", R=5)


def test_figures_of_vectors_are_those_of_a_slow_ranking(model: Model, file: Path, tmp_path: Path) -> None:
    """Labels by row number, from a CSV; one row is bad and left out."""
    rows = ROWS.copy()
    rows[77, 0] = np.nan
    np.save(file, rows)
    labels = [n % 3 for n in range(300)]
    (tmp_path / "l.csv").write_text("file,label\n" + "".join(f"{n},{labels[n]}\n" for n in range(300)))
    report = evaluate(model, "labelled", file, labels=tmp_path / "l.csv", R=20)
    assert [item["reason"] for item in report.failed] == [
        "it holds values that are not finite (NaN, or too large)"
    ]
    queries = range(0, 300, 10)
    database = [n for n in range(300) if n % 10 and n != 77]
    database.sort(key=lambda n: digest(rows[n].tobytes()))
    found = scores(model, rows[queries], rows[database])
    precisions = []
    for q, n in enumerate(queries):
        best = np.argsort(-found[q], kind="stable")[:20]
        hits = np.array([labels[database[i]] == labels[n] for i in best])
        ranks = np.flatnonzero(hits) + 1
        precisions.append(np.mean(np.arange(1, len(ranks) + 1) / ranks) if len(ranks) else 0)
    assert (report.queries, report.database) == (30, 269)
    assert report.figures.map == pytest.approx(np.mean(precisions))
