"""`sightbook status`: what a library holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sightbook.cli.options import Json, LibraryFolder

if TYPE_CHECKING:
    from sightbook.library.results import Status

_SHOWN_FAILURES = 20


def status(
    library: LibraryFolder,
    failures: Annotated[
        bool, typer.Option("--failures", help="List every picture that could not be read.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what a library holds.

    Its pictures, its sources, its model, and what could not be read.

    \b
    Examples:
      sightbook status library/
      sightbook status library/ --failures
    """
    from sightbook.cli.output import emit, emit_json
    from sightbook.library.library import Library

    with Library.open(library) as opened:
        found = opened.status()
    if as_json:
        emit_json(found)
    else:
        emit(text(found, every_failure=failures))


def text(found: Status, *, every_failure: bool) -> str:
    """The status for people."""
    from sightbook.cli.output import columns

    facts = [
        ("library", found.path),
        (found.holds, f"{found.pictures:,}" + _absent(found.missing, found.unreadable)),
        (
            "model",
            (f"{found.model}: " if found.model else "")
            + f"{found.method}, {found.bits} bits ({found.M} codebooks of {found.K}), {found.fingerprint[:12]}",
        ),
        *([("fine codes", f"{found.fine_bytes} bytes a {found.holds[:-1]}")] if found.fine_bytes else []),
        *([("backbone", found.backbone)] if found.backbone else []),
        *([("sees", f"{found.side} × {found.side} pixels of a picture")] if found.side else []),
        ("pretraining", found.pretraining),
        ("on disk", f"{found.bytes / 1e6:,.1f} MB"),
        ("created", found.created),
    ]
    parts = [columns(facts), *(["", f"advice: {found.advice}"] if found.advice else []), "", "sources"]
    parts += [
        f"  {source.root} ({source.kind}): {source.pictures:,} {found.holds}"
        + _absent(source.missing, source.unreadable)
        + ("" if source.present else ", the source is not there now")
        + ("" if source.scanned is not None else ", not gone through to its end yet")
        for source in found.sources
    ]
    if found.failures:
        shown = found.failed if every_failure else found.failed[:_SHOWN_FAILURES]
        parts += ["", f"{found.failures:,} could not be read"]
        parts += [f"  {failure.locator}: {failure.reason}" for failure in shown]
        if len(shown) < found.failures:
            parts.append(f"  ... and {found.failures - len(shown):,} more: --failures lists them all")
    return "\n".join(parts)


def _absent(missing: int, unreadable: int) -> str:
    """', 3 missing, 1 unreadable', or nothing."""
    words = ((missing, "missing"), (unreadable, "unreadable"))
    return "".join(f", {count:,} {word}" for count, word in words if count)
