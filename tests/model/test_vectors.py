"""A model of vectors: learned from files, codes of entries, one bad row at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sightbook.errors import ConfigError, ModelError, SourceError
from sightbook.images.load.pool import digest
from sightbook.images.pixels.about import About
from sightbook.images.sources import open_sources
from sightbook.model import encode as encoding
from sightbook.model.encode import Encoded, Failed, encode
from sightbook.model.model import Model
from sightbook.progress import Progress
from tests.tiny import tiny_model, tiny_vectors_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model.open(tiny_vectors_model(tmp_path_factory.mktemp("model"), F=12))


ROWS = np.random.default_rng(1).normal(size=(50, 12)).astype(np.float32)


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_each_vector_gets_what_it_gets_alone_in_order(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(encoding, "VECTORS", batch)
    np.save(tmp_path / "v.npy", ROWS)
    entries = list(open_sources([tmp_path / "v.npy"]).entries())
    heard: list[Progress] = []
    results = list(encode(entries, model, listener=heard.append, total=50))  # type: ignore[arg-type]
    assert [result.entry for result in results] == entries
    for row, result in zip(ROWS, results, strict=True):
        assert isinstance(result, Encoded)
        x = model.describe(row[None])
        assert result.x.tolist() == x[0].tolist()
        assert result.codes.tolist() == model.assign(x)[0].tolist()
        assert (result.digest, result.about) == (digest(row.tobytes()), About(12, 1))
    assert (heard[-1].done, heard[-1].unit, heard[-1].finished) == (50, "vectors", True)


def test_a_bad_vector_is_one_failure_with_its_reason(tmp_path: Path, model: Model) -> None:
    rows: list[list[float] | None] = ROWS[:8].tolist()
    rows[1] = rows[1][:5]  # type: ignore[index]
    rows[2], rows[5] = None, []
    rows[3][7] = float("nan")  # type: ignore[index]
    rows[6][0] = 1e300  # type: ignore[index]
    pq.write_table(pa.table({"vector": pa.array(rows, pa.list_(pa.float64()))}), tmp_path / "v.parquet")
    results = list(encode(open_sources([tmp_path / "v.parquet"]).entries(), model))
    reasons = {result.entry.path: result.reason for result in results if isinstance(result, Failed)}
    finite = "it holds values that are not finite (NaN, or too large)"
    assert reasons == {
        "1": "it has 5 numbers, and the model takes 12",
        "2": "the row holds no vector",
        "3": finite,
        "5": "the row holds no vector",
        "6": finite,
    }
    good = {result.entry.path: result.x for result in results if isinstance(result, Encoded)}
    for row in (0, 4, 7):
        assert good[str(row)].tolist() == model.describe(ROWS[row : row + 1])[0].tolist()


def test_half_numbers_that_overflowed_are_a_failure(tmp_path: Path, model: Model) -> None:
    rows = ROWS[:3].astype(np.float16)
    rows[1, 2] = np.inf
    np.save(tmp_path / "v.npy", rows)
    results = list(encode(open_sources([tmp_path / "v.npy"]).entries(), model))
    assert [type(result) for result in results] == [Encoded, Failed, Encoded]


def test_a_file_of_another_length_is_failures_only(tmp_path: Path, model: Model) -> None:
    np.save(tmp_path / "v.npy", ROWS[:, :11])
    results = list(encode(open_sources([tmp_path / "v.npy"]).entries(), model))
    assert {result.reason for result in results if isinstance(result, Failed)} == {
        "it has 11 numbers, and the model takes 12"
    }
    assert len(results) == 50


def test_what_came_before_a_source_went_is_kept(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "VECTORS", 10)
    np.save(tmp_path / "v.npy", ROWS)
    results = encode(list(open_sources([tmp_path / "v.npy"]).entries()), model)
    first = next(results)
    (tmp_path / "v.npy").unlink()
    kept = [first]
    with pytest.raises(SourceError, match="vanished"):
        kept.extend(results)
    assert len(kept) == 10


def test_models_and_sources_of_different_kinds_do_not_go_together(tmp_path: Path, model: Model) -> None:
    np.save(tmp_path / "v.npy", ROWS)
    pictures = Model.open(tiny_model(tmp_path / "m"), threads=1)
    with pytest.raises(SourceError, match="pictures are wanted here"):
        list(encode(open_sources([tmp_path / "v.npy"]).entries(), pictures))
    with pytest.raises(ModelError, match="takes no pictures: give it vectors"):
        _ = model.frame


def test_fit_takes_a_path_like_the_array_in_it(tmp_path: Path) -> None:
    centres = np.random.default_rng(0).normal(size=(20, 6))
    rows = np.repeat(centres, 20, axis=0) + 0.1 * np.random.default_rng(1).normal(size=(400, 6))
    rows = rows.astype(np.float32)
    np.save(tmp_path / "v.npy", rows)
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), 6)
    pq.write_table(pa.table({"embedding": fixed}), tmp_path / "v.parquet")
    made = [
        Model.fit(vectors, tmp_path / f"m{n}", bits=16)
        for n, vectors in enumerate((rows, tmp_path / "v.npy", str(tmp_path / "v.parquet")))
    ]
    assert len({each.fingerprint for each in made}) == 1
    assert made[0].takes_vectors and made[0].config.features == 6


def test_fit_names_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nothing at"):
        Model.fit(tmp_path / "no.npy", tmp_path / "m")
    np.save(tmp_path / "v.npy", np.where(np.arange(50)[:, None] == 7, np.nan, ROWS))
    with pytest.raises(ConfigError, match="vector 7 holds values that are not finite"):
        Model.fit(tmp_path / "v.npy", tmp_path / "m")
    assert not (tmp_path / "m").exists()
