"""`migrate`: codes of another model for every picture, while the old library goes on answering until the swap.

Data flow: NEW model → LIBRARY/model.new · sources → encode → table `migration` in the catalogue, committed in batches →
one transaction that gives every picture its new code and the catalogue its new fingerprint (the swap) → model.new
becomes model, library.json is rewritten. The catalogue's fingerprint is the truth: whoever finds model and library.json
behind it after a crash finishes the renaming (`folder.catch_up`). A migration that was stopped goes on where it was.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sightbook.arguments import count, function, model_like, optional, path_like, takes
from sightbook.catalogue import create, folder
from sightbook.catalogue import migration as gathering
from sightbook.catalogue.catalogue import Catalogue
from sightbook.catalogue.fine import at_migration
from sightbook.catalogue.rows import FailureRow
from sightbook.errors import LibraryError, typed
from sightbook.images.entry import Entry, noun
from sightbook.images.pixels.versions import VERSION
from sightbook.ingest.commit import commit_all
from sightbook.ingest.means import Means, encoder_like, seen_like
from sightbook.ingest.order import Order
from sightbook.ingest.passing import failure
from sightbook.ingest.plan import plan_all
from sightbook.ingest.scan import entries_of, is_there
from sightbook.ingest.writing import writing
from sightbook.progress import Listener, Notice, silent
from sightbook.words import counted, verb

if TYPE_CHECKING:
    from sightbook.model.encode import Encoder
    from sightbook.model.model import Model
    from sightbook.model.seen import Seen


@dataclass(frozen=True, slots=True)
class MigrateReport:
    """encoded: pictures with a code of the new model; missing: not in their source any more, left out of searches until
    an `add` finds them; failed: in their source, but not readable now."""

    encoded: int
    missing: int
    failed: int
    seconds: float


@takes(
    path=path_like, model=model_like, jobs=optional(count), seen=optional(seen_like), encode=optional(encoder_like),
    listener=function,
)  # fmt: skip
def migrate(
    path: str | os.PathLike[str],
    model: Model | str | os.PathLike[str],
    *,
    jobs: int | None = None,
    seen: Seen | None = None,
    encode: Encoder | None = None,
    wait: float = 0.0,
    listener: Listener = silent,
) -> MigrateReport:
    """Gives every picture of the library at `path` a code of `model` (or the one in that folder), read again from its
    source; ids and keys stay.

    Fine codes are kept where the model has them and the library did not decline them. Searches go on with the old codes
    until all is done, then with the new ones; other writers wait. Ctrl-C and crashes cost a batch: the same call goes
    on; one with the library's own model calls off what was begun. jobs, seen, encode, wait: as in `Library.add`.
    LibraryError when a source is not there (its pictures would be lost), when the library has that model already or
    the model takes another kind of thing, or another process writes.
    """
    started = time.monotonic()
    path = Path(path)
    if isinstance(model, str | os.PathLike):
        from sightbook.model.model import Model

        model = Model.open(model)
    with writing(path, wait, listener) as catalogue:
        if catalogue.fingerprint == model.fingerprint:
            if not gathering.is_begun(catalogue) and not (path / folder.NEW_MODEL).exists():
                raise LibraryError(
                    f"{path} has the codes of {model.folder} already: there is nothing to migrate"
                )
            counts = gathering.call_off(catalogue)
            shutil.rmtree(path / folder.NEW_MODEL, ignore_errors=True)
            listener(Notice("the migration that was begun is called off: the library keeps its codes"))
            return MigrateReport(*counts, time.monotonic() - started)
        away = [row.root for row in catalogue.sources() if not is_there(row.root)]
        if away:
            what = noun(model.takes_vectors)
            raise LibraryError(
                f"{', '.join(away)} cannot be read now, and codes are made from the {what}: mount its drive, or "
                f"take it out by `sightbook remove {typed(path)} {typed(away[0])}`"
            )
        _follow_moved(catalogue, path, model, listener)
        fine = at_migration(catalogue, model)
        _begin(catalogue, path, model, bool(fine))
        _encode(catalogue, model, bool(fine), Means(encode, jobs, seen, listener))
        report = _swap(catalogue, model, fine, started)
        folder.catch_up(path, catalogue.fingerprint, catalogue.fine)
        return report


def _follow_moved(catalogue: Catalogue, path: Path, model: Model, listener: Listener) -> None:
    """Pictures that were renamed since the last `add` keep their ids: later there is nothing to recognize them by.
    LibraryError when a source holds another kind of thing than the model takes."""
    roots = [row.root for row in catalogue.sources()]
    if not roots:
        return
    plans = plan_all(catalogue, path, Order(roots, prune="all"), listener, model.config)
    for plan in plans:
        for taken in plan.taken:
            taken.commit(catalogue, plan.source.id)
        if plan.moved:
            catalogue.settle(plan.source.id, moved=[moved for moved, _ in plan.moved], now=time.time())


def _begin(catalogue: Catalogue, path: Path, model: Model, fine: bool) -> None:
    """Starts a migration to the model, or goes on with one that was begun; one to another model, or without the fine
    codes that are wanted, is dropped."""
    gathering.begin(catalogue, model.fingerprint, fine)
    create.name_model(catalogue, path, model)
    create.copy_model(model, path / folder.NEW_MODEL)


def _encode(catalogue: Catalogue, model: Model, fine: bool, means: Means) -> None:
    """Codes, and fine codes, of every known picture that is in its source and not encoded yet as it is there, in
    batches."""
    from sightbook.model.encode import Encoded

    gathered, known = gathering.gathered(catalogue), list(_entries(catalogue))
    done = {id for id, entry in known if gathered.get(id) == (entry.size, entry.mtime_ns)}
    gathering.drop(catalogue, gathered.keys() - done)
    todo = [(id, entry) for id, entry in known if id not in done]
    if done:
        what = counted(len(done), noun(model.takes_vectors)[:-1])
        means.listener(Notice(f"{what} {verb(len(done), 'were')} encoded before"))
    if not todo:
        return
    ids = {entry.key: id for id, entry in todo}

    def rows() -> Generator[FailureRow | gathering.NewCode, None, None]:
        with closing(means.results([entry for _, entry in todo], model)) as results:
            for entry, result in results:
                if isinstance(result, Encoded):
                    code = model.pack(result.codes[None])[0].tobytes()
                    more = model.fine(result.x[None])[0].tobytes() if fine else b""
                    stat = (entry.size, entry.mtime_ns)
                    yield gathering.NewCode(ids[entry.key], *stat, result.digest, result.about, code, more)
                else:
                    yield failure(entry, result.reason)

    def commit(rows: list[FailureRow | gathering.NewCode]) -> None:
        good = [row for row in rows if isinstance(row, gathering.NewCode)]
        gathering.gather(catalogue, good, [row for row in rows if isinstance(row, FailureRow)])

    with closing(rows()) as found:
        commit_all(found, commit)


def _entries(catalogue: Catalogue) -> Iterator[tuple[int, Entry]]:
    """(id, entry) of the known pictures that their sources hold now."""
    for source in catalogue.sources():
        known = catalogue.known(source.id)
        for entry in entries_of(source):
            row = known.get(entry.path)
            if row is not None and row.id is not None:
                yield row.id, entry


def _swap(catalogue: Catalogue, model: Model, fine: int | None, started: float) -> MigrateReport:
    """One transaction: after it every search finds the new codes."""
    counts = gathering.swap(catalogue, model.fingerprint, (model.bits + 7) // 8, fine, VERSION)
    return MigrateReport(*counts, time.monotonic() - started)
