"""A collection of pictures with their codes, on disk: open, add, search, status, remove.

Data flow: `add` scans sources and writes rows and codes into the catalogue (ingest.py); `search` encodes the query,
scores it against a snapshot of all codes (answers.py, engines.py, snapshot.py) and looks up the keys of the best.
Any number of processes may read while one writes; readers see whole batches.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from sightbook.arguments import (
    count,
    described,
    flag,
    function,
    model_like,
    optional,
    path_like,
    paths,
    takes,
    texts,
)
from sightbook.catalogue import folder, remembered
from sightbook.catalogue.catalogue import NAME, Catalogue
from sightbook.catalogue.database import closed, explained
from sightbook.catalogue.folder import Facts
from sightbook.catalogue.lock import waiting, writer_lock
from sightbook.catalogue.versions import refuse_newer
from sightbook.errors import ConfigError, LibraryError, ModelError, typed
from sightbook.images.entry import locate, noun
from sightbook.images.ours import DRAWN
from sightbook.ingest.report import AddPlan, AddReport, Failure
from sightbook.library import picture
from sightbook.library.picture import PictureFacts
from sightbook.library.selection import Wanted, select, wanted
from sightbook.library.status import SourceStatus, Status
from sightbook.progress import Listener, Notice, silent
from sightbook.search.hit import Hit
from sightbook.search.searcher import Answers
from sightbook.words import counted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sightbook.catalogue.rows import Counts, SourceRow
    from sightbook.catalogue.snapshot import Snapshot
    from sightbook.images.left_out import Group
    from sightbook.images.pixels.picture import Picture
    from sightbook.ingest.add import Prune
    from sightbook.model.config import ModelConfig
    from sightbook.model.model import Model
    from sightbook.model.seen import Seen

_T = TypeVar("_T")
_ROUNDS = 5  # tries to read a library whose model is being exchanged
_GROWN = 2  # times what a model was learned from: then learning anew pays


def _prune(value: Any, name: str) -> Any:
    return value if isinstance(value, str) and value == "all" else flag(value, name)


def _seen(value: Any, name: str) -> Any:
    from sightbook.model.seen import Seen

    if not isinstance(value, Seen):
        raise ConfigError(
            f"{name} is {described(value)}: give what learning returned (sightbook.model.seen.Seen)"
        )
    return value


class _Read(NamedTuple):
    """What `status` reads, of one committed state."""

    rows: list[SourceRow]
    counts: dict[str, Counts]
    failed: list[Failure]
    facts: Facts
    config: ModelConfig
    drawn: dict[str, set[str]]
    excludes: dict[str, tuple[str, ...]]
    left_out: dict[str, list[Group]]


class Library:
    """An open LIBRARY folder. Use as a context manager, or `close` it. Searching is safe from several threads."""

    def __init__(self, path: Path, facts: Facts, catalogue: Catalogue) -> None:
        self.path, self._catalogue, self._closed = path, catalogue, False
        self._lock = threading.RLock()
        self._answers = Answers(path, facts, catalogue, self._lock)

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
        path = Path(path)
        if create_with is not None and not folder.exists(path):
            from sightbook.model.model import Model

            folder.create(
                path, create_with if isinstance(create_with, Model) else Model.open(create_with), fine
            )
        folder.read_facts(path)
        with explained(path):
            catalogue = Catalogue.read(path / NAME)
            try:
                facts = _facts(path, catalogue)
                folder.check_fine(path, facts, fine)
            except BaseException:
                catalogue.close()
                raise
        library = cls(path, facts, catalogue)
        if create_with is not None:
            library._check_model(create_with)
        return library

    def close(self) -> None:
        """Closes the catalogue; closing twice is fine."""
        self._closed = True
        self._catalogue.close()

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
        return self._answers.facts

    @property
    def model(self) -> Model:
        """The library's own copy of its model, loaded at first use; another one after a migration."""
        return self._answers.model

    @takes(
        model=optional(model_like), jobs=optional(count), moved_from=optional(path_like), retry=flag, exclude=texts,
        prune=_prune, seen=optional(_seen), listener=function,
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
        before: those that are as they were are not opened. wait: seconds to wait for another writer to end. A listener
        that raises stops it: what was encoded is kept, and the exception passes on. Raises LibraryError (another
        writer, another model, a full or read-only disk, a prune that would take everything) and SourceError.
        """
        self._refuse_closed()
        if model is not None:
            self._check_model(model)
        from sightbook.ingest import add as ingest
        from sightbook.ingest import sizes

        tell = lambda text: listener(Notice(text))  # noqa: E731
        specs = paths(sources, "sources")
        with explained(self.path), waiting(wait, tell), writer_lock(self.path):
            catalogue = folder.open_catalogue(self.path)
            try:
                report = ingest.add(
                    catalogue,
                    self.path,
                    lambda: self.model,
                    specs,
                    jobs=jobs,
                    moved_from=moved_from,
                    retry=retry,
                    exclude=exclude,
                    forget_excludes=forget_excludes,
                    prune=prune,
                    seen=seen,
                    listener=listener,
                )
                if report.added and (said := sizes.said(catalogue, self.path, report.added)):
                    listener(Notice(said))
            finally:
                catalogue.close()
        self._answers.follow()
        return report

    @classmethod
    @takes(
        path=path_like, moved_from=optional(path_like), retry=flag, exclude=texts, prune=_prune,
        listener=function,
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
        from sightbook.ingest import add as ingest

        path, specs = Path(path), paths(sources, "sources")
        with explained(path):
            if folder.exists(path):
                with cls.open(path):
                    catalogue = Catalogue.read(path / NAME)
            else:
                catalogue = Catalogue.create(Path(":memory:"), "")
            try:
                plans = ingest.planned(
                    catalogue, path, specs,
                    moved_from=moved_from, retry=retry, exclude=exclude, forget_excludes=forget_excludes, prune=prune,
                    listener=listener,
                )  # fmt: skip
                return ingest.told(catalogue, plans)
            finally:
                catalogue.close()

    @takes(k=count, scan_bits=optional(count), fine=optional(flag))
    def search(
        self,
        images: Picture | Sequence[Picture],
        k: int = 10,
        *,
        scan_bits: int | None = None,
        among: Collection[int] | None = None,
        fine: bool | None = None,
    ) -> list[Hit]:
        """The `k` pictures most like each query picture, best first, equal scores by id.

        images: a path, the bytes of a picture file, an RGB array (H, W, 3) uint8 or Pillow image, or a list of those:
        several searches in one, told apart by `Hit.query`. A query that is in the library finds itself,
        with a score of 1; 0 is the average picture of the library, whatever is chosen from.
        scan_bits: scan the first bits of each code only, where the model has nested codes, and score the best of them
        by the whole code: faster in large libraries, but a picture may be missed. among: the ids to choose from, where
        not all pictures are meant; those that are not in the library are passed over. fine: None goes by fine codes,
        too, where the library keeps them: the first max(400, 2k) by code are put in the order of both together; False
        leaves them out. Raises PictureError for a query that cannot be read, LibraryError, ModelError, ConfigError
        (k < 1, or fine=True where there are no fine codes).
        """
        return self._answers.search(images, k, scan_bits, among, fine)

    @takes(k=count, scan_bits=optional(count), fine=optional(flag))
    def search_vectors(
        self,
        vectors: NDArray[Any],
        k: int = 10,
        *,
        scan_bits: int | None = None,
        among: Collection[int] | None = None,
        fine: bool | None = None,
    ) -> list[Hit]:
        """`search` in a library of vectors: one (F,), or several (Q, F), told apart by `Hit.query`; any floats or
        integers.

        Raises ModelError when the library holds pictures; ConfigError for vectors of another length or that are not
        finite, and k < 1.
        """
        return self._answers.search_vectors(vectors, k, scan_bits, among, fine)

    @takes(k=count, scan_bits=optional(count), fine=optional(flag))
    def search_embeddings(
        self,
        x: NDArray[np.float32],
        k: int = 10,
        *,
        scan_bits: int | None = None,
        among: Collection[int] | None = None,
        fine: bool | None = None,
    ) -> list[Hit]:
        """`search` for embeddings x (Q, D) float32 of the library's model. LibraryError when the library has just been
        migrated to another one."""
        return self._answers.search_embeddings(x, k, scan_bits, among, fine)

    def status(self) -> Status:
        """What the library holds, where from, and what could not be read."""
        from sightbook.ingest.scan import is_there
        from sightbook.model import released
        from sightbook.model.config import ModelConfig

        def read() -> _Read:
            facts = self.facts
            config = ModelConfig.read(folder.model_of(self.path, facts.fingerprint))
            rows = self._catalogue.sources()
            return _Read(
                rows,
                self._catalogue.counts(),
                self.failures(),
                facts,
                config,
                {row.id: remembered.drawn(self._catalogue, row.id) for row in rows},
                remembered.excludes(self._catalogue),
                remembered.left_out(self._catalogue),
            )

        with self._lock, explained(self.path):
            rows, counts, failed, facts, config, drawn, excludes, left_out = self._settled(read)
        sources = [
            SourceStatus(
                row.id,
                row.kind,
                row.root,
                is_there(row.root),
                *counts[row.id]._replace(failures=counts[row.id].failures - len(drawn[row.id])),
                added=row.added,
                scanned=row.scanned,
                exclude=excludes.get(row.id, ()),
                left_out=remembered.with_drawn(row, left_out.get(row.id, []), drawn[row.id]),
            )
            for row in rows
        ]
        pictures = sum(source.pictures for source in sources)
        return Status(
            path=str(self.path),
            format=facts.format,
            holds=noun(config.frame is None),
            pictures=pictures,
            missing=sum(source.missing for source in sources),
            unreadable=sum(source.unreadable for source in sources),
            failures=len(failed),
            bits=facts.bits,
            M=facts.M,
            K=facts.K,
            fine_bytes=facts.fine_bytes,
            fingerprint=facts.fingerprint,
            method=config.method,
            pretraining=config.pretraining,
            learned_from=int(config.trained.get("pictures", 0)),
            advice=_advice(config, pictures) if config.described else None,
            model=released.name_of(facts.fingerprint),
            backbone=config.backbone,
            side=None if config.frame is None else config.frame.size,
            selection=config.selection,
            created=facts.created,
            bytes=folder.size(self.path),
            sources=sources,
            failed=failed,
        )

    def failures(self) -> list[Failure]:
        """The files that could not be read, by source and path."""
        with self._lock, explained(self.path):
            sources, rows = self._catalogue.steadily(
                lambda: ({row.id: row for row in self._catalogue.sources()}, self._catalogue.failures())
            )
        return [
            Failure(
                row.source,
                row.path,
                locate(sources[row.source].kind, sources[row.source].root, row.path),
                row.reason,
                row.failed,
            )
            for row in rows
            if row.source in sources and row.reason != DRAWN
        ]

    def remove(self, what: Wanted | Iterable[Wanted], *, wait: float = 0.0) -> int:
        """Takes pictures out and returns how many. Their files are not touched, their ids not used again.

        Each of `what` is an id, a key (source, path), or a text: a path as the library shows it or as a shell completes
        it, a folder, a glob of those (`*` crosses `/`), or a source's root or id, which goes as a whole. A file that is
        still in its source comes back with the next `add` of that. wait: as in `add`. Raises LibraryError when one of
        them matches nothing; then nothing goes. ConfigError for what is neither, such as truth values.
        """
        asked = wanted(what)
        self._refuse_closed()
        with explained(self.path), waiting(wait), writer_lock(self.path):
            catalogue = folder.open_catalogue(self.path)
            try:
                removed = catalogue.remove(*select(catalogue, self.path, asked))
            finally:
                catalogue.close()
        self._answers.follow()
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
        from sightbook.catalogue.snapshot import load

        def read() -> Snapshot:
            fingerprint, fine = self._catalogue.fingerprint, self._catalogue.fine
            facts = folder.facts_of(self.path, fingerprint, fine)
            return load(self._catalogue, self.path / "cache", facts.code_bytes)

        with self._lock, explained(self.path):
            found = self._catalogue.steadily(read)
        return found.ids, found.packed

    @takes(count=count, fine=flag)
    def rows(
        self, count: int, *, fine: bool = False
    ) -> Iterator[list[tuple[int, str, str, str, bytes, *tuple[bytes, ...]]]]:
        """(id, source, path, root, digest, packed code) of the pictures that can be found, `count` at a time, by id,
        all of one state.

        fine: and the fine code of each, in a library that keeps them.
        """
        self._refuse_closed()
        with explained(self.path), closing(Catalogue.read(self.path / NAME)) as catalogue:
            catalogue.stand_still()
            after = 0
            while found := catalogue.page(after, count, fine=fine):
                if not catalogue.stands():
                    raise LibraryError(
                        f"{self.path} was written while its rows were read, and you may not read along: ask for them "
                        "again"
                    )
                yield found
                after = found[-1][0]

    # Parts

    def __reduce__(self) -> tuple[Callable[[str], Library], tuple[str]]:
        """Another process opens it anew, at the same place."""
        self._refuse_closed()
        return Library.open, (str(self.path.absolute()),)

    def _refuse_closed(self) -> None:
        if self._closed:
            raise LibraryError(closed(self.path))

    def _settled(self, read: Callable[[], _T]) -> _T:
        """What `read` makes of one state of the catalogue and the model that belongs to it: a migration may put another
        one in its place between two steps."""
        for _ in range(_ROUNDS):
            with suppress(LibraryError, ModelError):
                return self._catalogue.steadily(read)
        return self._catalogue.steadily(read)

    def _check_model(self, model: Model | str | os.PathLike[str]) -> None:
        """Refuses a model whose codes would not compare with those in the library."""
        from sightbook.model.config import ModelConfig

        name: object = model
        if isinstance(model, str | os.PathLike):
            config = ModelConfig.read(Path(model))
        else:
            config, name = model.config, model.folder
        if config.fingerprint != self.facts.fingerprint:
            raise LibraryError(
                f"{self.path} was made with another model ({self.facts.bits} bits, fingerprint "
                f"{self.facts.fingerprint[:12]}) than {name} ({config.bits} bits, {config.fingerprint[:12]}): leave "
                f"the model out to go on with its own, take the other one by `sightbook migrate "
                f"{typed(self.path)} --model {typed(str(name))}`, or give another folder for a new library"
            )


def _facts(path: Path, catalogue: Catalogue) -> Facts:
    """The facts of one state. LibraryError when this program cannot read it, or it is none."""

    def read() -> tuple[int, str, int | None]:
        laid_out = catalogue.format
        return (laid_out, catalogue.fingerprint, catalogue.fine) if laid_out else (0, "", None)

    for left in range(_ROUNDS, 0, -1):
        state = catalogue.steadily(read)
        refuse_newer(state[0], path)
        try:
            return folder.facts_of(path, *state[1:])
        except LibraryError:
            if left == 1:
                raise
    raise AssertionError


def _advice(config: ModelConfig, pictures: int) -> str | None:
    """What a library has grown to is worth another look once it is twice what its description was learned from, up to
    as many as descriptions are learned from (docs/neighbours.md). Over another network than the built-in one it is the
    user who has that network."""
    from sightbook.describe.learn import ANCHORS
    from sightbook.model.builtin import BUILTIN

    learned_from, holds = int(config.trained.get("pictures", 0)), noun(config.frame is None)
    if not learned_from or pictures < _GROWN * learned_from or learned_from >= ANCHORS:
        return None
    ours = config.frame is None or config.network.get("backbone", {}).get("kind") == BUILTIN
    how = (
        "`sightbook migrate` with --learn learns another one"
        if ours
        else "train another one over its network and give that to `sightbook migrate`"
    )
    return (
        f"the library's model was learned from {counted(learned_from, holds[:-1])} and it holds {pictures:,}: {how}, "
        "answers will be better"
    )
