"""File names as storable text."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
