"""Who does the work: another encoder than ours, in another process, and one that gets it wrong."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from sightbook.errors import ConfigError
from sightbook.images.entry import Entry
from sightbook.images.sources import open_sources
from sightbook.ingest.migrate import migrate
from sightbook.library.export import embeddings_to_parquet
from sightbook.library.library import Library
from sightbook.model.encode import Encoded, Failed, encode
from sightbook.model.model import Model
from tests.images.pictures import write_parquet, write_tar
from tests.ingest.test_add import counts
from tests.library.held import held, ids
from tests.library.pictures import content, fill, picture, write
from tests.tiny import tiny_described, tiny_vectors_model

Results = Iterable[Encoded | Failed]

_WORKER = """
import pickle, sys
from sightbook.model.encode import encode
entries, model = pickle.load(sys.stdin.buffer)
pickle.dump(list(encode(entries, model, jobs=1)), sys.stdout.buffer)
"""


def elsewhere(entries: Sequence[Entry], model: Model) -> Iterator[Encoded | Failed]:
    """A toy cluster: every three entries go to a process that knows nothing but what is pickled."""
    for start in range(0, len(entries), 3):
        sent = pickle.dumps((entries[start : start + 3], model))
        done = subprocess.run([sys.executable, "-c", _WORKER], input=sent, capture_output=True, check=True)
        yield from pickle.loads(done.stdout)


def sources(folder: Path) -> list[Path]:
    """A source of each kind of picture."""
    fill(folder / "photos", 3)
    write_tar(folder / "a.tar", {"x/a.png": picture(10), "b.png": picture(11)})
    write_parquet(folder / "p.parquet", [picture(12), picture(13)], [0, 1])
    records = np.random.default_rng(0).integers(0, 256, (3, 3073), np.uint8)
    records[:, 0] = (0, 1, 2)
    write(folder / "data_batch_1.bin", records.tobytes())
    return [folder / name for name in ("photos", "a.tar", "p.parquet", "data_batch_1.bin")]


def test_entries_of_every_kind_and_models_survive_a_pickle(tmp_path: Path, model: Model) -> None:
    np.save(tmp_path / "v.npy", np.random.default_rng(1).normal(size=(4, 12)).astype(np.float32))
    vectors = Model.open(tiny_vectors_model(tmp_path / "vectors", F=12))
    described = Model.open(tiny_described(tmp_path / "described"), threads=1)
    places = sources(tmp_path)
    kinds = set()
    for own, given in ((model, places), (described, places), (vectors, [tmp_path / "v.npy"])):
        for source in open_sources(given):
            kinds.add(source.kind)
            entries = list(source.entries())
            again, other = pickle.loads(pickle.dumps((entries, own)))
            assert again == entries and [each.origin for each in again] == [each.origin for each in entries]
            assert [each.read() for each in again] == [each.read() for each in entries]
            assert other.fingerprint == own.fingerprint
            pairs = list(zip(encode(entries, own, jobs=1), encode(again, other, jobs=1), strict=True))
            for one, two in pairs:
                assert isinstance(one, Encoded) and isinstance(two, Encoded)
                assert (one.digest, one.codes.tobytes()) == (two.digest, two.codes.tobytes())
    assert kinds == {"folder", "tar", "parquet", "cifar", "vectors"}


def test_an_encoder_in_another_process_adds_migrates_and_exports_as_ours_does(
    tmp_path: Path, model: Model, other_model: Model
) -> None:
    places = sources(tmp_path)
    write(tmp_path / "photos" / "bad.png", b"broken")
    made = {}
    for name, encoder in (("ours", None), ("theirs", elsewhere)):
        with Library.open(tmp_path / name, create_with=model) as library:
            report = library.add(places, encode=encoder)
            assert counts(report) == (10, 0, 0, 1, 0, 0)
            first = held(library)
            migrate(library.path, other_model, encode=encoder)
            out = tmp_path / f"{name}.parquet"
            assert embeddings_to_parquet(library, out, encode=encoder) == 10
            rows = pq.read_table(out).to_pylist()
            made[name] = first, held(library), ids(library), [(row["id"], row["path"]) for row in rows]
            assert library.add(places, encode=encoder).unchanged == 10
    assert made["ours"] == made["theirs"]


def swapped(results: list[Any]) -> Results:
    return [*results[:4], results[5], results[4], *results[6:]]


def short(results: list[Any]) -> Results:
    return results[:-1]


def long(results: list[Any]) -> Results:
    return [*results, results[-1]]


def doubled(results: list[Any]) -> Results:
    return [*results[:6], results[5], *results[6:]]


def wordy(results: list[Any]) -> Results:
    return [*results[:2], "a code", *results[3:]]


def of_another_length(results: list[Any]) -> Results:
    return [*results[:3], replace(results[3], codes=results[3].codes[:-1]), *results[4:]]


def of_no_codeword(results: list[Any]) -> Results:
    return [*results[:3], replace(results[3], codes=results[3].codes + 16), *results[4:]]


def without_digest(results: list[Any]) -> Results:
    return [replace(results[0], digest=b"short"), *results[1:]]


def with_other(name: str, results: list[Any], value: object = None) -> Results:
    return [results[0], replace(results[1], **{name: value}), *results[2:]]


@pytest.mark.parametrize(
    ("change", "kept", "sentence"),
    [
        (swapped, 4, r"gave the result of .*005\.png where the result of .*004\.png was due"),
        (short, 7, r"gave nothing more where the result of .*007\.png was due"),
        (long, 8, "gave the result of .* after the last one"),
        (doubled, 6, r"gave the result of .*005\.png where the result of .*006\.png was due"),
        (wordy, 2, "gave a str where the result of"),
        (of_another_length, 3, r"codes an array of shape \(3,\) and type uint8"),
        (of_no_codeword, 3, "codewords count from 0 to 15"),
        (without_digest, 0, r"gave digest b'short' \(bytes\), about a About"),
        *[(partial(with_other, name), 1, f"{name} None") for name in ("digest", "about", "codes", "x")],
        (partial(with_other, "codes", value=[0] * 4), 1, "codes a list"),
    ],
)
def test_an_encoder_that_gives_the_wrong_results_is_named_and_nothing_wrong_is_kept(
    tmp_path: Path,
    model: Model,
    change: Callable[[list[Any]], Results],
    kept: int,
    sentence: str,
) -> None:
    photos = fill(tmp_path / "p", 8)

    def wrong(entries: Sequence[Entry], model: Model) -> Results:
        return change(list(encode(entries, model, jobs=1)))

    with Library.open(tmp_path / "library", create_with=model) as library:
        with pytest.raises(ConfigError, match=sentence):
            library.add(photos, encode=wrong)
        truth = content(photos, model)
        assert held(library) == {name: truth[name] for name in sorted(truth)[:kept]}
        assert counts(library.add(photos)) == (8 - kept, 0, kept, 0, 0, 0)
        assert held(library) == truth


def test_an_encoder_that_raises_costs_what_it_had_not_given(
    tmp_path: Path, place: Path, model: Model, other_model: Model
) -> None:
    photos = fill(tmp_path / "p", 8)
    closed = []

    def failing(entries: Sequence[Entry], model: Model) -> Iterator[Encoded | Failed]:
        try:
            for number, result in enumerate(encode(entries, model, jobs=1)):
                if number == 5:
                    raise RuntimeError("a node was lost")
                yield result
        finally:
            closed.append(True)

    with Library.open(place, create_with=model) as library:
        with pytest.raises(RuntimeError, match="a node was lost"):
            library.add(photos, encode=failing)
        assert len(library) == 5 and closed == [True]
        library.add(photos)
        before = held(library)
        with pytest.raises(RuntimeError, match="a node was lost"):
            migrate(place, other_model, encode=failing)
        assert held(library) == before and library.facts.fingerprint == model.fingerprint
        assert migrate(place, other_model).encoded == 8
        assert held(library) == content(photos, other_model)
        with pytest.raises(ConfigError, match="encode is 'elsewhere'"):
            library.add(photos, encode="elsewhere")  # type: ignore[arg-type]
