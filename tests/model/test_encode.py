from __future__ import annotations

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from sightbook.errors import ConfigError, SourceError
from sightbook.images.entry import Entry
from sightbook.images.load.pool import digest
from sightbook.images.sources import open_sources
from sightbook.model import encode as encoding
from sightbook.model.encode import Encoded, Failed, encode
from sightbook.model.model import Model
from sightbook.progress import Progress
from tests.library.pictures import fill, write
from tests.tiny import tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model.open(tiny_model(tmp_path_factory.mktemp("model")), threads=1)


def entries(folder: Path) -> list[Entry]:
    return list(open_sources([folder]).entries())


@pytest.mark.parametrize(("jobs", "batch"), [(1, 128), (1, 3), (2, 7)])
def test_each_picture_gets_what_it_gets_alone_in_order(
    tmp_path: Path, model: Model, jobs: int, batch: int
) -> None:
    side = 160 if jobs == 2 else 20  # big files, so that processes are started
    photos = fill(tmp_path / "p", 40, side=side)
    for name in ("000.png", "017.png", "039.png", "bad.png"):
        write(photos / name, b"broken")
    results = list(encode(entries(photos), model, jobs=jobs, batch=batch))
    assert [result.entry for result in results] == entries(photos)
    for result in results:
        if result.entry.path in ("000.png", "017.png", "039.png", "bad.png"):
            assert isinstance(result, Failed) and result.reason
            continue
        assert isinstance(result, Encoded)
        data = result.entry.read()
        x = model.embed(model.prepare(data)[None])
        np.testing.assert_allclose(result.x, x[0], atol=1e-5)
        assert result.codes.tolist() == model.assign(x)[0].tolist()
        assert (result.digest, *result.about[:2]) == (digest(data), side, side)


def test_nothing_in_is_nothing_out_and_the_encoder_is_not_loaded(tmp_path: Path) -> None:
    model = Model.open(tiny_model(tmp_path / "m"))
    assert list(encode([], model)) == []
    assert not model.graph.is_loaded


def test_only_failures_do_not_load_the_encoder(tmp_path: Path) -> None:
    model = Model.open(tiny_model(tmp_path / "m"))
    write(tmp_path / "p" / "bad.png", b"broken")
    (result,) = encode(entries(tmp_path / "p"), model)
    assert isinstance(result, Failed)
    assert not model.graph.is_loaded
    list(encode(entries(fill(tmp_path / "good", 2)), model))
    assert model.graph.is_loaded


def test_decoding_runs_ahead_of_the_forward_pass(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the first batch is in the encoder, worker processes decode pictures of later batches."""
    photos = fill(tmp_path / "p", 60, side=160)
    from sightbook.images.load.child import Child

    decoded: list[int] = []
    ahead = threading.Event()
    real = Child.hear

    def counting(*arguments, **options):  # type: ignore[no-untyped-def]
        answer = real(*arguments, **options)
        if isinstance(answer[0], list):  # a batch of pictures, neither a greeting nor a sign of life
            decoded.append(len(answer[0]))
        if len(decoded) >= 2:
            ahead.set()
        return answer

    monkeypatch.setattr(Child, "hear", counting)
    embed = model.embed
    waited: list[bool] = []

    def slow(pixels):  # type: ignore[no-untyped-def]
        if not waited:
            waited.append(ahead.wait(100))
        return embed(pixels)

    monkeypatch.setattr(model, "embed", slow)
    assert sum(1 for _ in encode(entries(photos), model, jobs=2, batch=4)) == 60
    assert waited == [True] and max(decoded) < 60


def test_what_was_read_before_a_source_vanished_is_encoded(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = fill(tmp_path / "p", 9)
    real = encoding.load

    def unplugging(given, frame, *, jobs):  # type: ignore[no-untyped-def]
        for number, item in enumerate(real(given, frame, jobs=1)):
            if number == 5:
                shutil.rmtree(photos)
            yield item

    monkeypatch.setattr(encoding, "load", unplugging)
    got: list[str] = []
    with pytest.raises(SourceError):
        got.extend(result.entry.path for result in encode(entries(photos), model, batch=4))
    assert got == [f"00{n}.png" for n in range(6)]


def test_progress_counts_failures_and_closes_also_when_stopped_early(tmp_path: Path, model: Model) -> None:
    photos = fill(tmp_path / "p", 10)
    write(photos / "000.png", b"broken")
    heard: list[Progress] = []
    assert sum(1 for _ in encode(entries(photos), model, batch=2, listener=heard.append, total=10)) == 10
    assert (heard[-1].done, heard[-1].total, heard[-1].finished, heard[-1].figures) == (
        10,
        10,
        True,
        {"failed": 1},
    )
    results = encode(entries(photos), model, batch=2, listener=heard.append)
    next(results)
    results.close()
    assert heard[-1].finished


def test_no_process_is_no_decoding(tmp_path: Path, model: Model) -> None:
    with pytest.raises(ConfigError, match="must be at least 1, not 0"):
        list(encode(entries(fill(tmp_path / "p", 1)), model, jobs=0))
