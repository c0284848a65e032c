"""Another model for a library: the old codes answer until the swap, the new ones from then on, whatever happens."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from sightbook.catalogue import folder
from sightbook.catalogue import migration as gathering
from sightbook.catalogue.catalogue import NAME, Catalogue
from sightbook.errors import LibraryError
from sightbook.ingest.migrate import migrate
from sightbook.library.care.check import check
from sightbook.library.library import Library
from sightbook.model.model import Model
from tests.library.held import held, ids
from tests.library.pictures import content, fill, picture, write
from tests.tiny import tiny_model


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return fill(tmp_path / "p", 12)


@pytest.fixture
def library(photos: Path, place: Path, model: Model) -> Path:
    with Library.open(place, create_with=model) as made:
        made.add([photos])
    return place


@pytest.fixture(scope="module")
def longer(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Codes of another length, of pictures of another size."""
    return Model.open(tiny_model(tmp_path_factory.mktemp("longer"), M=8, size=32, seed=3), threads=1)


def answers(library: Library, photos: Path) -> list[tuple[int, float]]:
    return [(hit.id, hit.raw) for hit in library.search(photos / "004.png", 12)]


def fresh(photos: Path, place: Path, model: Model) -> list[tuple[str, float]]:
    with Library.open(place, create_with=model) as library:
        library.add([photos])
        return [(hit.path, hit.raw) for hit in library.search(photos / "004.png", 12)]


def test_a_migrated_library_is_that_of_a_fresh_build_with_the_same_ids(
    library: Path, photos: Path, longer: Model, tmp_path: Path
) -> None:
    with Library.open(library) as opened:
        before, codes, made = ids(opened), answers(opened, photos), opened.status().created
        report = migrate(library, longer, jobs=1)
        assert (report.encoded, report.missing, report.failed) == (12, 0, 0)
        # A library that was open all the time answers with the new model.
        assert answers(opened, photos) != codes
        found = [(hit.path, hit.raw) for hit in opened.search(photos / "004.png", 12)]
        assert sorted(found) == sorted(fresh(photos, tmp_path / "fresh", longer))
        assert opened.model.fingerprint == longer.fingerprint and opened.status().bits == 32
        assert opened.status().created == made
    with Library.open(library) as again:
        assert ids(again) == before and held(again) == content(photos, longer)
        assert again.add([photos], model=longer).unchanged == 12
    assert {finding.verdict for finding in check(library)} == {"ok"}
    assert sorted(path.name for path in library.iterdir() if path.is_dir()) == ["cache", "model"]


def test_while_it_is_under_way_the_old_codes_answer_and_it_goes_on_after_a_stop(
    library: Path, photos: Path, longer: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sightbook.model.encode as encoding

    original, encoded = encoding.encode, []

    def stopping(entries: Any, *rest: Any, **options: Any) -> Any:
        for number, result in enumerate(original(entries, *rest, **options)):
            if number == 5 and len(encoded) < 6:
                raise KeyboardInterrupt
            encoded.append(result.entry.path)
            yield result

    monkeypatch.setattr(encoding, "encode", stopping)
    with Library.open(library) as opened:
        before = answers(opened, photos)
        with pytest.raises(KeyboardInterrupt):
            migrate(library, longer, jobs=1)
        assert answers(opened, photos) == before
    with Library.open(library) as opened:
        assert answers(opened, photos) == before, "opened anew, too"
        write(photos / "new.png", picture(80))
        assert opened.add([photos]).added == 1, "life goes on with the old model"
    report = migrate(library, longer, jobs=1)
    assert report.encoded == 13
    encoded.remove("new.png")  # by the `add` between
    assert len(encoded) == len(set(encoded)) == 13, "nothing was encoded twice"
    with Library.open(library) as opened:
        assert held(opened) == content(photos, longer)


def test_another_target_begins_anew(
    library: Path, photos: Path, longer: Model, other_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(gathering, "swap", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            migrate(library, longer, jobs=1)
    assert migrate(library, other_model, jobs=1).encoded == 12
    with Library.open(library) as opened:
        assert held(opened) == content(photos, other_model)
    with pytest.raises(LibraryError, match=r"has the codes of .* already"):
        migrate(library, other_model)


@pytest.mark.parametrize("by_hand", [False, True])
def test_the_librarys_own_model_calls_off_what_was_begun(
    library: Path, photos: Path, longer: Model, by_hand: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Library.open(library) as opened:
        before, fingerprint = held(opened), opened.facts.fingerprint
    whole = (photos / "004.png").read_bytes()
    (photos / "004.png").write_bytes(b"spoiled")
    with monkeypatch.context() as patch:
        patch.setattr(gathering, "swap", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            migrate(library, longer, jobs=1)
    told = [finding.text for finding in check(library) if finding.what == "migration"]
    assert len(told) == 1 and f"--model {library / 'model'}` it is called off" in told[0]
    if by_hand:
        shutil.rmtree(library / "model.new")  # as a disk that was full at the copy leaves it
    assert migrate(library, library / "model").encoded == 12
    (photos / "004.png").write_bytes(whole)
    with Library.open(library) as opened:
        assert opened.failures() == [], "nothing is said of a picture that has its code"
        assert opened.add([photos]).failed == []
    assert {finding.verdict for finding in check(library)} == {"ok"}
    assert not (library / "model.new").exists()
    with Library.open(library) as opened:
        assert held(opened) == before and opened.facts.fingerprint == fingerprint
    with pytest.raises(LibraryError, match="nothing to migrate"):
        migrate(library, library / "model")
    assert migrate(library, longer, jobs=1).encoded == 12, "and begins anew"


@pytest.mark.parametrize("step", range(5))
def test_a_crash_after_the_swap_is_finished_by_whoever_comes_next(
    library: Path, photos: Path, longer: Model, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The swap is committed; then model and library.json follow in steps, each of which may be the last."""
    steps: list[str] = []
    rename, write_atomic = Path.rename, folder.write_atomic

    def count(name: str) -> None:
        if len(steps) == step:
            raise OSError("killed")
        steps.append(name)

    def renaming(self: Path, target: Any) -> Path:
        count(f"rename {self.name}")
        return rename(self, target)

    def writing(path: Path, data: Any) -> None:
        count(f"write {path.name}")
        write_atomic(path, data)

    opened = Library.open(library)
    with monkeypatch.context() as patch:
        original = folder.catch_up

        def counted(path: Path, fingerprint: str, fine: int | None) -> bool:
            if fingerprint == longer.fingerprint:
                patch.setattr(Path, "rename", renaming)
                patch.setattr(folder, "write_atomic", writing)
            return original(path, fingerprint, fine)

        patch.setattr(folder, "catch_up", counted)
        if step < 3:
            with pytest.raises(OSError, match="killed"):
                migrate(library, longer, jobs=1)
        else:
            migrate(library, longer, jobs=1)
            assert steps == ["rename model", "write library.json", "rename model.new"]
    wanted = content(photos, longer)
    assert held(opened) == wanted and len(answers(opened, photos)) == 12, "one that was open"
    opened.close()
    with Library.open(library) as reader:  # reads only: finishes nothing, and need not
        assert held(reader) == wanted and reader.model.fingerprint == longer.fingerprint
        assert len(answers(reader, photos)) == 12
        assert reader.add([photos]).unchanged == 12
    assert sorted(path.name for path in library.iterdir() if path.is_dir()) == ["cache", "model"]
    assert folder.read_facts(library).fingerprint == longer.fingerprint


def test_a_source_that_is_away_is_refused_and_pictures_that_went_come_back(
    library: Path, photos: Path, longer: Model, tmp_path: Path
) -> None:
    photos.rename(tmp_path / "away")
    with pytest.raises(
        LibraryError, match=r"cannot be read now, and codes are made from the pictures: mount"
    ):
        migrate(library, longer)
    (tmp_path / "away").rename(photos)
    kept = (photos / "003.png").read_bytes()
    stat = (photos / "003.png").stat()
    (photos / "003.png").unlink()
    write(photos / "005.png", b"spoiled")
    write(photos / "006.png", picture(61), time=1_700_000_077)
    (photos / "007.png").rename(photos / "renamed.png")
    with Library.open(library) as opened:
        before = ids(opened)
    report = migrate(library, longer, jobs=1)
    assert (report.encoded, report.missing, report.failed) == (10, 1, 1)
    with Library.open(library) as opened:
        assert held(opened) == content(photos, longer)
        assert [failure.path for failure in opened.failures()] == ["005.png"]
        (photos / "003.png").write_bytes(kept)
        os.utime(photos / "003.png", ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as if it had never been away
        report_ = opened.add([photos])
        assert report_.changed + report_.unchanged + report_.added + report_.moved == 11
        assert held(opened) == content(photos, longer), "no stale code came back"
        assert ids(opened)["003.png"] == before["003.png"]
        assert ids(opened)["renamed.png"] == before["007.png"]


def test_embeddings_of_the_old_model_are_refused(library: Path, longer: Model, model: Model) -> None:
    import numpy as np

    with Library.open(library) as opened:
        x = np.zeros((1, model.D), np.float32)
        assert opened.search_embeddings(x, 1)
        old = opened.model
        migrate(library, longer, jobs=1)
        with pytest.raises(Exception, match=r"another model.*array \(Q, 32\)"):
            opened.search_embeddings(x, 1)
        assert old.fingerprint == model.fingerprint


def test_check_finishes_a_swap_and_tells_of_one_under_way(
    library: Path, photos: Path, longer: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(gathering, "swap", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            migrate(library, longer, jobs=1)
    (note,) = [finding for finding in check(library) if finding.verdict == "note"]
    assert "a migration to another model was stopped with 12 of 12 pictures encoded" in note.text
    with monkeypatch.context() as patch:
        patch.setattr(folder, "catch_up", lambda *_: False)
        migrate(library, longer, jobs=1)
    assert (library / "model.new").exists()
    assert {finding.verdict for finding in check(library)} == {"ok"}
    assert not (library / "model.new").exists()


def test_a_foreign_model_is_still_refused(library: Path, other_model: Model) -> None:
    shutil.rmtree(library / "model")
    other_model.copy_to(library / "model")
    catalogue = Catalogue.write(library / NAME)
    catalogue.connection.execute("UPDATE meta SET value = 'elsewhere' WHERE key = 'fingerprint'")
    catalogue.close()
    with pytest.raises(LibraryError, match="does not belong to its library"):
        Library.open(library)


def test_an_empty_library_can_be_migrated(place: Path, model: Model, longer: Model, photos: Path) -> None:
    Library.open(place, create_with=model).close()
    assert migrate(place, longer).encoded == 0
    with Library.open(place) as library:
        library.add([photos], model=longer)
        assert held(library) == content(photos, longer)


@pytest.mark.parametrize("since", ["changed", "changed and added", "spoiled", "gone", "removed"])
def test_what_is_otherwise_since_a_migration_was_stopped_is_coded_as_it_is_now(
    library: Path, photos: Path, longer: Model, since: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(gathering, "swap", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            migrate(library, longer, jobs=1)
    with Library.open(library) as opened:
        if since.startswith("changed"):
            write(photos / "001.png", picture(80), time=1_700_000_009)
        elif since == "spoiled":
            write(photos / "001.png", b"spoiled")
        else:
            (photos / "001.png").unlink()
        if since == "changed and added":
            assert opened.add(photos).changed == 1
        elif since == "removed":
            assert opened.remove("001.png") == 1
        report = migrate(library, longer, jobs=1)
        assert (report.encoded, report.missing, report.failed) == {
            "spoiled": (11, 0, 1),
            "gone": (11, 1, 0),
            "removed": (11, 0, 0),
        }.get(since, (12, 0, 0))
        assert held(opened) == content(photos, longer)


def test_what_failed_before_a_migration_was_stopped_is_forgotten_when_it_was_read_after_it(
    library: Path, photos: Path, longer: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = (photos / "001.png").read_bytes()
    write(photos / "001.png", b"half")
    with monkeypatch.context() as patch:
        patch.setattr(gathering, "swap", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            migrate(library, longer, jobs=1)
    write(photos / "001.png", whole)
    assert migrate(library, longer, jobs=1).failed == 0
    with Library.open(library) as opened:
        assert opened.failures() == [] and held(opened) == content(photos, longer)


@pytest.mark.parametrize("now", ["a link", "a link to a link"])
def test_photos_that_stand_behind_a_link_by_now_are_migrated_with_their_failures(
    library: Path, photos: Path, longer: Model, now: str, tmp_path: Path
) -> None:
    photos.rename(tmp_path / "new disk")
    (tmp_path / "between").symlink_to(tmp_path / "new disk")
    photos.symlink_to(tmp_path / ("new disk" if now == "a link" else "between"))
    write(photos / "001.png", b"spoiled")
    assert migrate(library, longer, jobs=1).failed == 1
    with Library.open(library) as opened:
        (failure,) = opened.failures()
        assert failure.locator == str(photos / "001.png")
        assert held(opened) == content(photos, longer)
