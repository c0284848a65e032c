from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import pytest

from sightbook.errors import ConfigError, SourceError
from sightbook.images.pixels.frame import Frame
from sightbook.learn import store
from sightbook.progress import Notice, Progress, silent
from tests.learn.conftest import GOOD, SIZE
from tests.pictures import write_photos

FRAME = Frame(SIZE, SIZE)


def fill(
    source: Path, folder: Path, memory_gib: float = 1.0, held_out: float = 0.02, listener=silent
) -> store.Store:  # type: ignore[no-untyped-def]
    folder.mkdir(exist_ok=True)
    return store.fill(
        [source], FRAME, folder, held_out=held_out, memory_gib=memory_gib, listener=listener, jobs=1
    )


def test_bad_pictures_are_skipped_named_and_counted(photos: Path, tmp_path: Path) -> None:
    heard: list[Notice | Progress] = []
    filled = fill(photos, tmp_path / "work", listener=heard.append)
    assert (filled.pixels.shape, filled.failed) == ((GOOD, SIZE, SIZE, 3), 3)
    lines = [json.loads(line) for line in (tmp_path / "work" / "failures.jsonl").read_text().splitlines()]
    bad = ["005-cut.jpg", "007-empty.png", "drafts/text.webp"]
    assert [line["key"][1] for line in lines] == bad
    assert all(line["reason"] and line["where"].endswith(name) for line, name in zip(lines, bad, strict=True))
    notices = [event.text for event in heard if isinstance(event, Notice)]
    assert [name in text for name, text in zip(bad, notices, strict=True)] == [True] * 3
    done = [event for event in heard if isinstance(event, Progress)][-1]
    assert (done.done, done.total, done.finished) == (GOOD + 3, GOOD + 3, True)


def test_training_and_held_out_pictures_are_all_and_do_not_overlap(photos: Path, tmp_path: Path) -> None:
    filled = fill(photos, tmp_path)
    assert sorted([*filled.train, *filled.held_out]) == list(range(GOOD))
    assert len(filled.held_out) == GOOD // 5


@pytest.mark.parametrize(
    ("count", "share", "held"),
    [
        (8, 0.02, 1),
        (100, 0.02, 20),
        (1000, 0.02, 64),
        (5000, 0.02, 100),
        (5000, 0.1, 500),
        (200_000, 0.02, 2000),
    ],
)
def test_how_many_are_held_out(
    count: int, share: float, held: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    pixels = np.zeros((1, 1, 3), np.uint8)
    made = [SimpleNamespace(digest=number.to_bytes(4, "big"), pixels=pixels) for number in range(count)]
    monkeypatch.setattr(
        store, "open_sources", lambda specs: SimpleNamespace(entries=lambda: made, left_out=[])
    )
    monkeypatch.setattr(store, "load", lambda entries, frame, jobs: iter(made))
    filled = store.fill(
        ["made up"], Frame(1, 1), tmp_path, held_out=share, memory_gib=1.0, listener=silent, jobs=1
    )
    assert (len(filled.held_out), len(filled.train)) == (held, count - held)


def test_a_mapped_store_holds_the_same_pixels_and_leaves_no_file(photos: Path, tmp_path: Path) -> None:
    held = fill(photos, tmp_path / "memory")
    mapped = fill(photos, tmp_path / "mapped", memory_gib=1e-6)
    assert isinstance(mapped.pixels, np.memmap)
    assert not isinstance(held.pixels, np.memmap)
    np.testing.assert_array_equal(held.pixels, mapped.pixels)
    np.testing.assert_array_equal(held.train, mapped.train)
    mapped.discard()
    assert [path.name for path in (tmp_path / "mapped").iterdir()] == ["failures.jsonl"]


def test_the_budget_is_what_decides_about_mapping(photos: Path, tmp_path: Path) -> None:
    exact = (GOOD + 3) * SIZE * SIZE * 3 / 2**30
    assert not isinstance(fill(photos, tmp_path, memory_gib=exact).pixels, np.memmap)
    assert isinstance(fill(photos, tmp_path, memory_gib=exact * 0.999).pixels, np.memmap)


def test_a_disk_too_small_for_the_mapped_store_is_an_error_before_decoding(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: int, start: int, length: int) -> None:
        assert (start, length) == (0, (GOOD + 3) * SIZE * SIZE * 3)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store.os, "posix_fallocate", full, raising=False)
    monkeypatch.setattr(store, "load", lambda *_, **__: pytest.fail("decoding began"))
    with pytest.raises(OSError, match="No space left") as caught:
        fill(photos, tmp_path / "work", memory_gib=1e-6)
    assert (caught.value.errno, caught.value.filename) == (
        errno.ENOSPC,
        str(tmp_path / "work" / "pictures.u8"),
    )
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize("count", [1, 7])
def test_too_few_pictures_are_an_error(count: int, tmp_path: Path) -> None:
    write_photos(tmp_path / "few", count, side=SIZE)
    with pytest.raises(
        ConfigError, match=rf"^{count} pictures? in .*few cannot teach anything: give at least 8"
    ):
        fill(tmp_path / "few", tmp_path / "work")


def test_no_good_picture_is_an_error_that_names_the_first(tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    for name in ("b.jpg", "a.jpg"):
        (tmp_path / "bad" / name).write_bytes(b"nothing")
    with pytest.raises(SourceError, match=r"none of the 2 pictures in .*bad could be read: .*a\.jpg"):
        fill(tmp_path / "bad", tmp_path / "work")
