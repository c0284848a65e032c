"""`sightbook status`: what a library holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sightbook.cli.options import Json, LibraryFolder

if TYPE_CHECKING:
    from sightbook.library.status import SourceStatus, Status

_SHOWN_FAILURES = 20


def status(
    library: LibraryFolder,
    failures: Annotated[
        bool, typer.Option("--failures", help="List every picture that could not be read.")
    ] = False,
    left_out: Annotated[
        bool, typer.Option("--left-out", help="Name what the sources hold and the library does not take.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what a library holds.

    Its pictures, its sources, its model, what could not be read, and what was left out.

    \b
    Examples:
      sightbook status library/
      sightbook status library/ --failures
      sightbook status library/ --left-out
    """
    from sightbook.cli.output import answer
    from sightbook.library.library import Library

    with Library.open(library) as opened:
        found = opened.status()
    answer(found, text(found, every_failure=failures, names=left_out), as_json=as_json)


def text(found: Status, *, every_failure: bool, names: bool = False) -> str:
    """The status for people. names: also of what was left out."""
    from sightbook.words import columns, counted

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
    for source in found.sources:
        parts.append(
            f"  {source.root} ({source.kind}): {counted(source.pictures, found.holds[:-1])}"
            + _absent(source.missing, source.unreadable)
            + ("" if source.present else ", the source is not there now")
            + ("" if source.scanned is not None else ", not gone through to its end yet")
        )
        if source.exclude:
            parts.append(f"    excluded: {', '.join(source.exclude)}")
        parts += _left_out(source, names)
    if found.failures:
        shown = found.failed if every_failure else found.failed[:_SHOWN_FAILURES]
        parts += ["", f"{found.failures:,} could not be read"]
        parts += [f"  {failure.locator}: {failure.reason}" for failure in shown]
        if len(shown) < found.failures:
            parts.append(f"  ... and {found.failures - len(shown):,} more: --failures lists them all")
        parts.append("  `sightbook add` with --retry tries again")
    return "\n".join(parts)


def _left_out(source: SourceStatus, names: bool) -> list[str]:
    """What the last `add` left out of a source: counts, or each group with its names."""
    from sightbook.images.left_out import sentence, title

    if not names:
        return [f"    left out: {sentence(source.left_out)}"] if source.left_out else []
    lines = []
    for group in source.left_out:
        lines += [f"    left out: {title(group)}", *(f"      {name}" for name in group.names)]
        if len(group.names) < group.count:
            lines.append(f"      ... and {group.count - len(group.names):,} more")
    return lines


def _absent(missing: int, unreadable: int) -> str:
    """', 3 missing, 1 unreadable', or nothing."""
    words = ((missing, "missing"), (unreadable, "unreadable"))
    return "".join(f", {count:,} {word}" for count, word in words if count)
