"""A decoding process: entries come in, framed pixels go out, over the pipes of its standard input and output.

See `child` for how it is started and spoken to.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import IO

import numpy as np
from numpy.typing import NDArray

from sightbook.errors import SourceError
from sightbook.images.entry import Entry
from sightbook.images.kinds.registry import kind_of
from sightbook.images.load.child import channel, receive, send
from sightbook.images.load.loaded import Failed, load_one
from sightbook.images.pixels.about import About
from sightbook.images.pixels.frame import Frame
from sightbook.images.pixels.guards import Guards


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


def main() -> None:
    """Serves until the input ends."""
    inward, outward = channel()
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
