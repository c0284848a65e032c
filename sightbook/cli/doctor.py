"""`sightbook doctor`: what this machine has and what is missing."""

from __future__ import annotations

from sightbook.cli.options import Json


def doctor(as_json: Json = False) -> None:
    """Say what this machine has and what is missing.

    Device, picture formats, versions, extras, folders: put it into a bug report, too.

    Every picture format is tried on a real picture. Exits 1 when something that sightbook cannot do without is broken.

    \b
    Example:
      sightbook doctor
    """
    from itertools import groupby

    from sightbook.cli.guard import PartialFailure
    from sightbook.cli.machine import checks
    from sightbook.cli.output import emit, emit_json
    from sightbook.words import columns

    found = list(checks())
    broken = [check.name for check in found if check.verdict == "broken"]
    if as_json:
        groups = groupby(found, key=lambda check: check.group)
        document = {
            group: {check.name: {"verdict": check.verdict, "text": check.text} for check in members}
            for group, members in groups
        }
        emit_json({"ok": not broken, **document})
    else:
        marks = {"ok": "ok", "missing": "--", "broken": "BROKEN"}
        emit(columns([(check.group, check.name, marks[check.verdict], check.text) for check in found]))
    if broken:
        raise PartialFailure(f"broken here: {', '.join(broken)}; the list says what to do")
