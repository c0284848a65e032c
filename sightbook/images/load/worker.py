"""A decoding process: entries come in, framed pixels go out, over the pipes of its standard input and output.

It is a plain child process, not one of `multiprocessing`: it starts in the time of importing Pillow and NumPy, needs no
`__main__` guard, never imports the user's program, and when its parent is gone, however that died, its input ends and
so does it. Only the parent, the same program, writes to its input.

A message is two lengths (8 bytes each), a pickle, and raw bytes that may follow it (pixels).
"""

from __future__ import annotations

import os
import pickle
import struct
import sys
import time
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from sightbook.errors import SourceError
from sightbook.images.entry import Entry
from sightbook.images.kinds.registry import kind_of
from sightbook.images.load.loaded import Failed, load_one
from sightbook.images.pixels.about import About
from sightbook.images.pixels.frame import Frame
from sightbook.images.pixels.guards import Guards

_LENGTHS = struct.Struct("<QQ")


@dataclass(frozen=True, slots=True)
class Decoded:
    """A picture in a reply; its pixels follow the reply in the same order."""

    digest: bytes
    about: About


# Sent between two pictures of a batch, no more often than this: the process is at work, and no picture has been waited
# for since the last word longer than the guards allow.
TICK, TICK_SECONDS = "tick", 0.5

# One for each entry, up to and including the first whose source is gone.
Reply = list["Decoded | str | SourceError"]


def send(stream: IO[bytes], message: object, raw: NDArray[np.uint8] | None = None) -> None:
    """Writes one message, `raw` (contiguous) after its pickle."""
    pickled = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    stream.write(_LENGTHS.pack(len(pickled), 0 if raw is None else raw.nbytes))
    stream.write(pickled)
    if raw is not None and raw.nbytes:
        stream.write(raw.reshape(-1).data)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[Any, bytearray]:
    """Reads one message; raises EOFError when the other side is gone."""
    head = stream.read(_LENGTHS.size)
    if len(head) < _LENGTHS.size:
        raise EOFError
    pickled_length, raw_length = _LENGTHS.unpack(head)
    pickled = stream.read(pickled_length)
    raw = bytearray(raw_length)
    if len(pickled) < pickled_length or (raw_length and _fill(stream, raw) < raw_length):
        raise EOFError
    return pickle.loads(pickled), raw


def _fill(stream: IO[bytes], raw: bytearray) -> int:
    """Fills `raw` without a copy in between; the number of bytes that came."""
    view, done = memoryview(raw), 0
    while done < len(raw):
        count: int = stream.readinto(view[done:])  # type: ignore[attr-defined]
        if not count:
            break
        done += count
    return done


def main() -> None:
    """Serves until the input ends."""
    inward = sys.stdin.buffer
    # The real standard output is kept for messages; whatever a C library prints there goes to standard error.
    outward = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(_standard_error(), sys.stdout.fileno())
    try:
        (frame, guards), _ = receive(inward)
        kind_of("folder")  # the usual one, imported before the time of the first picture runs
        send(outward, "ready")
        while True:
            entries, _ = receive(inward)
            send(outward, *_work(entries, frame, guards, outward))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        # The parent stopped or was stopped; nobody is left to tell, and leaving must not fail on the broken pipe.
        os._exit(0)


def _standard_error() -> int:
    """Where it goes; a program that was started without one has none."""
    return os.open(os.devnull, os.O_WRONLY) if sys.stderr is None else sys.stderr.fileno()


def _work(
    entries: list[Entry], frame: Frame, guards: Guards, outward: IO[bytes]
) -> tuple[Reply, NDArray[np.uint8]]:
    pixels = np.empty((len(entries), frame.size, frame.size, 3), np.uint8)
    reply: Reply = []
    good = 0
    spoke = time.monotonic()
    for entry in entries:
        if time.monotonic() - spoke > TICK_SECONDS:
            send(outward, TICK)
            spoke = time.monotonic()
        try:
            outcome = load_one(entry, frame, guards)
        except SourceError as error:
            reply.append(error)
            break
        if isinstance(outcome, Failed):
            reply.append(outcome.reason)
        else:
            pixels[good] = outcome.pixels
            good += 1
            reply.append(Decoded(outcome.digest, outcome.about))
    return reply, pixels[:good]
