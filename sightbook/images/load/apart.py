"""One picture that somebody hands over, decoded where it cannot hold up or end this process.

Data flow: a picture → its bytes → (of a format whose decoder is large enough to stand still or to die, where the user
set a limit of time, or where the program we are a part of has Pillow take cut pictures for whole: a child process,
which is ended when the time is over) → RGB → the array that is made of it.

The child stays for the next picture; it ends with its input, so with this process, however that ends.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from sightbook.errors import PictureError
from sightbook.images.load.child import Child, channel, receive, send
from sightbook.images.pixels.about import About
from sightbook.images.pixels.decode import explain
from sightbook.images.pixels.frame import Frame
from sightbook.images.pixels.guards import SECONDS, Guards, limits
from sightbook.images.pixels.picture import Picture, bytes_of, read_picture
from sightbook.images.pixels.plugins import format_of

# What is made of an RGB picture; it goes to another process, so it is a function at the top of a module, or a method
# or `partial` of such.
Make = Callable[[Image.Image], NDArray[np.uint8]]
RISKY = ("TIFF", "HEIF")  # AVIF is of the family


def frame_apart(
    picture: Picture, frame: Frame, guards: Guards | None = None
) -> tuple[NDArray[np.uint8], About]:
    """`frame_picture` where it cannot hold up or end this process; errors as of `make_apart`."""
    return make_apart(picture, frame.resize, frame.apply, guards)


def make_apart(
    picture: Picture, side: int | None, make: Make, guards: Guards | None = None
) -> tuple[NDArray[np.uint8], About]:
    """What `make` makes of any picture in RGB, with what the picture tells about itself.

    side, guards: as in `read_picture`. PictureError as there, and where it took longer than the guards allow, or ended
    the process that decoded it.
    """
    guards = guards or limits()
    data = bytes_of(picture, guards)
    if data is not None and _needs_another(data, guards):
        with suppress(OSError):  # no process can be started: better without a limit than not at all
            return _ask(data, side, make, guards)
    image, about = read_picture(picture if data is None else data, side=side, guards=guards)
    try:
        return make(image), about
    except MemoryError as error:
        raise explain(error) from error


def _needs_another(data: bytes, guards: Guards) -> bool:
    """Whether a file is for another process to decode."""
    return (
        guards.seconds != Guards().seconds
        or format_of(data) in RISKY
        or ImageFile.LOAD_TRUNCATED_IMAGES  # there it has its default
    )


class _Child:
    """A process that decodes what it is given, one picture at a time."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.process = Child(__name__, "serve")
        try:
            self.process.hear()  # the time of a picture does not run while it starts
        except EOFError:
            raise OSError(f"it ended ({self.process.end()})") from None

    def ask(
        self, data: bytes, side: int | None, make: Make, guards: Guards
    ) -> tuple[NDArray[np.uint8], About] | str:
        """The answer, or why there is none; raises EOFError when the process ended."""
        watch = threading.Timer(min(guards.seconds, threading.TIMEOUT_MAX), self.process.kill)
        watch.start()
        try:
            self.process.tell((data, side, make, guards))
            reply, raw = self.process.hear()
        finally:
            watch.cancel()
        if isinstance(reply, str):
            return reply
        shape, about = reply
        return np.frombuffer(raw, np.uint8).reshape(shape), about


_idle: list[_Child] = []  # for the next picture; one is enough


def _ask(data: bytes, side: int | None, make: Make, guards: Guards) -> tuple[NDArray[np.uint8], About]:
    """`make_apart` of a file's bytes, by a child. OSError when none can be started.

    A child that waited may be ended by somebody else at any moment, also while it is asked: what it did not answer in
    time is asked once more of a new one, so that only a picture that ends a process of its own is refused.
    """
    waited = _take()
    answer = None if waited is None else _answer_of(waited, data, side, make, guards)
    if answer is None:
        answer = _answer_of(child := _Child(), data, side, make, guards)
        if answer is None:
            raise PictureError(f"the process decoding it died ({child.process.end()})")
    if isinstance(answer, str):
        raise PictureError(answer)
    return answer


def _answer_of(
    child: _Child, data: bytes, side: int | None, make: Make, guards: Guards
) -> tuple[NDArray[np.uint8], About] | str | None:
    """What a child answers, which then waits for the next picture; None when it ended before it answered. PictureError
    when it was ended because its time was over."""
    late = time.monotonic() + guards.seconds
    answer: tuple[NDArray[np.uint8], About] | str | None = None
    with suppress(EOFError):
        try:
            answer = child.ask(data, side, make, guards)
        finally:
            if answer is None or _idle:
                child.process.end()
            else:
                _idle.append(child)
    if answer is None and time.monotonic() >= late:
        raise PictureError(
            f"reading and decoding it took longer than {guards.seconds:g} s ({SECONDS} raises the limit)"
        )
    return answer


def _take() -> _Child | None:
    """A child that waits and is alive, if there is one; those of a process we were forked from are not ours."""
    with suppress(IndexError):
        while True:
            child = _idle.pop()
            if child.owner == os.getpid():
                if child.process.is_alive:
                    return child
                child.process.end()
    return None


@atexit.register
def _end_idle() -> None:
    """At the end of the program, which would warn of what it left open."""
    while (child := _take()) is not None:
        child.process.end()


def serve() -> None:
    """The child: answers until its input ends."""
    inward, outward = channel()
    try:
        send(outward, "ready")
        while True:
            (data, side, make, guards), _ = receive(inward)
            try:
                image, about = read_picture(data, side=side, guards=guards)
                made = np.ascontiguousarray(make(image))
                send(outward, (made.shape, about), made)
            except PictureError as error:
                send(outward, str(error))
            except MemoryError:
                send(outward, "there is not enough memory to load it")
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        os._exit(0)  # nobody is left to tell
