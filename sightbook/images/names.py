"""File names as text that every later stage can store, and back to what the file system knows.

A POSIX file name is bytes. Names that are not UTF-8 reach Python with lone surrogates, which SQLite, JSON and terminals
refuse, so a key could not be stored. Here each byte that is not UTF-8 becomes one private-use character U+EF80–U+EFFF
(the range MirBSD's OPTU encoding uses for the same purpose); characters of that range which really occur in a name are
written as their three bytes in the same way, so that the mapping is one to one. Ordinary names are unchanged, in
whatever Unicode normalization they have: two names that differ only in it are two files.
"""

from __future__ import annotations

import os
import re

_BASE = 0xEF00
_MAPPED = re.compile("[\uef80-\uefff]")
_UNUSUAL = re.compile("[\uef80-\uefff\ud800-\udfff]")


def to_text(native: str) -> str:
    """Valid Unicode for a file name as Python gives it; the identity for every ordinary name."""
    if native.isascii() or not _UNUSUAL.search(native):
        return native
    try:
        raw = native.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # Windows: half of a UTF-16 pair
        raw = native.encode("utf-8", "surrogatepass")
    pieces: list[str] = []
    for character in raw.decode("utf-8", "surrogateescape"):
        point = ord(character)
        if 0xDC80 <= point <= 0xDCFF:
            pieces.append(chr(_BASE + point - 0xDC00))
        elif _MAPPED.match(character):
            pieces.extend(chr(_BASE + byte) for byte in character.encode("utf-8"))
        else:
            pieces.append(character)
    return "".join(pieces)


def to_native(text: str) -> str:
    """The file name behind `to_text`."""
    if text.isascii() or not _MAPPED.search(text):
        return text
    raw = b"".join(
        bytes([ord(character) - _BASE]) if _MAPPED.match(character) else character.encode("utf-8")
        for character in text
    )
    return raw.decode("utf-8", "surrogatepass" if os.name == "nt" else "surrogateescape")


def shown(text: str) -> str:
    """One printable line for people: foreign bytes and control characters appear as escapes."""
    if text.isprintable() and not _UNUSUAL.search(text):
        return text
    return "".join(_escaped(character) for character in text)


def _escaped(character: str) -> str:
    point = ord(character)
    if _MAPPED.match(character):
        return f"\\x{point - _BASE:02x}"
    if 0xDC80 <= point <= 0xDCFF:
        return f"\\x{point - 0xDC00:02x}"
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
