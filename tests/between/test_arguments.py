"""Whatever a public function is given: an answer, or a SightbookError in one sentence that names the argument."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sightbook
from sightbook import Library, Model, SightbookError
from sightbook.arguments import count, described, flag, number, paths, takes, whole
from sightbook.errors import ConfigError, ModelError, PictureError
from sightbook.evaluate.run import evaluate
from sightbook.ingest.migrate import migrate
from sightbook.learn import register, resolve
from tests.library.pictures import fill, picture
from tests.tiny import tiny_model, tiny_vectors_model


class Odd:
    """An object that nothing takes."""


class BytesPath:
    def __fspath__(self) -> bytes:
        return b"x"


def wrong() -> list[Any]:
    """Values of many kinds, made anew for each call: some are used up, some are closed."""
    whole_file = picture(1)
    closed = Image.open(io.BytesIO(whole_file))
    closed.close()
    return [
        None, 3, 2.5, float("nan"), "3", "", "a\0b", "a\ud800", "x" * 5000, b"xx", [], [1, 2], ["x"], [None],
        [[1], [1, 2]], {}, {1}, Odd(), Odd, BytesPath(), True, np.bool_(True), 10**30, -1, 1j, (i for i in [1]),
        io.BytesIO(b"x"), np.zeros(0), np.zeros((2, 2)), np.zeros((1, 2, 2, 3), np.uint8), np.array([None]),
        np.array(["a"]), Image.open(io.BytesIO(whole_file[:200])), closed, np.str_("x"), np.int64(3),
    ]  # fmt: skip


class Place:
    """A model, a library, a library of vectors and labels in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.photos = fill(folder / "photos", 6)
        self.model = Model.open(tiny_model(folder / "model"))
        self.library = Library.open(folder / "library", create_with=self.model)
        self.library.add(self.photos)
        np.save(folder / "v.npy", np.random.default_rng(0).normal(size=(20, 12)).astype(np.float32))
        self.vector_model = Model.open(tiny_vectors_model(folder / "vector-model"))
        self.vectors = Library.open(folder / "vectors", create_with=self.vector_model)
        self.vectors.add(folder / "v.npy")
        self.photo = str(self.photos / "000.png")
        self.labels = folder / "labels.csv"
        self.labels.write_text("file,label\n" + "".join(f"{i:03}.png,{'ab'[i % 2]}\n" for i in range(6)))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("arguments"))


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a wrong path writes, it writes here."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


Call = Callable[[Place, Path, Any], Any]
LIBRARY: dict[str, Call] = {
    "open": lambda at, new, v: Library.open(v),
    "open, create_with": lambda at, new, v: v is None or Library.open(new / "new", create_with=v),
    "open, fine": lambda at, new, v: Library.open(at.folder / "library", fine=v).close(),
    "plan": lambda at, new, v: Library.plan(v, at.photos),
    "plan, sources": lambda at, new, v: Library.plan(at.folder / "library", v),
    "add": lambda at, new, v: at.library.add(v),
    **{
        f"add, {name}": lambda at, new, v, name=name: at.library.add(at.photos, **{name: v})
        for name in ("model", "moved_from", "retry", "exclude", "forget_excludes", "prune", "seen", "wait")
    },
    "search": lambda at, new, v: at.library.search(v),
    "search, one of two": lambda at, new, v: at.library.search([at.photo, v]),
    **{
        f"search, {name}": lambda at, new, v, name=name: at.library.search(at.photo, **{name: v})
        for name in ("k", "scan_bits", "fine")
    },
    "search_vectors": lambda at, new, v: at.vectors.search_vectors(v),
    "search_vectors, k": lambda at, new, v: at.vectors.search_vectors(np.zeros(12), k=v),
    "search_embeddings": lambda at, new, v: at.library.search_embeddings(v),
    "migrate": lambda at, new, v: migrate(v, at.model),
    "migrate, model": lambda at, new, v: migrate(at.folder / "library", v),
    "migrate, jobs": lambda at, new, v: migrate(at.folder / "library", at.model, jobs=v),
    "search, among": lambda at, new, v: at.library.search(at.photo, among=v),
    "rows": lambda at, new, v: list(at.library.rows(v)),
    "get": lambda at, new, v: at.library.get(v),
    "id_of": lambda at, new, v: at.library.id_of(v),
    "id_of, source of a key": lambda at, new, v: at.library.id_of((v, "000.png")),
    "id_of, path of a key": lambda at, new, v: at.library.id_of(("source", v)),
}
MODEL: dict[str, Call] = {
    "open": lambda at, new, v: Model.open(v),
    "open, threads": lambda at, new, v: Model.open(at.folder / "model", threads=v),
    "fit": lambda at, new, v: Model.fit(v, new / "fitted"),
    "fit, bits": lambda at, new, v: Model.fit(at.folder / "v.npy", new / "bits", bits=v),
    "fit, strength": lambda at, new, v: v is None or Model.fit(at.folder / "v.npy", new / "s", strength=v),
    "prefix": lambda at, new, v: at.model.prefix(v),
    "describe": lambda at, new, v: at.vector_model.describe(v),
    **{
        name: lambda at, new, v, name=name: getattr(at.model, name)(v)
        for name in ("prepare", "embed", "embed_with_features", "assign", "encode", "fine", "tables", "pack", "unpack")
    },
    "symmetric_tables": lambda at, new, v: at.model.symmetric_tables(v),
}  # fmt: skip
_TRAIN = (
    "source",
    "out",
    "bits",
    "nested",
    "method",
    "backbone",
    "train_part",
    "preset",
    "epochs",
    "minutes",
    "device",
)
TRAIN: dict[str, Call] = {
    name: lambda at, new, v, name=name: resolve(**{"source": at.photos, "backbone": "resnet", **{name: v}})
    for name in (*_TRAIN, "config", "settings", "seed", "resume", "only")
}
_EVALUATE = (
    "model",
    "protocol",
    "data",
    "labels",
    "against",
    "R",
    "junk",
    "ap_definition",
    "baselines",
    "validation",
)
EVALUATE: dict[str, Call] = {
    name: lambda at, new, v, name=name: evaluate(
        **{"model": at.model, "protocol": "labelled", "data": at.photos, "labels": at.labels, "jobs": 1}
        | {"baselines": [], **{name: v}}
    )
    for name in (*_EVALUATE, "details")
}


@pytest.mark.parametrize("call", LIBRARY.values(), ids=LIBRARY)
def test_a_library_answers_or_says_what_is_wrong(place: Place, inside: Path, call: Call) -> None:
    check(place, inside, call)


@pytest.mark.parametrize("call", MODEL.values(), ids=MODEL)
def test_a_model_answers_or_says_what_is_wrong(place: Place, inside: Path, call: Call) -> None:
    check(place, inside, call)


@pytest.mark.parametrize("call", TRAIN.values(), ids=TRAIN)
def test_the_settings_of_training_answer_or_say_what_is_wrong(place: Place, inside: Path, call: Call) -> None:
    check(place, inside, call)


@pytest.mark.parametrize("call", EVALUATE.values(), ids=EVALUATE)
def test_evaluating_answers_or_says_what_is_wrong(place: Place, inside: Path, call: Call) -> None:
    check(place, inside, call)


def check(place: Place, inside: Path, call: Call) -> None:
    refused = 0
    for value in wrong():
        try:
            call(place, inside, value)
        except SightbookError as error:
            refused += 1
            assert "\n" not in str(error) and len(str(error)) > 15
    assert refused >= 10, "most of these fit nowhere"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda at: at.library.search(at.photo, k=2.5), r"k is 2\.5 \(float\): give a whole number, 1 or more"),
        (lambda at: at.library.search(at.photo, k="3"), r"k is '3' \(str\): give a whole number"),
        (lambda at: at.library.search(at.photo, k=True), "k is True: give a whole number"),
        (lambda at: at.library.add(b"photos"), r"sources is b'photos' \(bytes\): give a path"),
        (lambda at: at.library.add(at.photos, jobs=0), "jobs is 0: give a whole number, 1 or more"),
        (lambda at: at.library.add(at.photos, retry="no"), r"retry is 'no' \(str\): give True or False"),
        (lambda at: at.library.add(at.photos, forget_excludes="no"), "forget_excludes is 'no'"),
        (lambda at: at.library.remove("a\ud800"), "nothing in .* matches"),
        (lambda at: at.library.remove(("\udcff", "a\ud800")), "nothing in .* matches"),
        (lambda at: at.library.search(io.StringIO("text")), "gives str and not bytes: open it with mode 'rb'"),
        (lambda at: at.model.tables(np.full((1, 16), np.inf)), "x holds numbers that are not finite"),
        (lambda at: Library.open(None), "path is None: give a path"),
        (lambda at: Library.open(""), "path is an empty path"),
        (lambda at: at.model.prepare("nowhere.jpg"), "there is no such file"),
        (lambda at: at.model.prepare(7), r"it is 7 \(int\), and no picture: give a path"),
        (lambda at: at.model.embed(np.zeros((16, 16, 3), np.uint8)), r"shape \(16, 16, 3\) .*array \(N, 16, 16, 3\)"),
        (lambda at: at.model.embed(np.zeros((1, 16, 16, 3))), r"float64: give an array \(N, 16, 16, 3\) of whole"),
        (lambda at: at.model.embed(np.zeros((1, 16, 16, 3), np.uint16)), "pixels are uint16: give uint8"),
        (lambda at: at.model.pack([[1, 2, 3, 16]]), "codes hold 16: codewords count from 0 to 15"),
        (lambda at: at.model.pack([[1, 2, 3, -1]]), "not 0 to 255"),
        (lambda at: at.library.search_embeddings(np.full((1, 16), np.nan)), "x holds numbers that are not finite"),
        (lambda at: at.library.search_embeddings(np.ma.masked_all((1, 16))), "holds values that are masked"),
        (lambda at: at.library.search_embeddings([[1.0] * 15]), r"give an array \(Q, 16\) of numbers"),
        (lambda at: at.library.search(np.ma.masked_all((9, 9, 3), np.uint8)), "masked pixels"),
        (lambda at: at.library.search({at.photo}), "the queries are a set, which has no order"),
        (lambda at: sightbook.train(at.photos, at.folder / "t", bits="64"), r"bits is '64' \(str\)"),
        (lambda at: sightbook.train(at.photos, at.folder / "t", settings=[("tau", 1)]), "settings is a list"),
        (lambda at: resolve(at.photos, minutes=float("inf")), "minutes is inf: give a finite number"),
        (lambda at: register(3, len), "method 3 is a builtin_function_or_method"),
        (lambda at: evaluate(at.model, "labelled", at.photos, baselines=[1]), r"baselines\[0\] is 1 \(int\)"),
    ],
)  # fmt: skip
def test_the_sentence_names_the_argument(place: Place, call: Callable[[Place], Any], says: str) -> None:
    with pytest.raises(SightbookError, match=says):
        call(place)


def test_a_query_may_be_whatever_a_picture_comes_as(place: Place) -> None:
    data = Path(place.photo).read_bytes()
    first = place.library.search(place.photo, 1)
    with Path(place.photo).open("rb") as file:
        for query in (
            np.str_(place.photo), Path(place.photo), data, bytearray(data), memoryview(data), io.BytesIO(data), file,
            {"bytes": data, "path": None}, {"bytes": None, "path": place.photo}, {"bytes": data, "path": "gone.png"},
        ):  # fmt: skip
            assert place.library.search(query, 1) == first
    names = sorted(str(path) for path in place.photos.iterdir())
    listed = place.library.search(names, 2)
    assert [hit.query for hit in listed] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert place.library.search((name for name in names), 2) == listed
    assert place.library.search(np.array(names), 2) == listed
    assert place.library.search(dict.fromkeys(names).keys(), 2) == listed


def test_sources_may_be_any_number_of_paths(place: Place, tmp_path: Path) -> None:
    names = [str(path) for path in place.photos.iterdir()]
    for number_, sources in enumerate(
        (iter(names), set(names), tuple(names), np.array(names), np.str_(place.photos))
    ):
        with Library.open(tmp_path / str(number_), create_with=place.model) as library:
            assert library.add(sources).added == 6


def test_embeddings_and_codes_may_be_lists(place: Place) -> None:
    x = place.model.embed(np.stack([place.model.prepare(picture(i)) for i in range(3)]))
    assert place.library.search_embeddings(x.tolist(), 2) == place.library.search_embeddings(x, 2)
    codes = place.model.assign(x.tolist())
    np.testing.assert_array_equal(codes, place.model.assign(x))
    np.testing.assert_array_equal(place.model.unpack(place.model.pack(codes.tolist()).tolist()), codes)


def test_bad_queries_of_several_are_all_named_by_number(place: Place) -> None:
    data = picture(1)
    cut = Image.open(io.BytesIO(data[:200]))
    closed = Image.open(io.BytesIO(data))
    closed.close()
    with pytest.raises(
        PictureError, match=r"query 1 .*nowhere\.jpg.* no such file.*query 3: .*; search again"
    ) as caught:
        place.library.search([place.photo, "nowhere.jpg", data, cut, closed, 7, {"bytes": None}])
    assert caught.value.queries == (1, 3, 4, 5, 6)
    assert str(caught.value).startswith("5 of 7 query pictures") and "and 2 more" in str(caught.value)
    with pytest.raises(PictureError, match="cut short or damaged") as caught:
        place.library.search(cut)
    assert caught.value.queries == (0,)


def test_a_model_pickles_as_its_folder(place: Place, tmp_path: Path) -> None:
    vectors = np.repeat(np.random.default_rng(1).normal(size=(40, 16)), 10, axis=0)
    fitted = Model.fit(vectors, tmp_path / "m", bits=64)
    for model in (place.model, fitted, fitted.prefix(32)):
        data = pickle.dumps(model)
        again = pickle.loads(data)
        assert len(data) < 1000
        assert (again.fingerprint, again.bits, again.threads) == (
            model.fingerprint,
            model.bits,
            model.threads,
        )
        np.testing.assert_array_equal(again.codebooks, model.codebooks)
    data = pickle.dumps(fitted)
    (tmp_path / "m").rename(tmp_path / "away")
    with pytest.raises(ModelError, match="is not a sightbook model"):
        pickle.loads(data)
    Model.fit(vectors[::-1] * 2 + 1, tmp_path / "m", bits=32)
    with pytest.raises(ModelError, match="holds another model than the one that was pickled"):
        pickle.loads(data)


def test_checks_hand_on_plain_values() -> None:
    assert [whole(value, "n") for value in (3, np.int8(-3), np.uint64(7))] == [3, -3, 7]
    assert type(count(np.int64(3), "n")) is int and type(flag(np.bool_(False), "f")) is bool
    assert number(np.float32(0.5), "x") == 0.5 and number(2, "x") == 2.0
    assert paths(Path("a"), "p") == ["a"] and paths(iter(["a", Path("b")]), "p") == ["a", "b"]
    assert described("y" * 100) == "'" + "y" * 36 + "… (str)"

    @takes(k=count)
    def asked(a: int, k: int = 5, *rest: int, **others: int) -> tuple[object, ...]:
        return a, k, rest, others

    assert asked(1) == (1, 5, (), {}) and asked(1, np.int8(2), 3, z=4) == (1, 2, (3,), {"z": 4})
    with pytest.raises(ConfigError, match="k is 0: give a whole number, 1 or more"):
        asked(1, 0)
    with pytest.raises(TypeError, match="missing a required argument: 'a'"):
        asked(k=1)  # type: ignore[call-arg]
