from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sightbook.catalogue.versions import FORMAT
from sightbook.codes import oracle
from sightbook.codes.scale import Scale
from sightbook.errors import ConfigError, PictureError
from sightbook.library.library import Library
from sightbook.model.model import Model
from tests.library.held import catalogue_of
from tests.library.pictures import fill, picture, write


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("photos"), 40)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, photos: Path, model: Model) -> Iterator[Library]:
    with Library.open(tmp_path_factory.mktemp("l") / "library", create_with=model) as opened:
        opened.add([photos])
        yield opened


def test_search_is_the_oracle_on_the_catalogue(library: Library, photos: Path, model: Model) -> None:
    with catalogue_of(library) as catalogue:
        _, ids, joined = catalogue.codes()
        keys = catalogue.keys(ids)
    codes = model.unpack(np.frombuffer(joined, np.uint8).reshape(len(ids), -1))
    for number in (0, 7, 39, 100):
        x = model.embed(model.prepare(picture(number))[None])
        expected, scores = oracle.search(model.tables(x), codes, 40, np.array(ids))
        hits = library.search(picture(number), k=99)
        assert [hit.id for hit in hits] == expected[0].tolist()
        assert [np.float32(hit.raw) for hit in hits] == scores[0].tolist()
        scale = Scale.of(model.pack(codes), model.M, model.K)
        assert [hit.score for hit in hits] == scale.scores(scores, model.tables(x))[0].tolist()
        assert abs(np.mean([hit.score for hit in hits])) < 1e-6, "0 is the average picture"
        assert [hit.rank for hit in hits] == list(range(1, 41))
        assert [(hit.source, hit.path) for hit in hits] == [keys[hit.id][:2] for hit in hits]
        assert [hit.locator for hit in hits] == [str(photos / hit.path) for hit in hits]
        assert hits[3].read() == (photos / hits[3].path).read_bytes()


def test_path_bytes_array_and_pillow_image_are_one_query(library: Library, photos: Path) -> None:
    path = photos / "004.png"
    image = Image.open(path)
    expected = library.search(path, k=5)
    assert library.search(str(path), k=5) == expected
    assert library.search(path.read_bytes(), k=5) == expected
    assert library.search(np.asarray(image), k=5) == expected
    assert library.search(image, k=5) == expected


def test_several_queries_are_several_searches_in_one(library: Library, photos: Path) -> None:
    queries = [photos / "003.png", picture(8), photos / "001.png"]
    together = library.search(queries, k=4)
    assert [hit.query for hit in together] == [0] * 4 + [1] * 4 + [2] * 4
    for number, query in enumerate(queries):
        alone = [(hit.rank, hit.id, hit.path) for hit in library.search(query, k=4)]
        assert [(hit.rank, hit.id, hit.path) for hit in together if hit.query == number] == alone
    stacked = np.stack([np.asarray(Image.open(photos / name)) for name in ("003.png", "001.png")])
    assert [hit.id for hit in library.search(stacked, k=4)] == [hit.id for hit in together if hit.query != 1]


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("nowhere.jpg", "there is no such file: check the path"),
        (".", "it is a folder: give a picture file"),
        (b"text", ""),
        (np.zeros((4, 4), np.uint8), "a query array must be (height, width, 3) uint8 RGB, not (4, 4) uint8"),
        (
            np.zeros((4, 4, 3), np.float32),
            "a query array must be (height, width, 3) uint8 RGB, not (4, 4, 3) float32",
        ),
        (
            np.zeros((0, 4, 3), np.uint8),
            "a query array must be (height, width, 3) uint8 RGB, not (0, 4, 3) uint8",
        ),
        ([], "no query picture was given: give at least one"),
    ],
)
def test_a_query_that_is_no_picture_is_named(library: Library, query: object, sentence: str) -> None:
    with pytest.raises(PictureError) as error:
        library.search(query)
    assert str(error.value) == sentence or (not sentence and str(error.value))
    if isinstance(query, str):
        assert error.value.__notes__ == [f"query picture: {query}"]


def test_k_below_one_is_refused(library: Library) -> None:
    with pytest.raises(ConfigError, match="k is 0: give a whole number, 1 or more"):
        library.search(picture(0), k=0)


def test_an_empty_library_answers_nothing(place: Path, model: Model) -> None:
    with Library.open(place, create_with=model) as library:
        assert library.search(picture(0)) == []
        assert len(library) == 0


def test_an_open_library_sees_what_another_writer_commits(tmp_path: Path, place: Path, model: Model) -> None:
    photos = fill(tmp_path / "p", 3)
    with Library.open(place, create_with=model) as reader, Library.open(place) as writer:
        assert reader.search(picture(0)) == []
        writer.add([photos])
        assert len(reader.search(picture(0))) == 3
        writer.remove("001.png")
        assert {hit.path for hit in reader.search(picture(0))} == {"000.png", "002.png"}
        write(photos / "000.png", picture(30), time=1_700_000_005)
        writer.add([photos])
        best = reader.search(picture(30), k=1)[0]
        assert np.float32(best.raw) == max(np.float32(hit.raw) for hit in writer.search(picture(30)))


def test_remove_takes_ids_keys_patterns_and_whole_sources(tmp_path: Path, place: Path, model: Model) -> None:
    photos, more = fill(tmp_path / "p", 12), fill(tmp_path / "q", 3, first=20)
    write(photos / "bad.png", b"broken")
    with Library.open(place, create_with=model) as library:
        library.add([photos, more])
        source = next(row.id for row in library.status().sources if row.root == str(photos))
        assert library.remove(1) == 1
        assert library.remove((source, "001.png")) == 1
        assert (
            library.remove(["00[23].png", str(photos / "004.png")]) == 3 + 1
        )  # 002.png of the other source, too
        assert library.remove("bad.png") == 0
        assert library.failures() == []
        assert library.remove(str(more)) == 2
        assert [row.root for row in library.status().sources] == [str(photos)]
        assert len(library) == 7
        assert library.remove([source]) == 7
        assert library.status().sources == []


def test_status_counts_what_there_is(library: Library, photos: Path, model: Model) -> None:
    status = library.status()
    assert (status.pictures, status.missing, status.unreadable, status.failures) == (40, 0, 0, 0)
    assert (status.bits, status.M, status.K, status.format) == (16, 4, 16, FORMAT)
    assert (status.fingerprint, status.method, status.pretraining) == (model.fingerprint, "tiny", "none")
    (source,) = status.sources
    assert (source.kind, source.root, source.present, source.pictures) == ("folder", str(photos), True, 40)
    assert status.bytes == sum(file.stat().st_size for file in library.path.rglob("*") if file.is_file())


def test_searching_imports_neither_torch_nor_the_slow_ones(library: Library, photos: Path) -> None:
    program = (
        "import sys; from sightbook import Library\n"
        "with Library.open(sys.argv[1]) as library: hits = library.search(sys.argv[2], k=3)\n"
        "print(len(hits), *[m for m in ('torch', 'pydantic', 'pyarrow', 'loky', 'transformers') if m in sys.modules])"
    )
    command = [sys.executable, "-c", program, str(library.path), str(photos / "000.png")]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.stdout.split() == ["3"]


def test_a_search_among_some_pictures_is_exact(tmp_path: Path, place: Path, model: Model) -> None:
    photos = fill(tmp_path / "p", 30)
    with Library.open(place, create_with=model) as library:
        library.add([photos], jobs=1)
        every = library.search(photos / "003.png", 30)
        some = {hit.id for hit in every[1::3]} | {10**9}
        found = library.search(photos / "003.png", 5, among=some)
        wanted = [hit for hit in every if hit.id in some][:5]
        assert [(hit.id, hit.raw) for hit in found] == [(hit.id, hit.raw) for hit in wanted]
        assert library.search(photos / "003.png", 5, among=[]) == []
        with pytest.raises(ConfigError, match="leave scan_bits out"):
            library.search(photos / "003.png", 5, among=some, scan_bits=16)
