"""A collection of pictures with their codes, on disk: open, add, search, status, remove.

Data flow: `add` scans sources and writes rows and codes into the catalogue (`ingest`); `search` encodes the query,
scores it against all codes of one state and looks up the keys of the best (`search`). Any number of processes may read
while one writes; readers see whole batches.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from sightbook.arguments import count, flag, function, model_like, optional, path_like, paths, takes, texts
from sightbook.catalogue.database import closed, explained
from sightbook.catalogue.folder import Facts
from sightbook.errors import LibraryError
from sightbook.ingest.means import Means, encoder_like, seen_like
from sightbook.ingest.order import Order, Prune, prune_like
from sightbook.ingest.writing import writing
from sightbook.library import making, picture
from sightbook.library.picture import PictureFacts
from sightbook.library.selection import Wanted, parse, select
from sightbook.library.state import Row, codes_of, rows_of
from sightbook.progress import Listener, silent
from sightbook.search.request import Options, Request
from sightbook.search.searcher import Searcher

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sightbook.images.pixels.picture import Picture
    from sightbook.ingest.report import AddPlan, AddReport, Failure
    from sightbook.library.status import Status
    from sightbook.model.encode import Encoder
    from sightbook.model.model import Model
    from sightbook.model.seen import Seen
    from sightbook.search.hit import Hit


class Library:
    """An open LIBRARY folder. Use as a context manager, or `close` it. Searching is safe from several threads."""

    def __init__(self, path: Path, searcher: Searcher) -> None:
        self.path, self._searcher, self._closed = path, searcher, False
        self._catalogue, self._lock = searcher.catalogue, searcher.lock

    @classmethod
    @takes(path=path_like, create_with=optional(model_like), fine=optional(flag))
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        create_with: Model | str | os.PathLike[str] | None = None,
        fine: bool | None = None,
    ) -> Library:
        """Opens a library; with `create_with` (a model or its folder) one that does not exist yet is made.

        fine: whether it keeps fine codes, a second, longer code of each picture that orders the best answers better;
        decided when it is made. None: where the model has them, unless the first `add` finds more than 1,000,000
        pictures. Raises LibraryError when there is none, it is damaged, newer than this program, made with another
        model, or made with `fine` otherwise; ModelError when `create_with` is no model, or has no fine codes that are
        asked for.
        """
        return cls(Path(path).absolute(), making.open_or_make(Path(path), create_with, fine))

    def close(self) -> None:
        """Closes the catalogue; closing twice is fine."""
        self._closed = True
        self._searcher.close()

    def __enter__(self) -> Library:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __len__(self) -> int:
        """Pictures that can be found."""
        with self._lock, explained(self.path):
            return sum(row.good for row in self._catalogue.counts().values())

    @property
    def facts(self) -> Facts:
        """Its format, codes and model, as its folder names them; those of another model after a migration."""
        return self._searcher.facts

    @property
    def model(self) -> Model:
        """The library's own copy of its model, loaded at first use; another one after a migration."""
        return self._searcher.model

    @takes(
        model=optional(model_like), jobs=optional(count), moved_from=optional(path_like), retry=flag, exclude=texts,
        forget_excludes=flag, prune=prune_like, seen=optional(seen_like), encode=optional(encoder_like),
        listener=function,
    )  # fmt: skip
    def add(
        self,
        sources: Sequence[str | Path] | str | Path,
        *,
        model: Model | str | os.PathLike[str] | None = None,
        jobs: int | None = None,
        moved_from: str | Path | None = None,
        retry: bool = False,
        exclude: Sequence[str] = (),
        forget_excludes: bool = False,
        prune: Prune = False,
        seen: Seen | None = None,
        encode: Encoder | None = None,
        wait: float = 0.0,
        listener: Listener = silent,
    ) -> AddReport:
        """Brings the library up to date with `sources`: new pictures in, changed ones again, the rest untouched.

        A picture counts as unchanged when size and time (ns) are equal; then it is not opened. Those that cannot be
        read are told to the listener, recorded, and tried again when they change, when what they failed for may have
        passed (passing.py), or when `retry` is set. Pictures that have gone from a source are left out of searches
        until they are back; prune forgets them. One whose content is found under another path was moved: it keeps its
        id. Results are committed in batches: after Ctrl-C or a crash the same call goes on where it stopped.

        model: only checked to be the library's own. jobs: decoding processes. moved_from: the one source given stood
        there before; keys and ids stay. exclude: globs of paths, names or folders in the sources that are not taken,
        now and by every later `add` of these sources, until one has forget_excludes set.
        prune: True, or "all" when it may take everything known of a source. seen: pictures that the model's encoder saw
        before: those that are as they were are not opened. encode: who encodes (`model.encode.Encoder`); by default
        this process and `jobs` of its own. wait: seconds to wait for another writer to end. A listener that raises
        stops it: what was encoded is kept, and the exception passes on. Raises LibraryError (another writer, another
        model, a full or read-only disk, a prune that would take everything) and SourceError.
        """
        self._refuse_closed()
        from sightbook.ingest import add as ingest
        from sightbook.ingest.refuse import refuse_other_model

        if model is not None:
            refuse_other_model(model, self.facts, self.path)
        order = Order(paths(sources, "sources"), moved_from, retry, exclude, forget_excludes, prune)
        means = Means(encode, jobs, seen, listener)
        with writing(self.path, wait, listener) as catalogue:
            report = ingest.add(catalogue, self.path, lambda: self.model, order, means)
        self._searcher.follow()
        return report

    @classmethod
    @takes(
        path=path_like, moved_from=optional(path_like), retry=flag, exclude=texts, forget_excludes=flag,
        prune=prune_like, listener=function,
    )  # fmt: skip
    def plan(
        cls,
        path: str | os.PathLike[str],
        sources: Sequence[str | Path] | str | Path,
        *,
        moved_from: str | Path | None = None,
        retry: bool = False,
        exclude: Sequence[str] = (),
        forget_excludes: bool = False,
        prune: Prune = False,
        listener: Listener = silent,
    ) -> AddPlan:
        """What `add` would do with these arguments; nothing is written, and `path` need not be a library yet."""
        order = Order(paths(sources, "sources"), moved_from, retry, exclude, forget_excludes, prune)
        return making.plan(Path(path), order, listener)

    def search(
        self, images: Picture | Sequence[Picture], k: int = 10, **options: Unpack[Options]
    ) -> list[Hit]:
        """The `k` pictures most like each query picture, best first, equal scores by id.

        images: a path, the bytes of a picture file, an RGB array (H, W, 3) uint8 or Pillow image; or, in the older form
        of `search_many`, a list of those, told apart by `Hit.query`. A query that is in the library finds itself, with
        a score of 1; 0 is the average picture of the library, whatever is chosen from. options: scan_bits, among, fine
        (`sightbook.search.request.Options`). Raises PictureError for a query that cannot be read, LibraryError,
        ModelError, ConfigError (k < 1, or fine=True where there are no fine codes).
        """
        return _joined(self.search_many(images, k, **options))

    def search_many(
        self, images: Picture | Sequence[Picture], k: int = 10, **options: Unpack[Options]
    ) -> list[list[Hit]]:
        """`search` for several query pictures: the hits of each, in their order."""
        return self._searcher.search(images, Request.of(k, **options))

    def search_vectors(self, vectors: NDArray[Any], k: int = 10, **options: Unpack[Options]) -> list[Hit]:
        """`search` in a library of vectors: one (F,), or several (Q, F), told apart by `Hit.query`; any floats or
        integers.

        Raises ModelError when the library holds pictures; ConfigError for vectors of another length or that are not
        finite, and k < 1.
        """
        return _joined(self._searcher.search_vectors(vectors, Request.of(k, **options)))

    def search_embeddings(self, x: NDArray[np.float32], k: int = 10, **options: Unpack[Options]) -> list[Hit]:
        """`search` for embeddings x (Q, D) float32 of the library's model. LibraryError when the library has just been
        migrated to another one."""
        return _joined(self._searcher.search_embeddings(x, Request.of(k, **options)))

    def status(self) -> Status:
        """What the library holds, where from, and what could not be read."""
        with self._lock, explained(self.path):
            from sightbook.library import status

            return status.status(self.path, self._catalogue)

    def failures(self) -> list[Failure]:
        """The files that could not be read, by source and path."""
        with self._lock, explained(self.path):
            from sightbook.library import status

            return status.failures(self._catalogue)

    def remove(self, what: Wanted | Iterable[Wanted], *, wait: float = 0.0) -> int:
        """Takes pictures out and returns how many. Their files are not touched, their ids not used again.

        Each of `what` is an id, a key (source, path), or a text: a path as the library shows it or as a shell completes
        it, a folder, a glob of those (`*` crosses `/`), or a source's root or id, which goes as a whole. A file that is
        still in its source comes back with the next `add` of that. wait: as in `add`. Raises LibraryError when one of
        them matches nothing; then nothing goes. ConfigError for what is neither, such as truth values.
        """
        asked = parse(what)
        self._refuse_closed()
        with writing(self.path, wait) as catalogue:
            removed = catalogue.remove(*select(catalogue, self.path, asked))
        self._searcher.follow()
        return removed

    def get(self, id: int) -> PictureFacts:
        """What is known of the picture with this id: where it is, and what it tells about itself. LibraryError when
        there is none."""
        with self._lock, explained(self.path):
            return picture.get(self._catalogue, self.path, id)

    def id_of(self, path: Wanted | os.PathLike[str]) -> int:
        """The id of the picture at a path, as `remove` takes it, or with a key (source, path). LibraryError when there
        is none, or more than one."""
        with self._lock, explained(self.path):
            return picture.id_at(self._catalogue, self.path, path)

    def codes(self) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """ids (N,) int64 ascending and packed codes (N, code_bytes) uint8 of the pictures that can be found."""
        with self._lock, explained(self.path):
            return codes_of(self.path, self._catalogue)

    @takes(count=count, fine=flag)
    def rows(self, count: int, *, fine: bool = False) -> Iterator[list[Row]]:
        """(id, source, path, root, digest, packed code) of the pictures that can be found, `count` at a time, by id,
        all of one state.

        fine: and the fine code of each, in a library that keeps them.
        """
        self._refuse_closed()
        return rows_of(self.path, count, fine)

    def __reduce__(self) -> tuple[Callable[[str], Library], tuple[str]]:
        """Another process opens it anew, at the same place."""
        self._refuse_closed()
        return Library.open, (str(self.path.absolute()),)

    def _refuse_closed(self) -> None:
        if self._closed:
            raise LibraryError(closed(self.path))


def _joined(answers: list[list[Hit]]) -> list[Hit]:
    return [hit for hits in answers for hit in hits]
