"""Pictures of a split → embeddings and codes of every model, and thumbnails; each picture decoded once per frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightbook.codes.tables import Metric
from sightbook.errors import ModelError, SourceError
from sightbook.evaluate.split import LabelledPicture, Split
from sightbook.images.entry import Entry, noun
from sightbook.images.load.pool import Failed, Loaded, digest, load
from sightbook.images.pixels.frame import Frame
from sightbook.images.pixels.thumbnail import thumbnail
from sightbook.images.vectors import read_many, stored
from sightbook.model.encode import fitting
from sightbook.model.model import Model
from sightbook.progress import Listener, Meter

_BATCH = 128
# Rows of the split, their digests, their pixels or vectors, and what failed.
_Batch = tuple[list[int], list[bytes], NDArray[Any], list[Failed]]


@dataclass
class Sighted:
    """What one model makes of the pictures: x (Q, D) float32 of the queries, codes of both parts, (Q, M) and (N, M)
    uint8; database_x (N, D) float32 for the first model only, which is compared with float search; query_fine (Q, D)
    and fine (N, D) int8, the fine codes, where the model has them."""

    x: NDArray[np.float32]
    query_codes: NDArray[np.uint8]
    codes: NDArray[np.uint8]
    database_x: NDArray[np.float32] | None
    metric: Metric = "inner"
    query_fine: NDArray[np.int8] | None = None
    fine: NDArray[np.int8] | None = None

    def prefix(self, model: Model) -> Sighted:
        """What a prefix of the model makes of the same pictures."""
        database = None if self.database_x is None else self.database_x[:, : model.D]
        M = model.M
        return Sighted(
            self.x[:, : model.D], self.query_codes[:, :M], self.codes[:, :M], database, self.metric
        )


@dataclass
class Reading:
    """The readable pictures of a split, both parts in the order of their content: a picture's place is its id.

    features (Q, F) and (N, F) float32 of the first model's backbone, None when nobody asked; thumbnails (Q, 192) and
    (N, 192) uint8, None of vectors; shared counts the queries whose very bytes are in the database.
    """

    queries: list[LabelledPicture]
    database: list[LabelledPicture]
    seen: list[Sighted]
    query_thumbnails: NDArray[np.uint8] | None
    thumbnails: NDArray[np.uint8] | None
    shared: int
    failed: list[Failed] = field(default_factory=list)
    query_features: NDArray[np.float32] | None = None
    features: NDArray[np.float32] | None = None


class _Sight:
    """What one model makes of the pictures, as it is gathered: arrays by row of the split."""

    def __init__(self, model: Model, rows: int, embeddings: int, features: bool) -> None:
        """embeddings: so many first rows are kept as floats; features: the backbone's of all, too."""
        self.model = model
        self.x = np.zeros((embeddings, model.D), np.float32)
        self.codes = np.zeros((rows, model.M), np.uint8)
        self.fine = np.zeros((rows, model.fine_bytes), np.int8) if model.fine_bytes else None
        self.features = np.zeros((rows, model.config.features), np.float32) if features else None

    def look(self, rows: list[int], pixels: NDArray[Any]) -> None:
        """Takes the pixels of these rows, or their vectors. ModelError when an embedding is not finite."""
        if self.model.takes_vectors:
            x, features = self.model.describe(pixels), pixels
        elif self.features is not None:
            x, features = self.model.embed_with_features(pixels)
        else:
            x, features = self.model.embed(pixels), pixels
        if not np.isfinite(x).all():
            raise ModelError(
                f"the model {self.model.folder} gives embeddings that are not numbers: train it again"
            )
        if self.features is not None:
            self.features[rows] = features
        self.codes[rows] = self.model.assign(x)
        if self.fine is not None:
            self.fine[rows] = self.model.fine(x)
        kept = [j for j, row in enumerate(rows) if row < len(self.x)]
        self.x[[rows[j] for j in kept]] = x[kept]

    def of(self, queries: NDArray[np.int64], database: NDArray[np.int64]) -> Sighted:
        """What it made of these rows."""
        return Sighted(
            self.x[queries],
            self.codes[queries],
            self.codes[database],
            self.x[database] if len(self.x) == len(self.codes) else None,
            self.model.config.metric,
            None if self.fine is None else self.fine[queries],
            None if self.fine is None else self.fine[database],
        )


def read(
    split: Split, models: Sequence[Model], *, jobs: int | None, listener: Listener, features: bool = False
) -> Reading:
    """Decodes, embeds and codes all pictures. A picture that cannot be read is left out and named in `failed`.

    features: keep those of the first model's backbone, too.

    Raises SourceError when no query or no database picture is left, ModelError when an embedding is not finite.
    """
    pictures = [*split.queries, *split.database]
    Q, n = len(split.queries), len(pictures)
    entries = [picture.entry for picture in pictures]
    digests: list[bytes | None] = [None] * n
    thumbnails = np.zeros((n, 192), np.uint8)
    failed: dict[tuple[str, str], Failed] = {}
    main = _Sight(models[0], n, n, features)
    sights = [main, *(_Sight(model, n, Q, False) for model in models[1:])]

    vectors = all(model.takes_vectors for model in models) and all(entry.is_vector for entry in entries)
    frames = [(None, list(range(len(models))))] if vectors else _frames(models)
    meter = Meter(listener, "encode", n * len(frames), noun(vectors))
    for number, (frame, group) in enumerate(frames):
        batches = _vectors(entries, models) if frame is None else _batches(entries, frame, jobs)
        for rows, seen, pixels, lost in batches:
            failed.update((item.entry.key, item) for item in lost)
            if rows:
                for i in group:
                    sights[i].look(rows, pixels)
                if number == 0:
                    if not vectors:
                        thumbnails[rows] = [thumbnail(one) for one in pixels]
                    for row, content in zip(rows, seen, strict=True):
                        digests[row] = content
            meter.advance(len(rows) + len(lost))
    meter.close()

    readable = [row for row in range(n) if digests[row] is not None and entries[row].key not in failed]
    readable.sort(key=lambda row: _content_order(digests[row] or b"", entries[row]))
    first = np.array([row for row in readable if row < Q], np.int64)
    second = np.array([row for row in readable if row >= Q], np.int64)
    for rows_left, name in ((first, "query"), (second, "database picture")):
        if not len(rows_left):
            reason = next(iter(failed.values())).reason
            raise SourceError(f"not one {name} could be read (the first failure: {reason}): check the data")
    stored = {digests[row] for row in second.tolist()}
    return Reading(
        [pictures[row] for row in first.tolist()],
        [pictures[row] for row in second.tolist()],
        [sight.of(first, second) for sight in sights],
        None if vectors else thumbnails[first],
        None if vectors else thumbnails[second],
        sum(digests[row] in stored for row in first.tolist()),
        list(failed.values()),
        None if main.features is None else main.features[first],
        None if main.features is None else main.features[second],
    )


def _frames(models: Sequence[Model]) -> list[tuple[Frame | None, list[int]]]:
    """The frames of the models, that of the first first, and which models see each; ModelError for one of vectors."""
    by_frame = sorted(
        range(len(models)), key=lambda i: (models[i].frame != models[0].frame, repr(models[i].frame))
    )
    return [(frame, list(group)) for frame, group in groupby(by_frame, key=lambda i: models[i].frame)]


def _content_order(digest: bytes, entry: Entry) -> tuple[bytes, bytes]:
    """Ids follow the content: paths often hold the class, and ties would then be won by it. Equal files are told
    apart by a hash of their path, which holds no class either."""
    return digest, blake2b(entry.path.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _batches(entries: Sequence[Entry], frame: Frame, jobs: int | None) -> Iterator[_Batch]:
    """Up to _BATCH pictures at a time."""
    rows: list[int] = []
    batch: list[Loaded] = []
    lost: list[Failed] = []

    def gathered() -> _Batch:
        pixels = np.stack([item.pixels for item in batch]) if batch else np.empty(0, np.uint8)
        return rows, [item.digest for item in batch], pixels, lost

    for row, item in enumerate(load(entries, frame, jobs=jobs)):
        if isinstance(item, Failed):
            lost.append(item)
        else:
            rows.append(row)
            batch.append(item)
        if len(rows) + len(lost) >= _BATCH:
            yield gathered()
            rows, batch, lost = [], [], []
    if rows or lost:
        yield gathered()


def _vectors(entries: Sequence[Entry], models: Sequence[Model]) -> Iterator[_Batch]:
    """`_batches` of vectors, which stand in the place of pixels."""
    F = models[0].config.features
    for model in models:
        if model.config.features != F:
            raise ModelError(
                f"{model.folder} takes vectors of {model.config.features} numbers, and {models[0].folder} of {F}: "
                "compare models of the same vectors"
            )
    begin = 0
    for some, read in read_many(entries, _BATCH):
        vectors = dict(enumerate(fitting(read, F), start=begin))
        good = {row: vector for row, vector in vectors.items() if not isinstance(vector, str)}
        lost = [
            Failed(entry, vector)
            for entry, vector in zip(some, vectors.values(), strict=True)
            if isinstance(vector, str)
        ]
        begin += len(some)
        rows = np.stack(list(good.values())) if good else np.empty((0, F), np.float32)
        yield list(good), [digest(stored(vector)) for vector in good.values()], rows, lost
