"""Many pictures → embeddings and codes, decoding and encoding at the same time.

Data flow: entries → `images.load.pool.load` (worker processes read, hash, decode and frame, some batches ahead) →
batches of pixels (B, S, S, 3) uint8 → `model.embed` on this process's cores → x, codes, in the order of the
entries. The encoder gives its cores back while it waits (its threads sleep), so the sum of both times bounds the
whole, not their maximum on separate machines: with c cores and p pictures the best possible time is
p · (1/decode + 1/forward).

Entries of vectors, for a model that takes such: `images.vectors.read_many` → batches (B, F) → `model.describe` → x,
codes; there is nothing to decode, so nothing runs beside it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from sightbook.describe.vectors import checked
from sightbook.errors import ConfigError, SourceError
from sightbook.images.entry import Entry
from sightbook.images.load.pool import Failed, Loaded, digest, load
from sightbook.images.pixels.about import About
from sightbook.images.pixels.frame import Frame
from sightbook.images.vectors import Vector, read_many, stored
from sightbook.model.model import Model
from sightbook.model.seen import KnownPicture, Seen
from sightbook.progress import Listener, Meter, silent

__all__ = ["Encoded", "Encoder", "Failed", "encode", "fitting"]

VECTORS = 1024  # described at once
_NOT_FINITE = "it holds values that are not finite (NaN, or too large)"


@dataclass(frozen=True, slots=True)
class Encoded:
    """A picture's code. digest: blake2b-128 of its bytes; about: what it tells about itself; x (D,) float32; codes (M,)
    uint8. A vector's width is the count of its numbers, its height 1."""

    entry: Entry
    digest: bytes
    about: About
    x: NDArray[np.float32]
    codes: NDArray[np.uint8]


class Encoder(Protocol):
    """Who does the work: `encode` here, anything else elsewhere. Entries, models and results can be pickled; a model is
    opened anew from its folder, so the other side must see that and the sources."""

    def __call__(self, entries: Sequence[Entry], model: Model, /) -> Iterable[Encoded | Failed]:
        """One Encoded or Failed for each entry, in their order. What is wrong with one picture is its Failed; what it
        raises ends the whole, and what it gave before is kept. An iterator with `close` is closed."""
        ...


def encode(
    entries: Iterable[Entry],
    model: Model,
    *,
    jobs: int | None = None,
    batch: int = 128,
    listener: Listener = silent,
    total: int | None = None,
    seen: Seen | None = None,
) -> Generator[Encoded | Failed, None, None]:
    """Yields one Encoded or Failed for each entry, in order.

    jobs: decoding processes, default the machine's cores; batch: pictures in one forward pass; total: entries, when
    known, for the time left; seen: pictures that the encoder saw before, which are not read as long as they are as they
    were, nor encoded while their content is known. Close the iterator (or exhaust it) to end the processes. Raises
    SourceError when a source vanishes, after what was read before, or holds vectors and the model takes pictures, or
    the other way round; ConfigError for jobs < 1.
    """
    if model.takes_vectors:
        yield from _encode_vectors(entries, model, listener, total)
        return
    meter = Meter(listener, "encode", total)
    failed = 0
    waiting: list[Loaded | KnownPicture | Failed] = []
    good = 0
    loaded = _load(entries, model.frame, jobs, seen)
    try:
        stopped: SourceError | None = None
        while True:
            try:
                item = next(loaded, None)
            except SourceError as error:  # what came before it is good: encode that first
                item, stopped = None, error
            if item is not None:
                waiting.append(item)
                if isinstance(item, Failed):
                    failed += 1
                else:
                    good += 1
            # Failures among few good pictures do not wait for a full batch for ever.
            if item is None or good == batch or len(waiting) >= 4 * batch:
                yield from _forward(waiting, model, seen)
                meter.advance(len(waiting), failed=failed)
                waiting, good = [], 0
            if stopped is not None:
                raise stopped
            if item is None:
                return
    finally:
        loaded.close()
        meter.close()


def _load(
    entries: Iterable[Entry], frame: Frame, jobs: int | None, seen: Seen | None
) -> Generator[Loaded | KnownPicture | Failed, None, None]:
    """What became of each entry, in order; those that are known pass `load` by. Closing it ends the processes."""
    passed: deque[KnownPicture | None] = deque()  # one for each entry that was taken; None: it went to `load`

    def unknown() -> Iterator[Entry]:
        for entry in entries:
            known = None if seen is None else seen.find(entry)
            passed.append(known)
            if known is None:
                yield entry

    # It is a generator, whatever else its type leaves open.
    loaded = cast("Generator[Loaded | Failed, None, None]", load(unknown(), frame, jobs=jobs))
    try:
        while True:
            item: Loaded | Failed | None = None
            stopped: Exception | None = None
            try:
                item = next(loaded, None)
            except Exception as error:  # raised again in its place, after those that are known
                stopped = error
            while passed and (known := passed.popleft()) is not None:  # up to the entry that came back
                yield known
            if stopped is not None:
                raise stopped
            if item is None:
                return
            yield item
    finally:
        loaded.close()


def _forward(
    waiting: list[Loaded | KnownPicture | Failed], model: Model, seen: Seen | None
) -> Iterator[Encoded | Failed]:
    good = [item for item in waiting if not isinstance(item, Failed)]
    if good:
        x = np.empty((len(good), model.D), np.float32)
        features = [_features(item, seen) for item in good]
        known = np.array([each is not None for each in features])
        if known.any():
            x[known] = model.describe(np.stack([each for each in features if each is not None]))
        if not known.all():
            pixels = [
                item.pixels
                for item, each in zip(good, features, strict=True)
                if each is None and isinstance(item, Loaded)
            ]
            x[~known] = model.embed(np.stack(pixels))
        codes = model.assign(x)
    place = 0
    for item in waiting:
        if isinstance(item, Failed):
            yield item
        else:
            yield Encoded(item.entry, item.digest, item.about, x[place], codes[place])
            place += 1


def _features(item: Loaded | KnownPicture, seen: Seen | None) -> NDArray[np.float16] | None:
    if isinstance(item, KnownPicture):
        return item.features
    return None if seen is None else seen.features(item.digest)


def _encode_vectors(
    entries: Iterable[Entry], model: Model, listener: Listener, total: int | None
) -> Generator[Encoded | Failed, None, None]:
    meter = Meter(listener, "encode", total, "vectors")
    F, failed = model.config.features, 0
    try:
        for batch, read in read_many(entries, VECTORS):
            vectors = fitting(read, F)
            good = [vector for vector in vectors if not isinstance(vector, str)]
            if good:
                x = model.describe(np.stack(good))
                codes = model.assign(x)
            place = 0
            for entry, vector in zip(batch, vectors, strict=True):
                if isinstance(vector, str):
                    yield Failed(entry, vector)
                else:
                    yield Encoded(entry, digest(stored(vector)), About(F, 1), x[place], codes[place])
                    place += 1
            failed += len(vectors) - len(good)
            meter.advance(len(batch), failed=failed)
    finally:
        meter.close()


def fitting(vectors: list[Vector | str], F: int) -> list[Vector | str]:
    """The vectors that can be described, and why the others cannot."""
    sized = [
        f"it has {len(vector)} numbers, and the model takes {F}"
        if not isinstance(vector, str) and len(vector) != F
        else vector
        for vector in vectors
    ]
    try:
        checked(
            np.stack([vector for vector in sized if not isinstance(vector, str)] or [np.zeros(F, np.float32)])
        )
        return sized
    except ConfigError:
        return [vector if isinstance(vector, str) or _is_finite(vector) else _NOT_FINITE for vector in sized]


def _is_finite(vector: Vector) -> bool:
    try:
        checked(vector[None])
        return True
    except ConfigError:
        return False
