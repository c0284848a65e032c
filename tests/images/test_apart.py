"""One picture in a process of its own: the same pixels, and no decoder that holds up or ends ours."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFile

from sightbook.errors import PictureError
from sightbook.images.entry import Entry, Origin
from sightbook.images.kinds.folder import KIND
from sightbook.images.load.apart import frame_apart, make_apart
from sightbook.images.load.loaded import Failed, load_one
from sightbook.images.pixels.frame import Frame
from sightbook.images.pixels.guards import Guards
from sightbook.images.pixels.picture import frame_picture
from tests.images.pictures import encoded, gradient

FRAME = Frame(24, 32)
PATIENT = Guards(seconds=100)  # a limit of one's own: every format goes to another process


def whose(image: Image.Image) -> NDArray[np.uint8]:
    """The number of the process that looks at the picture, as bytes."""
    return np.frombuffer(os.getpid().to_bytes(8, "little"), np.uint8)


def stand_still(image: Image.Image) -> NDArray[np.uint8]:
    time.sleep(1000)
    raise AssertionError


def die(image: Image.Image) -> NDArray[np.uint8]:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def leave(image: Image.Image) -> NDArray[np.uint8]:
    os._exit(3)


def tiff(side: int = 40) -> bytes:
    file = BytesIO()
    Image.fromarray(gradient(side, 30)).save(file, "TIFF", compression="tiff_lzw")
    return file.getvalue()


@pytest.mark.parametrize("limit", [None, "100"])
def test_a_file_gives_the_pixels_that_it_gives_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str | None
) -> None:
    if limit is not None:
        monkeypatch.setenv("SIGHTBOOK_SECONDS", limit)
    for name, data in {
        "a.tif": tiff(),
        "b.png": encoded(gradient(40, 30)),
        "c.jpg": encoded(gradient(50), "JPEG"),
    }.items():
        (tmp_path / name).write_bytes(data)
        here = frame_picture(data, FRAME)[0]
        with Image.open(tmp_path / name) as opened:
            for picture in (data, bytearray(data), tmp_path / name, str(tmp_path / name), opened):
                assert np.array_equal(frame_apart(picture, FRAME)[0], here)


def test_pixels_and_touched_pictures_need_no_other_process() -> None:
    mine = whose(Image.new("RGB", (1, 1)))
    assert np.array_equal(make_apart(gradient(40), None, whose, PATIENT)[0], mine)
    assert np.array_equal(make_apart(Image.fromarray(gradient(40)), None, whose, PATIENT)[0], mine)
    assert np.array_equal(make_apart(encoded(gradient(40)), None, whose)[0], mine)


def test_a_process_stays_for_the_next_picture_and_a_new_one_comes_after_one_that_ended() -> None:
    first, about = make_apart(tiff(), None, whose)
    assert (about.width, about.height, about.format) == (40, 30, "tiff")
    assert not np.array_equal(first, whose(Image.new("RGB", (1, 1))))
    assert np.array_equal(make_apart(tiff(), None, whose)[0], first)
    with pytest.raises(PictureError, match=r"^the process decoding it died \(exit 3\)$"):
        make_apart(tiff(), None, leave)
    assert not np.array_equal(make_apart(tiff(), None, whose)[0], first)


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
def test_a_decoder_that_dies_is_named() -> None:
    with pytest.raises(PictureError, match=r"^the process decoding it died \(SIGKILL\)$"):
        make_apart(tiff(), None, die)


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
@pytest.mark.parametrize("is_known", [True, False], ids=["and is gone", "and looks alive"])
def test_a_process_that_was_ended_while_it_waited_costs_no_picture(is_known: bool) -> None:
    waiting = int.from_bytes(make_apart(tiff(), None, whose)[0].tobytes(), "little")
    if is_known:
        os.kill(waiting, signal.SIGKILL)
        os.waitid(os.P_PID, waiting, os.WEXITED | os.WNOWAIT)
    else:  # it is stopped, so it is seen alive, and is ended once it was asked
        os.kill(waiting, signal.SIGSTOP)
        threading.Timer(0.3, os.kill, (waiting, signal.SIGKILL)).start()
    assert np.array_equal(frame_apart(tiff(), FRAME)[0], frame_picture(tiff(), FRAME)[0])


def test_a_decoder_that_stands_still_is_given_up() -> None:
    with pytest.raises(
        PictureError,
        match=r"^reading and decoding it took longer than 0\.3 s \(SIGHTBOOK_SECONDS raises the limit\)$",
    ):
        make_apart(encoded(gradient(40)), None, stand_still, Guards(seconds=0.3))


def test_what_is_wrong_with_a_picture_is_said_as_here() -> None:
    for data in (tiff()[:60], b"II*\0 and no more", b"", b"text"):
        with pytest.raises(PictureError) as here:
            frame_picture(data, FRAME)
        with pytest.raises(PictureError) as there:
            make_apart(data, FRAME.resize, FRAME.apply, PATIENT)
        assert str(there.value) == str(here.value)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_process_leaves_its_parents_one_alone() -> None:
    first, _ = make_apart(tiff(), None, whose)
    child = os.fork()
    if child == 0:  # whatever happens, no second copy of the tests runs on
        try:
            other, _ = make_apart(tiff(), None, whose)
            os._exit(1 if np.array_equal(other, first) else 0)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert np.array_equal(make_apart(tiff(), None, whose)[0], first)


@pytest.mark.parametrize("format", ["PNG", "GIF", "BMP"])
def test_a_cut_picture_is_refused_whatever_pillow_was_told_here(
    format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many programs that train have Pillow take cut pictures, whose rest is black or grey, for whole."""
    data = encoded(gradient(200, 200), format)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert np.array_equal(frame_apart(data, FRAME)[0], frame_picture(data, FRAME)[0])
    with pytest.raises(PictureError, match="cut short or damaged"):
        frame_apart(data[: len(data) * 2 // 3], FRAME)
    entry = Entry("s", "a", len(data), 0, None, Origin(replace(KIND, read=cut_in_half), "/"))
    assert isinstance(load_one(entry, FRAME, Guards(), apart=True), Failed)


def cut_in_half(origin: Origin, entry: Entry, limit: int) -> bytes:
    return encoded(gradient(200, 200))[:400]


def test_a_limit_that_no_clock_knows_is_none() -> None:
    heard: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading, "excepthook", heard.append)
        assert frame_apart(tiff(), FRAME, Guards(seconds=1e15))[0].shape == (24, 24, 3)
    assert heard == []


def test_what_python_passes_over_in_its_path_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, Path("elsewhere"), None])
    with pytest.raises(PictureError, match=r"exit 3"):  # a child of its own
        make_apart(tiff(), None, leave)
    assert frame_apart(tiff(), FRAME)[0].shape == (24, 24, 3)
