"""Fine codes in a library: in step with the pictures through every verb, in the answers, and never half there."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from sightbook.catalogue import create, folder, meta, snapshot
from sightbook.catalogue import fine as keeping
from sightbook.catalogue import migration as gathering
from sightbook.catalogue.catalogue import NAME, Catalogue
from sightbook.catalogue.snapshot import FINE_NAME
from sightbook.catalogue.versions import FORMAT
from sightbook.codes import oracle
from sightbook.errors import ConfigError, LibraryError, ModelError
from sightbook.ingest import add as ingest
from sightbook.ingest.migrate import migrate
from sightbook.library import export
from sightbook.library.care.check import check
from sightbook.library.care.compact import compact
from sightbook.library.care.salvage import salvage
from sightbook.library.library import Library
from sightbook.library.status import advise
from sightbook.model.model import Model
from sightbook.progress import Notice
from sightbook.search.request import Request
from sightbook.search.view import Present, View, Want
from tests.library.held import catalogue_of, finely_held, held, ids, stamp
from tests.library.pictures import content, fill, picture, write
from tests.library.test_processes import start, wait_for
from tests.tiny import tiny_described


@pytest.fixture(scope="module")
def fine_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model.open(tiny_described(tmp_path_factory.mktemp("fine")), threads=1)


@pytest.fixture(scope="module")
def other_fine(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Other codes and fine codes, of pictures of another size."""
    return Model.open(tiny_described(tmp_path_factory.mktemp("fine"), seed=1, size=32, bits=64), threads=1)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return fill(tmp_path / "p", 12)


@pytest.fixture
def library(photos: Path, place: Path, fine_model: Model) -> Path:
    with Library.open(place, create_with=fine_model) as made:
        made.add([photos], jobs=1)
        made.search(photos / "000.png")
    return place


def fine_rows(library: Library) -> int:
    """Fine codes of all pictures, also of those that cannot be found now."""
    with catalogue_of(library) as catalogue:
        (count,) = catalogue.connection.execute("SELECT count(*) FROM fine").fetchone()
    return int(count)


def fine_content(photos: Path, model: Model) -> dict[str, bytes]:
    """What `finely_held` must be, each picture on its own."""
    return {
        name: model.fine(model.embed(model.prepare((photos / name).read_bytes())[None]))[0].tobytes()
        for name in content(photos, model)
    }


def in_step(library: Library, photos: Path, model: Model) -> bool:
    return held(library) == content(photos, model) and finely_held(library) == fine_content(photos, model)


def by_the_oracle(
    library: Library, x: np.ndarray, k: int, kept: list[int] | None = None
) -> list[tuple[int, int, np.float32]]:
    """(query, id, raw) as the slow way gives them of the catalogue's rows."""
    model = library.model
    with catalogue_of(library) as catalogue:
        _, found, joined = catalogue.codes()
        fine = catalogue.fine_codes()[2]
    every = np.array(found, np.int64)
    some = np.isin(every, every if kept is None else kept)
    codes = model.unpack(np.frombuffer(joined, np.uint8).reshape(len(every), -1))[some]
    rows = np.frombuffer(fine, np.int8).reshape(len(every), -1)[some]
    answer = oracle.fine_search(
        model.tables(x), codes, model.fine(x), rows, gain=model.fine_gain, k=k, ids=every[some]
    )
    return [
        (q, id, raw)
        for q in range(len(x))
        for id, raw in zip(answer[0][q].tolist(), answer[1][q], strict=True)
    ]


def embeddings(model: Model, count: int = 5) -> np.ndarray:
    pixels = np.random.default_rng(8).integers(
        0, 256, (count, model.frame.size, model.frame.size, 3), np.uint8
    )
    return model.embed(pixels)


def test_a_librarys_answers_are_the_oracles_of_codes_and_fine_codes(
    tmp_path: Path, place: Path, fine_model: Model
) -> None:
    photos = fill(tmp_path / "p", 500)
    for n in range(40):
        write(photos / f"copy {n}.png", picture(n % 4))  # ties
    x = embeddings(fine_model)
    with Library.open(place, create_with=fine_model) as library:
        library.add([photos], jobs=1)
        for k in (1, 10, 450, 999):
            hits = library.search_embeddings(x, k)
            assert [(hit.query, hit.id, hit.raw) for hit in hits] == by_the_oracle(library, x, k)
            for q in range(len(x)):
                found = [hit.score for hit in hits if hit.query == q]
                assert found == sorted(found, reverse=True) and found[0] <= 1
        some = list(range(3, 500, 7))
        hits = library.search_embeddings(x, 10, among=some)
        assert [(hit.query, hit.id, hit.raw) for hit in hits] == by_the_oracle(library, x, 10, some)
        # 1,000 candidates of the first 16 bits are all there are here.
        hits = library.search_embeddings(x, 10, scan_bits=16)
        assert [(hit.query, hit.id, hit.raw) for hit in hits] == by_the_oracle(library, x, 10)
        codes = [(hit.query, hit.id, hit.raw) for hit in library.search_embeddings(x, 10, fine=False)]
        assert codes != by_the_oracle(library, x, 10)
    with Library.open(tmp_path / "short", create_with=fine_model, fine=False) as short:
        short.add([photos], jobs=1)
        assert codes == [(hit.query, hit.id, hit.raw) for hit in short.search_embeddings(x, 10)]
        with pytest.raises(ConfigError, match="keeps no fine codes to search by"):
            short.search_embeddings(x, 10, fine=True)


def test_add_change_move_remove_and_prune_keep_them_in_step(
    library: Path, photos: Path, fine_model: Model
) -> None:
    with Library.open(library) as opened:
        assert in_step(opened, photos, fine_model) and len(held(opened)) == 12
        before = ids(opened)
        write(photos / "001.png", picture(50), 1_700_000_009)
        write(photos / "new.png", picture(51))
        (photos / "002.png").rename(photos / "moved.png")
        (photos / "003.png").unlink()
        write(photos / "004.png", b"spoiled", 1_700_000_009)
        opened.add([photos], jobs=1)
        assert in_step(opened, photos, fine_model)
        assert ids(opened)["moved.png"] == before["002.png"] and ids(opened)["001.png"] == before["001.png"]
        write(photos / "003.png", picture(3))  # back, unchanged: not read again
        assert opened.add([photos], jobs=1).unchanged == 12
        assert in_step(opened, photos, fine_model)
        (photos / "005.png").unlink()
        assert opened.add([photos], jobs=1, prune=True).removed == 1
        assert in_step(opened, photos, fine_model)
        assert opened.remove(["006.png", "007.png"]) == 2
        assert (len(finely_held(opened)), fine_rows(opened)) == (9, 10)
        assert len(opened.search(photos / "000.png", 50)) == 9
        assert opened.remove([str(photos)]) == 10, "pictures are counted, not rows"
        assert fine_rows(opened) == 0
        assert opened.search(photos / "000.png") == []


def test_what_is_kept_stands_in_library_json_and_status(
    library: Path, place: Path, fine_model: Model
) -> None:
    facts = json.loads((library / "library.json").read_text())
    assert (facts["format"], facts["fine"]) == (FORMAT, 24)
    with Library.open(library) as opened, catalogue_of(opened) as catalogue:
        status = opened.status()
        assert (status.format, catalogue.format) == (FORMAT, FORMAT)
        assert (status.fine_bytes, opened.facts.fine_bytes) == (24, 24)


def test_status_advises_to_learn_anew_when_a_library_has_grown(
    library: Path, fine_model: Model, model: Model
) -> None:
    with Library.open(library) as opened:
        status = opened.status()
        learned = fine_model.config.trained["pictures"]
        assert status.learned_from == learned and status.advice is None, (
            "no more pictures than it was learned from"
        )
    config = fine_model.config
    for pictures, said in ((2 * learned - 1, False), (2 * learned, True)):
        assert (advise(config, pictures) is not None) is said

    def advice(learned_from: int, pictures: int, kind: str) -> str | None:
        trained = {"pictures": learned_from}
        return advise(replace(config, trained=trained, network={"backbone": {"kind": kind}}), pictures)

    told = str(advice(30, 1000, "builtin"))
    assert "30 pictures" in told and "1,000" in told and "--learn" in told
    assert "--learn" not in str(advice(30, 1000, "pretrained")), "the built-in network may be the weaker one"
    assert advice(20_000, 10_000_000, "builtin") is None, "no more are learned from"
    assert advice(0, 10, "builtin") is None, "not known"


def test_without_them_a_library_is_one_of_codes_alone(
    tmp_path: Path, photos: Path, fine_model: Model, model: Model
) -> None:
    for number, (made_with, fine) in enumerate(((fine_model, False), (model, None), (model, False))):
        place = tmp_path / f"l{number}"
        with Library.open(place, create_with=made_with, fine=fine) as library:
            library.add([photos], jobs=1)
            assert library.status().fine_bytes == 0 and finely_held(library) == {}
        facts = json.loads((place / "library.json").read_text())
        assert facts.get("fine") == (None if fine is None else 0)
        with Library.open(place) as library:
            write(photos / f"later {number}.png", picture(70 + number))
            assert library.add([photos], jobs=1).added == 1
            assert held(library) == content(photos, made_with)
            assert len(library.search(photos / "000.png", 50)) == 13 + number
        assert {finding.verdict for finding in check(place)} == {"ok"}


def test_what_was_decided_stays(library: Path, tmp_path: Path, fine_model: Model, model: Model) -> None:
    Library.open(library, create_with=fine_model, fine=True).close()
    with pytest.raises(LibraryError, match=r"was made with fine codes, which stays so: leave --no-fine out"):
        Library.open(library, fine=False)
    Library.open(tmp_path / "without", create_with=fine_model, fine=False).close()
    with pytest.raises(LibraryError, match=r"was made without fine codes, which stays so: leave --fine out"):
        Library.open(tmp_path / "without", create_with=fine_model, fine=True)
    with pytest.raises(ModelError, match="has no fine codes that a library could keep"):
        Library.open(tmp_path / "plain", create_with=model, fine=True)
    assert not (tmp_path / "plain").exists()


def test_a_making_that_was_interrupted_may_be_decided_anew(
    place: Path, fine_model: Model, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(create, "copy_model", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            Library.open(place, create_with=fine_model)
    with Library.open(place, create_with=fine_model, fine=False) as library:
        assert library.facts.fine == 0 and library.add([photos], jobs=1).added == 12
    (place / "library.json").unlink()
    with pytest.raises(LibraryError, match=r"holds pictures without fine codes: leave --fine out"):
        Library.open(place, create_with=fine_model, fine=True)
    with Library.open(place, create_with=fine_model) as library:
        assert library.facts.fine == 0 and len(library) == 12


def test_nobody_asked_and_there_are_too_many(
    place: Path, tmp_path: Path, photos: Path, fine_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert keeping.UNASKED == 1_000_000
    for module in (keeping, ingest):
        monkeypatch.setattr(module, "UNASKED", 11)
    said: list[str] = []
    with Library.open(place, create_with=fine_model) as library:
        assert library.facts.fine == 24
        with monkeypatch.context() as patch:  # killed after the catalogue knows
            patch.setattr(folder, "write_atomic", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                library.add([photos], jobs=1)
        assert library.facts.fine == 0
        library.add([photos], jobs=1, listener=lambda event: said.append(getattr(event, "text", "")))
        assert json.loads((place / "library.json").read_text())["fine"] == 0
        assert (
            held(library) == content(photos, fine_model) and len(library.search(photos / "000.png", 20)) == 12
        )
        assert library.status().fine_bytes == 0
    with Library.open(tmp_path / "asked", create_with=fine_model, fine=True) as library:
        library.add([photos], jobs=1)
        assert in_step(library, photos, fine_model)
    with Library.open(tmp_path / "later", create_with=fine_model) as library:
        library.add([photos / "000.png"], jobs=1)
        library.add([photos], jobs=1)
        assert library.facts.fine == 24, "decided by the first pictures"


def test_that_too_many_are_there_is_told(
    place: Path, photos: Path, fine_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (keeping, ingest):
        monkeypatch.setattr(module, "UNASKED", 11)
    said: list[str] = []
    with Library.open(place, create_with=fine_model) as library:
        library.add(
            [photos],
            jobs=1,
            listener=lambda event: said.append(event.text) if isinstance(event, Notice) else None,
        )
        assert library.facts.fine == 0
    assert said == [
        "more than 11 pictures: no fine codes are kept; a new library with --fine keeps them, at 24 bytes a picture"
    ]


@pytest.mark.parametrize("way", ["plain to fine", "fine to plain", "fine to fine", "declined to fine"])
def test_a_migration_brings_the_new_models_fine_codes_or_none(
    place: Path, photos: Path, way: str, *, model: Model, fine_model: Model, other_fine: Model
) -> None:
    old, new, asked = {
        "plain to fine": (model, fine_model, None),
        "fine to plain": (fine_model, model, None),
        "fine to fine": (fine_model, other_fine, None),
        "declined to fine": (fine_model, other_fine, False),
    }[way]
    with Library.open(place, create_with=old, fine=asked) as opened:
        opened.add([photos], jobs=1)
        opened.search(photos / "004.png")
        (photos / "007.png").unlink()  # missing: without a fine code, until it is back
        write(photos / "008.png", b"spoiled")
        report = migrate(place, new, jobs=1)
        assert (report.encoded, report.missing, report.failed) == (10, 1, 1)
        kept = way in ("plain to fine", "fine to fine")
        assert len(opened.search(photos / "004.png", 50)) == 10, "one that was open all the time"
        assert opened.facts.fine_bytes == (24 if kept else 0)
        assert opened.status().format == json.loads((place / "library.json").read_text())["format"] == FORMAT
        assert {finding.verdict for finding in check(place)} <= {"ok", "note"}
        write(photos / "007.png", picture(7))
        write(photos / "008.png", picture(8))
        opened.add([photos], jobs=1)
        assert held(opened) == content(photos, new)
        if kept:
            assert in_step(opened, photos, new)
            x = embeddings(new)
            hits = opened.search_embeddings(x, 12)
            assert [(hit.query, hit.id, hit.raw) for hit in hits] == by_the_oracle(opened, x, 12)
        else:
            assert finely_held(opened) == {}


def test_a_migration_that_was_stopped_goes_on_and_one_without_them_begins_anew(
    place: Path, photos: Path, model: Model, fine_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Library.open(place, create_with=model) as opened:
        opened.add([photos], jobs=1)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(gathering, "swap", stop)
        with pytest.raises(KeyboardInterrupt):
            migrate(place, fine_model, jobs=1)
    said: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(keeping, "UNASKED", 11)  # another decision than before
        patch.setattr(gathering, "swap", stop)
        with pytest.raises(KeyboardInterrupt):
            migrate(place, fine_model, jobs=1, listener=lambda e: said.append(str(e)))
        assert not any("encoded before" in each for each in said)
    for again in (False, True):
        said.clear()
        with monkeypatch.context() as patch:
            if not again:
                patch.setattr(gathering, "swap", stop)
                with pytest.raises(KeyboardInterrupt):
                    migrate(place, fine_model, jobs=1)
            else:
                migrate(place, fine_model, jobs=1, listener=lambda e: said.append(str(e)))
    assert any("12 pictures were encoded before" in each for each in said)
    with Library.open(place) as opened:
        assert in_step(opened, photos, fine_model)


@pytest.mark.parametrize("damage", ["DELETE FROM fine WHERE id IN (2, 5)", "UPDATE fine SET code = x'01' WHERE id = 2",
                                    "DROP TABLE fine", "INSERT INTO fine VALUES (99, x'00')"])  # fmt: skip
def test_check_finds_what_lacks_one_and_the_next_add_makes_it(
    library: Path, photos: Path, fine_model: Model, damage: str
) -> None:
    with Library.open(library) as opened:
        before = ids(opened)
    catalogue = Catalogue.write(library / NAME)
    catalogue.connection.execute(damage)
    meta.advance(catalogue)
    catalogue.close()
    lacking = {"DELET": 2, "UPDAT": 1, "DROP ": 12, "INSER": 0}[damage[:5]]
    with Library.open(library) as opened:
        if lacking:
            with pytest.raises(LibraryError, match=r"sightbook check|is damaged"):
                opened.search(photos / "000.png")
        assert len(opened.search(photos / "000.png", 50, fine=False)) == 12
        (finding,) = [finding for finding in check(library) if finding.verdict == "repaired"]
        told = f"{lacking} pictures had none, or a damaged one" if lacking else "1 of pictures that are gone"
        assert finding.what == "fine codes" and told in finding.text
        assert len(opened.search(photos / "000.png", 50)) == 12 - lacking
        assert {finding.verdict for finding in check(library)} <= {"ok", "note"}
        opened.add([photos], jobs=1)
        assert in_step(opened, photos, fine_model) and ids(opened) == before
        assert len(opened.search(photos / "000.png", 50)) == 12


def test_salvage_saves_them_and_what_lost_its_own_is_read_again(
    library: Path, photos: Path, fine_model: Model
) -> None:
    catalogue = Catalogue.write(library / NAME)
    catalogue.connection.execute("UPDATE pictures SET code = x'00' WHERE id = 3")
    catalogue.connection.execute("DELETE FROM fine WHERE id = 7")
    catalogue.close()
    assert salvage(library) == (11, 0)
    with Library.open(library) as opened:
        assert len(opened) == len(finely_held(opened)) == 10
        opened.add([photos], jobs=1)
        assert in_step(opened, photos, fine_model)
    assert {finding.verdict for finding in check(library)} == {"ok"}


def test_the_cache_of_fine_codes_is_used_when_sound_and_made_anew_when_not(
    library: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answers() -> list[tuple[int, float]]:
        with Library.open(library) as opened:
            return [(hit.id, hit.raw) for hit in opened.search(photos / "004.png", 12)]

    truth = answers()
    file = library / "cache" / FINE_NAME
    sound = file.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(Catalogue, "fine_codes", lambda self: pytest.fail("the rows were read"))
        assert answers() == truth
    for damaged in (
        b"",
        sound[:-1],
        sound[:-1] + bytes([sound[-1] ^ 1]),
        sound[:30] + b"~" + sound[31:],
        b"hello",
    ):
        file.write_bytes(damaged)
        assert answers() == truth and file.read_bytes() == sound
    file.unlink()
    file.mkdir()
    assert answers() == truth


def test_a_mapped_cache_outlives_its_replacement(library: Path, photos: Path) -> None:
    with Library.open(library) as one, Library.open(library) as other:
        truth = [(hit.id, hit.raw) for hit in one.search(photos / "004.png", 12)]
        view = View.build(library, Present("", one.facts, one.model), Want(one.facts.M, True), None)
        assert view.fine is not None and view.count == 12
        other.remove(["011.png"])
        with Library.open(library) as third:  # writes the cache anew
            assert len(third.search(photos / "004.png", 50)) == 11
        x = one.model.embed(one.model.prepare((photos / "004.png").read_bytes())[None])
        found = view.search(x, Request(12))
        assert list(zip(found.ids[0].tolist(), found.raw[0].tolist(), strict=True)) == truth
        assert len(one.search(photos / "004.png", 50)) == 11


def test_a_cache_that_lies_is_found_out(library: Path) -> None:
    catalogue = Catalogue.read(library / NAME)
    found = snapshot.load(catalogue, library / "cache", 4, fine=True)
    assert found.fine is not None and not found.fine.flags.writeable
    snapshot.write_fine(library / "cache" / FINE_NAME, found.stamp, found.fine[::-1])
    catalogue.close()
    (finding,) = [finding for finding in check(library) if finding.verdict == "repaired"]
    assert finding.what == "cache"
    assert {finding.verdict for finding in check(library)} == {"ok"}


def test_codes_and_fine_codes_are_of_one_state_whichever_is_in_the_cache(library: Path, photos: Path) -> None:
    with Library.open(library) as opened:
        opened.remove(["003.png"])
        opened.codes()  # the codes' file is of the new state, the fine codes' of the old
        hits = opened.search(photos / "004.png", 50)
        x = opened.model.embed(opened.model.prepare((photos / "004.png").read_bytes())[None])
        assert [(hit.query, hit.id, hit.raw) for hit in hits] == by_the_oracle(opened, x, 50)


def test_compacting_keeps_answers(library: Path, photos: Path) -> None:
    with Library.open(library) as opened:
        opened.remove(["001.png", "002.png"])
        before = [(hit.id, hit.raw) for hit in opened.search(photos / "004.png", 50)]
        compact(library)
        assert [(hit.id, hit.raw) for hit in opened.search(photos / "004.png", 50)] == before
    assert (library / "cache" / FINE_NAME).exists()


def test_parquet_holds_them_and_faiss_does_without(
    library: Path, photos: Path, tmp_path: Path, fine_model: Model
) -> None:
    import faiss

    with Library.open(library) as opened:
        opened.remove(["003.png"])
        assert export.to_parquet(opened, tmp_path / "out.parquet") == 11
        table = pq.read_table(tmp_path / "out.parquet")
        assert table.schema.field("fine").type.byte_width == 24
        assert float(table.schema.metadata[b"sightbook.fine.limit"]) == fine_model.config.fine["limit"]
        rows = {row["path"]: row["fine"] for row in table.to_pylist()}
        wanted = fine_content(photos, fine_model)
        assert rows == {path: code for path, code in wanted.items() if path != "003.png"}
        export.to_faiss(opened, tmp_path / "out.faiss")
        x = embeddings(fine_model)
        found = faiss.read_index(str(tmp_path / "out.faiss")).search(x, 11)[1]
        assert found.ravel().tolist() == [hit.id for hit in opened.search_embeddings(x, 11, fine=False)]


_TURN = """
import os, sys
os.environ["OMP_NUM_THREADS"] = "1"
from pathlib import Path
from sightbook.ingest import commit
from sightbook.library.library import Library
from tests.library.pictures import picture, write
commit.BATCH = 5
photos = Path(sys.argv[2])
with Library.open(sys.argv[1]) as library:
    for turn in range(1, 9):
        if turn in (3, 5, 7):
            sys.stdin.readline()  # until the reader has seen a newer state
        for n in range(20):
            write(photos / f"{n:03}.png", picture(n + 100 * (turn % 2)), 1_700_000_000 + turn)
        library.add([photos], jobs=1)
"""


def test_a_reader_beside_a_writer_never_mixes_two_states(
    tmp_path: Path, place: Path, fine_model: Model
) -> None:
    photos = fill(tmp_path / "p", 20)
    x = embeddings(fine_model, 1)
    tables, asked, totals = fine_model.tables(x)[0], fine_model.fine(x), {}
    for n in range(20):
        totals[f"{n:03}.png"] = set()
        for seed in (n, n + 100):
            one = fine_model.embed(fine_model.prepare(picture(seed))[None])
            codes, fine = fine_model.assign(one), fine_model.fine(one)
            total = oracle.fine_search(tables[None], codes, asked, fine, gain=fine_model.fine_gain, k=1)[1]
            totals[f"{n:03}.png"].add(float(total[0, 0]))
    with Library.open(place, create_with=fine_model) as library:
        library.add([photos], jobs=1)
        child = subprocess.Popen(
            [sys.executable, "-c", _TURN, str(place), str(photos)], stdin=subprocess.PIPE, text=True,
        )  # fmt: skip
        states = {stamp(library)}
        while child.poll() is None:
            for hit in library.search_embeddings(x, 20):
                assert hit.raw in totals[hit.path]
            if (state := stamp(library)) not in states:
                states.add(state)
                if len(states) <= 4:
                    child.stdin.write("\n")
                    child.stdin.flush()
        child.communicate()
        assert child.returncode == 0 and len(states) > 3
        assert in_step(library, photos, fine_model)


def test_a_reader_beside_a_writer_reads_only_fine_codes_that_are_new(
    library: Path, photos: Path, fine_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[list[int]] = []
    whole, some = Catalogue.fine_codes, Catalogue.fine_of
    monkeypatch.setattr(Catalogue, "fine_codes", lambda self: read.append(["all"]) or whole(self))
    monkeypatch.setattr(Catalogue, "fine_of", lambda self, ids: read.append(list(ids)) or some(self, ids))
    x = embeddings(fine_model)
    with Library.open(library) as reader, Library.open(library) as writer:

        def answers() -> list[tuple[int, int, float]]:
            return [(hit.query, hit.id, hit.raw) for hit in reader.search_embeddings(x, 20)]

        answers()
        assert read == [], "from the cache"
        write(photos / "100.png", picture(100))
        writer.add([photos], jobs=1)
        answers()
        assert read == [["all"]]
        before = ids(reader)
        (photos / "003.png").unlink()
        write(photos / "005.png", picture(105), 1_700_000_009)  # keeps its id
        write(photos / "101.png", picture(101))
        writer.add([photos], jobs=1)
        found = answers()
        assert read[1:] == [[before["005.png"], max(ids(reader).values())]]
        assert found == by_the_oracle(reader, x, 20) and len(found) == 5 * 13
        write(photos / "003.png", picture(3), 1_700_000_009)
        writer.add([photos], jobs=1)
        assert answers() == by_the_oracle(reader, x, 20)
        assert read[-2] == [before["003.png"]], "and the oracle's own, last"
        write(photos / "102.png", picture(102))
        writer.add([photos], jobs=1)
        raw = Catalogue.write(library / NAME)
        raw.connection.execute("DELETE FROM fine WHERE id = (SELECT max(id) FROM fine)")
        raw.close()
        with pytest.raises(LibraryError, match="sightbook check"):
            answers()


def test_a_killed_add_leaves_no_picture_without_its_fine_code(
    tmp_path: Path, place: Path, fine_model: Model
) -> None:
    photos = fill(tmp_path / "p", 120)
    for count in (16, 48):
        child = start(place, fine_model, photos, stops=(4,))
        wait_for(child, place, count)
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        with Library.open(place) as library:
            assert held(library).keys() == finely_held(library).keys() and len(library) >= count
            wanted = fine_content(photos, fine_model)
            assert all(wanted[path] == code for path, code in finely_held(library).items())
        assert {finding.verdict for finding in check(place)} <= {"ok", "repaired", "note"}
    with Library.open(place) as library:
        library.add([photos], jobs=1)
        assert in_step(library, photos, fine_model)


def test_a_batch_that_fails_leaves_neither_codes_nor_fine_codes(
    library: Path, photos: Path, fine_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(photos / "new.png", picture(90))
    write(photos / "001.png", picture(91), 1_700_000_009)
    with Library.open(library) as opened:
        before = (held(opened), finely_held(opened))

        def fail(self: Catalogue) -> None:
            raise sqlite3.OperationalError("disk I/O error")

        with monkeypatch.context() as patch:
            patch.setattr(meta, "advance", fail)  # the last statement of the batch
            with pytest.raises(LibraryError):
                opened.add([photos], jobs=1)
        assert (held(opened), finely_held(opened)) == before
        opened.add([photos], jobs=1)
        assert in_step(opened, photos, fine_model)
