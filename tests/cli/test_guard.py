"""How a verb ends: exit statuses, sentences, and what standard output holds then."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from sightbook.cli.guard import PartialFailure, guarded, sentence
from sightbook.cli.output import emit, emit_json
from sightbook.errors import ConfigError, LibraryError, MissingExtra


def failing(error: BaseException) -> Callable[..., None]:
    def verb(**_: Any) -> None:
        raise error

    return guarded(verb)


def ending(
    verb: Callable[..., None], capsys: pytest.CaptureFixture[str], **options: Any
) -> tuple[Any, str, str]:
    with pytest.raises(SystemExit) as leaving:
        verb(**options)
    captured = capsys.readouterr()
    return leaving.value.code, captured.out, captured.err


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (LibraryError("lib is no library:\n give another"), "lib is no library: give another"),
        (
            MissingExtra("Training", "train"),
            'Training needs packages that are not installed: pip install "sightbook[train]"',
        ),
        (
            OSError(errno.ENOSPC, "No space", "a/b"),
            "a/b: the disk is full: free some space and run the same command again",
        ),
        (OSError(errno.EROFS, "Read-only", "m"), "m: the disk is read-only: choose a folder on another one"),
        (
            PermissionError(errno.EACCES, "denied", b"x"),
            "x: access is denied: change the permissions or choose another folder",
        ),
        (FileNotFoundError(errno.ENOENT, "none", "y"), "y: there is no such file or folder: check the name"),
        (
            ModuleNotFoundError("No module", name="torch"),
            'torch is not installed: pip install "sightbook[train]"',
        ),
        (LibraryError("lib/two  blanks.jpg is no picture"), "lib/two  blanks.jpg is no picture"),
        (
            OSError(errno.ESTALE, "Stale file handle", "nfs/a"),
            "nfs/a: the network drive does not answer: mount it again and run the same command again",
        ),
        (OSError(errno.ELOOP, "Too many levels", "l"), "l: links lead in a circle: check the name"),
        (MemoryError(), "the machine is out of memory: close other programs or use fewer --jobs"),
    ],
)
def test_what_a_user_can_act_on_is_one_sentence_and_exit_1(
    error: Exception, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ending(failing(error), capsys) == (1, "", f"sightbook: {text}\n")


def test_a_bug_shows_its_traceback_and_asks_for_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ending(failing(ZeroDivisionError("division by zero")), capsys)
    assert (code, out) == (1, "")
    assert "Traceback" in err and "ZeroDivisionError: division by zero" in err
    assert (
        err.splitlines()[-1]
        == "sightbook: this is a bug in sightbook 0.1.0: please report it with the lines above"
    )


def test_a_plain_oserror_without_a_number_is_a_bug() -> None:
    assert sentence(OSError("odd")) is None


def test_debugging_shows_the_traceback_of_a_mistake_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SIGHTBOOK_DEBUG", "1")
    _, _, err = ending(failing(ConfigError("no such key")), capsys)
    assert "Traceback" in err and err.endswith("sightbook: no such key\n")


def test_ctrl_c_says_that_what_was_committed_stays(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(failing(KeyboardInterrupt()), capsys) == (130, "", "Stopped; what was committed stays.\n")


def test_with_json_a_failure_is_a_document_too(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ending(failing(ConfigError("no such key")), capsys, as_json=True)
    assert code == 1 and err == "sightbook: no such key\n"
    assert json.loads(out) == {"error": {"kind": "ConfigError", "message": "no such key"}}


def test_a_partial_failure_adds_no_second_document(capsys: pytest.CaptureFixture[str]) -> None:
    def verb(*, as_json: bool) -> None:
        emit('{"failed": 2}')
        raise PartialFailure("two failed")

    code, out, err = ending(guarded(verb), capsys, as_json=True)
    assert (code, json.loads(out), err) == (1, {"failed": 2}, "sightbook: two failed\n")


def test_a_closed_pipe_ends_the_program_quietly() -> None:
    code = (
        "from sightbook.cli.guard import guarded; from sightbook.cli.output import emit\n"
        "def verb():\n"
        "    for number in range(100_000): emit(str(number))\n"
        "guarded(verb)()"
    )
    reading, writing = os.pipe()
    process = subprocess.Popen([sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    with os.fdopen(reading, "rb", 0) as pipe:  # each line is a write of its own: ask for them one by one
        assert (pipe.readline(), pipe.readline()) == (b"0\n", b"1\n")
    _, err = process.communicate(timeout=100)
    assert (process.returncode, err) == (141, b"")


def test_json_is_valid_unicode_whatever_names_it_holds(capsys: pytest.CaptureFixture[str]) -> None:
    emit_json({"native \udcff": ["\U0001f480", "kept \uefff", "a\\udcff \udce9"]})
    document = json.loads(capsys.readouterr().out)
    assert document == {"native \uefff": ["\U0001f480", "kept \uefff", "a\\udcff \uefe9"]}


def test_names_a_terminal_cannot_show_are_escaped(capfd: pytest.CaptureFixture[str]) -> None:
    code = "from sightbook.cli.output import emit; emit('caf\\xe9 \\udcff')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"caf\\xe9 \\udcff\n"
