"""Loading many pictures: read, hashed, decoded and framed in several processes, handed out in order.

Batches of pictures go to the processes of a `Crew`; a bounded number of them is under way, so memory does not grow with
the collection. Few pictures are loaded right here: starting a process costs as much as a hundred photos. So they have
no limit of time, unless the user set one, or a picture is of a kind whose decoder is large enough to stand still or to
die (`apart`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future

from sightbook.cores import cores
from sightbook.errors import ConfigError, SourceError
from sightbook.images.entry import Entry
from sightbook.images.load.crew import Crew, Outcome
from sightbook.images.load.loaded import Failed, Loaded, digest, load_one
from sightbook.images.pixels.frame import Frame
from sightbook.images.pixels.guards import Guards, limits

__all__ = ["Failed", "Loaded", "digest", "load"]

# Decoding runs at some 10 MB/s of JPEG on a core, so that this is a fifth of a second: what a process costs to start.
FEW_BYTES = 2_000_000
# A batch is some 50 ms of work and at most so many pixels: the handing over vanishes, and neither memory nor the wait
# for the last batch grows.
BATCH_FILE_BYTES = 500_000
BATCH_PIXEL_BYTES = 4_000_000
BATCH_PICTURES = 512


def load(
    entries: Iterable[Entry], frame: Frame, *, jobs: int | None = None, guards: Guards | None = None
) -> Iterator[Loaded | Failed]:
    """Yields what became of each entry, in the order of `entries`, which is advanced in the caller's thread.

    `jobs` processes decode (None: one for each core this process may use). A picture that cannot be read or decoded, or
    that kills its process, is `Failed`. Raises SourceError in its place in the order when a source is gone, whatever
    `entries` raises in its place, and ConfigError for jobs < 1. Closing the iterator ends all processes.
    """
    if jobs is not None and jobs < 1:
        raise ConfigError(f"The number of decoding processes must be at least 1, not {jobs}: change --jobs.")
    return _load(iter(entries), frame, cores() if jobs is None else jobs, guards or limits())


def _load(entries: Iterator[Entry], frame: Frame, jobs: int, guards: Guards) -> Iterator[Loaded | Failed]:
    stream = _Stream(entries)
    if guards.seconds != Guards().seconds or stream.is_much(FEW_BYTES):
        yield from _in_processes(stream, frame, jobs, guards)
    else:
        while (entry := stream.pull()) is not None:
            yield load_one(entry, frame, guards, apart=True)
    if stream.error is not None:
        raise stream.error


def _in_processes(stream: _Stream, frame: Frame, jobs: int, guards: Guards) -> Iterator[Loaded | Failed]:
    pictures = max(1, min(BATCH_PICTURES, BATCH_PIXEL_BYTES // (frame.size * frame.size * 3)))
    under_way: deque[Future[list[Outcome]]] = deque()
    crew = Crew(jobs, frame, guards)
    try:
        while True:
            while len(under_way) < 2 * jobs + 2 and (batch := stream.batch(pictures)):
                under_way.append(crew.submit(batch))
            if not under_way:
                return
            for outcome in under_way.popleft().result():
                if isinstance(outcome, SourceError):
                    raise outcome
                yield outcome
    finally:
        crew.close()


class _Stream:
    """The entries, with a look ahead. An error of their iterator is kept until all before it has been handed out."""

    def __init__(self, entries: Iterator[Entry]) -> None:
        self._entries = entries
        self._ahead: deque[Entry] = deque()
        self.error: Exception | None = None

    def pull(self) -> Entry | None:
        """The next entry, None at the end or at an error."""
        if self._ahead:
            return self._ahead.popleft()
        if self.error is not None:
            return None
        try:
            return next(self._entries, None)
        except Exception as error:  # raised again by _load, in its place
            self.error = error
            return None

    def is_much(self, size: int) -> bool:
        """Whether the files of the coming entries are more than `size` bytes together."""
        ahead: list[Entry] = []
        while size >= 0 and (entry := self.pull()) is not None:
            ahead.append(entry)
            size -= max(entry.size, 200)  # opening a picture costs something, however small it is
        self._ahead.extend(ahead)
        return size < 0

    def batch(self, pictures: int) -> list[Entry]:
        """The next at most `pictures` entries, fewer when their files are large."""
        entries: list[Entry] = []
        size = 0
        while len(entries) < pictures and size < BATCH_FILE_BYTES and (entry := self.pull()) is not None:
            entries.append(entry)
            size += entry.size
        return entries
