"""One picture that somebody hands over, decoded where it cannot hold up or end this process.

Data flow: a picture → its bytes → (of a format whose decoder is large enough to stand still or to die, or where the
user set a limit of time: a child process, which is ended when the time is over) → RGB → the array that is made of it.

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
from PIL import Image

from sightbook.errors import PictureError
from sightbook.images.load.child import channel, how, receive, send, start
from sightbook.images.pixels.about import About
from sightbook.images.pixels.frame import Frame
from sightbook.images.pixels.guards import SECONDS, Guards, limits
from sightbook.images.pixels.picture import Picture, bytes_of, read_picture
from sightbook.images.pixels.plugins import format_of

# What is made of an RGB picture; it goes to another process, so it is a function at the top of a module, or a method
# or `partial` of such.
Make = Callable[[Image.Image], NDArray[np.uint8]]
_RISKY = ("TIFF", "HEIF")  # AVIF is of the family


def frame_apart(picture: Picture, frame: Frame) -> NDArray[np.uint8]:
    """Any picture as the pixels (size, size, 3) uint8 that encoders see; errors as of `make_apart`."""
    return make_apart(picture, frame.resize, frame.apply_image)[0]


def make_apart(
    picture: Picture, side: int | None, make: Make, guards: Guards | None = None
) -> tuple[NDArray[np.uint8], About]:
    """What `make` makes of any picture in RGB, with what the picture tells about itself.

    side, guards: as in `read_picture`. PictureError as there, and where it took longer than the guards allow, or ended
    the process that decoded it.
    """
    guards = guards or limits()
    data = bytes_of(picture, guards)
    if data is not None and (guards.seconds != Guards().seconds or format_of(data) in _RISKY):
        with suppress(OSError):  # no process can be started: better without a limit than not at all
            return _ask(data, side, make, guards)
    image, about = read_picture(picture if data is None else data, side=side, guards=guards)
    return make(image), about


class _Child:
    """A process that decodes what it is given, one picture at a time."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._process = start(__name__, "serve")
        assert self._process.stdin is not None and self._process.stdout is not None
        self._to, self._from = self._process.stdin, self._process.stdout
        try:
            receive(self._from)  # the time of a picture does not run while it starts
        except EOFError:
            raise OSError(f"it ended ({self.end()})") from None

    @property
    def is_alive(self) -> bool:
        """Whether it runs; somebody may have ended it while it waited."""
        return self._process.poll() is None

    def ask(
        self, data: bytes, side: int | None, make: Make, guards: Guards
    ) -> tuple[NDArray[np.uint8], About] | str:
        """The answer, or why there is none; raises EOFError when the process ended."""
        watch = threading.Timer(guards.seconds, self._process.kill)
        watch.start()
        try:
            send(self._to, (data, side, make, guards))
            reply, raw = receive(self._from)
        except BrokenPipeError:
            raise EOFError from None
        finally:
            watch.cancel()
        if isinstance(reply, str):
            return reply
        shape, about = reply
        return np.frombuffer(raw, np.uint8).reshape(shape), about

    def end(self) -> str:
        """Ends it, and says how it ended."""
        with suppress(OSError):
            self._process.kill()
        for stream in (self._to, self._from):
            with suppress(OSError):
                stream.close()
        return how(self._process.wait())


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
            raise PictureError(f"the process decoding it died ({child.end()})")
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
                child.end()
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
                if child.is_alive:
                    return child
                child.end()
    return None


@atexit.register
def _end_idle() -> None:
    """At the end of the program, which would warn of what it left open."""
    while (child := _take()) is not None:
        child.end()


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
