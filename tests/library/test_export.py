"""A library for other programs: they open it without us and find the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import faiss
import numpy as np
import pyarrow.parquet as pq
import pytest

from sightbook.codes.tables import Metric
from sightbook.errors import ConfigError
from sightbook.library import export
from sightbook.library.library import Library
from sightbook.model.model import Model
from sightbook.progress import Notice
from tests.library.pictures import content, fill, picture, write
from tests.tiny import tiny_model


@pytest.mark.parametrize("K", [16, 256])
@pytest.mark.parametrize("metric", ["inner", "near-cosine"])
def test_faiss_alone_gives_the_librarys_answers(tmp_path: Path, metric: Metric, K: int) -> None:
    model = Model.open(tiny_model(tmp_path / "m", M=8, K=K, metric=metric), threads=1)
    with Library.open(tmp_path / "l", create_with=model) as library:
        library.add([fill(tmp_path / "p", 300)], jobs=1)
        library.remove([7, 8, 200])
        assert export.to_faiss(library, tmp_path / "out.faiss") == 297
        x = np.random.default_rng(2).normal(size=(20, model.D)).astype(np.float32)
        hits = library.search_embeddings(x, 10)
    script = """
import sys, numpy as np, faiss
index = faiss.read_index(sys.argv[1])
scores, ids = index.search(np.load(sys.argv[2]), 10)
np.savez(sys.argv[3], scores=scores, ids=ids)
assert "sightbook" not in sys.modules
"""
    np.save(tmp_path / "x.npy", x)
    subprocess.run(
        [sys.executable, "-c", script, tmp_path / "out.faiss", tmp_path / "x.npy", tmp_path / "found.npz"],
        check=True,
    )
    found = np.load(tmp_path / "found.npz")
    ours = np.array([hit.raw for hit in hits]).reshape(20, 10)
    np.testing.assert_allclose(found["scores"], ours, atol=2e-4 * abs(ours).max())
    for q in range(20):
        mine = {hit.id: hit.raw for hit in hits if hit.query == q}
        worst = min(mine.values())
        for id, score in zip(found["ids"][q].tolist(), found["scores"][q].tolist(), strict=True):
            assert id in mine or score == pytest.approx(worst, rel=1e-3), "another one only at a tie"


def test_a_score_that_faiss_cannot_express_is_refused(tmp_path: Path) -> None:
    model = Model.open(tiny_model(tmp_path / "m", metric="distance"), threads=1)
    with (
        Library.open(tmp_path / "l", create_with=model) as library,
        pytest.raises(ConfigError, match="sum of distances, which no plain faiss index computes"),
    ):
        export.to_faiss(library, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_empty_library_is_an_empty_index(place: Path, model: Model, tmp_path: Path) -> None:
    with Library.open(place, create_with=model) as library:
        assert export.to_faiss(library, tmp_path / "e.faiss") == 0
        assert export.to_parquet(library, tmp_path / "e.parquet") == 0
    assert faiss.read_index(str(tmp_path / "e.faiss")).ntotal == 0
    assert pq.read_table(tmp_path / "e.parquet").num_rows == 0


def test_parquet_holds_ids_keys_and_codes(
    place: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "ROWS", 4)
    photos = fill(tmp_path / "Fotos", 9)
    write(photos / "ünï.png", picture(60))
    write(photos / "bad.png", b"nothing")
    with Library.open(place, create_with=model) as library:
        library.add([photos])
        assert export.to_parquet(library, tmp_path / "c.parquet") == 10
    table = pq.read_table(tmp_path / "c.parquet")
    assert table.schema.metadata[b"sightbook.fingerprint"].decode() == model.fingerprint
    rows = table.to_pylist()
    wanted = content(photos, model)
    assert {row["path"]: (row["digest"], row["code"]) for row in rows} == wanted and len(wanted) == 10
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
    assert {row["root"] for row in rows} == {str(photos)}
    assert {(row["width"], row["height"], row["format"], row["camera"]) for row in rows} == {
        (20, 20, "png", None)
    }


def test_embeddings_are_those_of_the_pictures_as_they_were_added(
    place: Path, model: Model, tmp_path: Path
) -> None:
    photos = fill(tmp_path / "p", 6)
    heard: list[str] = []
    with Library.open(place, create_with=model) as library:
        library.add([photos])
        write(photos / "001.png", picture(70))
        (photos / "002.png").unlink()
        write(photos / "new.png", picture(71))
        count = export.embeddings_to_parquet(
            library, tmp_path / "e.parquet", jobs=1,
            listener=lambda event: heard.append(event.text) if isinstance(event, Notice) else None,
        )  # fmt: skip
    assert count == 4 and heard == ["2 pictures are not there as they were added, and were left out"]
    rows = pq.read_table(tmp_path / "e.parquet").to_pylist()
    assert [row["path"] for row in rows] == ["000.png", "003.png", "004.png", "005.png"]
    for row in rows:
        alone = model.embed(model.prepare((photos / row["path"]).read_bytes())[None])[0]
        np.testing.assert_allclose(row["embedding"], alone, atol=1e-6)


@pytest.mark.parametrize("what", ["empty", "behind a link", "gone"])
def test_embeddings_are_of_the_sources_that_are_there_wherever_they_are(
    place: Path, model: Model, tmp_path: Path, what: str
) -> None:
    """A folder without pictures may be a drive that is not mounted."""
    first, second = fill(tmp_path / "a", 4), fill(tmp_path / "b", 2, first=10)
    with Library.open(place, create_with=model) as library:
        library.add([first, second])
        second.rename(tmp_path / "elsewhere")
        if what == "empty":
            second.mkdir()
        elif what == "behind a link":
            second.symlink_to(tmp_path / "elsewhere")
        count = export.embeddings_to_parquet(library, tmp_path / "e.parquet", jobs=1)
    assert count == (6 if what == "behind a link" else 4)
    assert pq.read_table(tmp_path / "e.parquet")["id"].to_pylist() == list(range(1, count + 1))
