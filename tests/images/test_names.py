"""File names as storable text."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightbook.catalogue.rows import root_to_column
from sightbook.images.names import escape, to_native, to_text

# What a POSIX name can be: any bytes but '/' and NUL, as Python shows them.
names = st.binary(min_size=1).filter(lambda raw: b"/" not in raw and b"\0" not in raw).map(os.fsdecode)
optu = st.text(st.characters(min_codepoint=0xEF00, max_codepoint=0xF000), min_size=1)


@given(st.one_of(names, optu, st.text(st.characters(exclude_categories=["Cs"]))))
def test_every_name_goes_there_and_back(name: str) -> None:
    assert to_native(to_text(name)) == name


@given(st.one_of(names, optu))
def test_text_is_always_storable(name: str) -> None:
    text = to_text(name)
    assert text.encode("utf-8").decode("utf-8") == text
    assert json.loads(json.dumps(text)) == text


@given(names, names)
def test_two_names_never_share_a_text(one: str, other: str) -> None:
    assert (to_text(one) == to_text(other)) == (one == other)


@pytest.mark.parametrize("name", ["a b.jpg", "Müller.jpg", "Mu\u0308ller.jpg", "猫.jpg", "😀.png"])
def test_ordinary_names_are_unchanged_in_any_normalization(name: str) -> None:
    assert to_text(name) is name and to_native(name) is name and escape(name) in (name,)


def test_people_see_foreign_bytes_and_line_breaks_as_escapes() -> None:
    assert escape(to_text(os.fsdecode(b"caf\xe9.jpg"))) == "caf\\xe9.jpg"
    assert escape(os.fsdecode(b"caf\xe9.jpg")) == "caf\\xe9.jpg"
    assert escape("two\nlines.jpg") == "two\\nlines.jpg"


_LEGACY = r"""
import os, sys
from sightbook.catalogue.rows import root_from_column, root_to_column
from sightbook.images.names import to_native, to_text
assert sys.getfilesystemencoding() != "utf-8", sys.getfilesystemencoding()
for raw in (b"p\xc3\xbc.png", "\u65e5\u672c".encode(), b"caf\xe9.png", "\uefff".encode(), b"a.png"):
    native = os.fsdecode(raw)
    assert to_native(to_text(native)) == native and root_from_column(root_to_column(native)) == native
    print(ascii(to_text(native)), ascii(root_to_column(native)))
"""


@pytest.mark.skipif(
    sys.platform in ("win32", "darwin"), reason="names are Unicode there, whatever the locale"
)
def test_a_name_has_the_same_text_and_column_in_a_locale_of_ascii() -> None:
    """Python's UTF-8 mode is off, and so are its ways around the locale C."""
    said = subprocess.run(
        [sys.executable, "-X", "utf8=0", "-c", _LEGACY],
        env={**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"},
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    names = [b"p\xc3\xbc.png", "日本".encode(), b"caf\xe9.png", "\uefff".encode(), b"a.png"]
    assert said == [f"{to_text(name)!a} {root_to_column(name)!a}" for name in map(os.fsdecode, names)]
