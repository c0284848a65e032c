"""`check`: is everything in a LIBRARY as it should be? What can be derived from the catalogue is repaired on the way.

Data flow: library.json → model (digests) → catalogue (SQLite's own check, then ours: codes, keys, states) → cache
(rebuilt when it is not the catalogue's) → sources (are they there, and do files still look as they did). Nothing but
the catalogue is the only copy of anything, so nothing but a damaged catalogue is beyond repair (salvage.py).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from sightbook.catalogue import folder, migration, soundness
from sightbook.catalogue.catalogue import NAME, Catalogue
from sightbook.catalogue.database import DatabaseError, explained
from sightbook.catalogue.folder import Facts
from sightbook.catalogue.lock import writer_lock
from sightbook.catalogue.snapshot import read
from sightbook.catalogue.versions import FORMAT
from sightbook.errors import LibraryError, SightbookError, typed
from sightbook.images.entry import noun
from sightbook.images.kinds.registry import holds_vectors
from sightbook.library.care.compact import make_anew, remove_leftovers
from sightbook.library.care.finding import Finding
from sightbook.library.care.sources import look_at_sources
from sightbook.model.config import ModelConfig
from sightbook.model.folder import check_contents
from sightbook.words import counted

_ROUNDS = 5


def check(path: Path) -> list[Finding]:
    """Looks at everything, repairs what is derivable, and tells what was found; where the library cannot be written it
    only looks. LibraryError when this is no library, or another process writes it."""
    if not (path / folder.JSON).exists():
        folder.read_facts(path)  # says why this is no library
    with explained(path), writer_lock(path, or_read_only=True) as ours:
        if ours:
            return [*_leftovers(path), *_migration(path, ours), *_look(path, ours)]
        for _ in range(_ROUNDS):  # whoever may write may do so meanwhile, as no lock tells
            before = _stamp(path)
            found = [*_migration(path, ours), *_look(path, ours)]
            if _stamp(path) == before:
                break
        text = "it cannot be written from here (read-only disk, or no right to): nothing was repaired"
        return [Finding("folder", "note", text), *found]


def _look(path: Path, ours: bool) -> list[Finding]:
    """Model, catalogue, cache and sources. ours: the writer lock is held, and what can be repaired is."""
    facts, found = model_of(path)
    catalogue, said = _catalogue(path, facts, ours)
    found += said
    if catalogue is None or facts is None:
        return found

    def look() -> list[Finding]:
        return [*_cache(path, facts, catalogue, ours), *look_at_sources(catalogue)]

    try:
        # One state; by the lock it is one in any case, and a repair must not wait for the end of a reading.
        return found + (look() if ours else catalogue.steadily(look))
    finally:
        catalogue.close()


def _stamp(path: Path) -> str | None:
    try:
        with contextlib.closing(Catalogue.read(path / NAME)) as catalogue:
            return catalogue.stamp
    except (DatabaseError, TypeError):
        return None


def _leftovers(path: Path) -> Iterator[Finding]:
    if count := remove_leftovers(path):
        yield Finding("folder", "repaired", f"{count} leftovers of an interrupted writer were removed")


def _migration(path: Path, ours: bool) -> Iterator[Finding]:
    """Finishes the swap of a migration, and tells of one that was stopped before it."""
    try:
        with contextlib.closing(Catalogue.read(path / NAME)) as catalogue:
            if ours:
                folder.catch_up(path, catalogue.fingerprint, catalogue.fine)
            if not (path / folder.NEW_MODEL).exists():
                return
            done, known = migration.progress(catalogue)
            what = _noun(catalogue)
    except (DatabaseError, SightbookError, TypeError):
        return  # what is wrong is found where it belongs
    yield Finding(
        "migration",
        "note",
        f"a migration to another model was stopped with {done:,} of {known:,} {what} encoded: the same "
        f"`sightbook migrate` goes on with it, and with `--model {typed(path / 'model')}` it is called off",
    )


def model_of(path: Path) -> tuple[Facts | None, list[Finding]]:
    """library.json and the model in it."""
    found = []
    facts: Facts | None = None
    try:
        config = ModelConfig.read(path / "model")
        check_contents(path / "model", config)
        found.append(
            Finding("model", "ok", f"{config.method}, {config.bits} bits, {config.fingerprint[:12]}")
        )
    except (SightbookError, OSError, LookupError, TypeError) as error:
        config = None
        found.append(Finding("model", "broken", str(error)))
    try:
        facts = folder.read_facts(path)
        if config is not None and facts.fingerprint != config.fingerprint:
            text = f"{path / 'model'} is another model than {folder.JSON} names: copy the whole library again"
            found.append(Finding(folder.JSON, "broken", text))
            return None, found
        found.append(Finding(folder.JSON, "ok", f"made {facts.created}"))
    except LibraryError as error:
        found.append(Finding(folder.JSON, "broken", str(error)))
    return facts, found


def _catalogue(path: Path, facts: Facts | None, ours: bool) -> tuple[Catalogue | None, list[Finding]]:
    """The catalogue, open for reading, when it can be trusted."""
    try:
        catalogue = Catalogue.read(path / NAME)
    except DatabaseError as error:
        return None, [_beyond_repair(path, str(error))]
    said = _judge(path, catalogue, facts, ours)
    if any(finding.verdict == "broken" for finding in said):
        catalogue.close()
        return None, said
    return catalogue, said


def _judge(path: Path, catalogue: Catalogue, facts: Facts | None, ours: bool) -> list[Finding]:
    try:
        if faults := soundness.faults(catalogue):
            return [_beyond_repair(path, faults[0])]
        said = list(_rows(path, catalogue, facts))
        if facts is not None and not said:
            said += _fine(path) if ours else _lacking_fine(catalogue)
        if any(finding.verdict == "broken" for finding in said):
            return said
        counts = catalogue.counts().values()
        good, gone = sum(each.good for each in counts), sum(each.missing for each in counts)
        text = counted(good, _noun(catalogue)[:-1]) + (f", {gone:,} missing" if gone else "")
        return [*said, Finding("catalogue", "ok", text)]
    except DatabaseError as error:
        return [_beyond_repair(path, str(error))]


def _beyond_repair(path: Path, reason: str) -> Finding:
    return Finding(
        "catalogue",
        "broken",
        f"{path / NAME} is damaged ({reason}): restore it from a copy, or run "
        f"`sightbook check {typed(path)} --salvage`, which saves what can be read into a new one; the next "
        "`sightbook add` completes it",
    )


def _rows(path: Path, catalogue: Catalogue, facts: Facts | None) -> Iterator[Finding]:
    """What SQLite cannot know: format, model, length of codes, states."""
    if catalogue.format > FORMAT:
        yield Finding("catalogue", "broken", f"its format is {catalogue.format}: update sightbook")
        return
    if facts is None:
        return
    if catalogue.fingerprint != facts.fingerprint:
        yield Finding("catalogue", "broken", f"its codes are of another model than {path / 'model'}")
        return
    for count, what in soundness.impossible_rows(catalogue, facts.code_bytes):
        yield _beyond_repair(path, f"{count} {_noun(catalogue)} have {what}")


def _fine(path: Path) -> Iterator[Finding]:
    """Every picture that can be found has its fine code, where the library keeps them; they are made of pictures, so
    the next `add` makes what is lacking."""
    catalogue = folder.open_catalogue(path)
    try:
        lacking, stray = catalogue.mend_fine()
        what = _noun(catalogue)
    finally:
        catalogue.close()
    if lacking:
        yield Finding(
            "fine codes",
            "repaired",
            f"{lacking:,} {what} had none, or a damaged one: the next `sightbook add` reads them again, until then "
            "they are left out of searches",
        )
    if stray:
        yield Finding("fine codes", "repaired", f"{stray:,} of {what} that are gone were removed")


def _lacking_fine(catalogue: Catalogue) -> Iterator[Finding]:
    """The same where nothing can be mended."""
    count = catalogue.lacking_fine()
    if count:
        yield Finding(
            "fine codes", "broken", f"{count:,} {_noun(catalogue)} have none: run this where you may write"
        )


def _cache(path: Path, facts: Facts, catalogue: Catalogue, ours: bool) -> Iterator[Finding]:
    """The engine's copy of all codes: made anew unless it is the catalogue's, row for row."""
    cache, width = path / "cache", catalogue.fine or 0
    stamp, ids, joined = catalogue.codes()
    fine = catalogue.fine_codes()[2] if width else b""
    held = read(cache, stamp, facts.code_bytes, width)
    if held is not None:
        fines = b"" if held.fine is None else held.fine.tobytes()
        if held.ids.tobytes() == ids.tobytes() and held.packed.tobytes() == joined and fines == fine:
            yield Finding(
                "cache", "ok", f"{counted(len(ids), 'code')}" + (" and fine codes" if width else "")
            )
            return
        if not ours:
            text = (
                "it does not hold the catalogue's codes: run this where you may write, or remove its folder"
            )
            yield Finding("cache", "broken", text)
            return
        yield Finding("cache", "repaired", "it did not hold the catalogue's codes and was made anew")
    elif ours:
        yield Finding("cache", "ok", "made anew from the catalogue")
    else:
        yield Finding(
            "cache", "note", "there is none of this state: each program that searches makes its own"
        )
        return
    make_anew(cache, catalogue, facts)


def _noun(catalogue: Catalogue) -> str:
    return noun(any(holds_vectors(source.kind) for source in catalogue.sources()))
