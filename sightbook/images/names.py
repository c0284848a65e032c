"""File names as text that every later stage can store, and back to what the file system knows.

A POSIX file name is bytes. Names that are not UTF-8 reach Python with lone surrogates, which SQLite, JSON and terminals
refuse, so a key could not be stored. Here each byte that is not UTF-8 becomes one private-use character U+EF80–U+EFFF
(the range MirBSD's OPTU encoding uses for the same purpose); characters of that range which really occur in a name are
written as their three bytes in the same way, so that the mapping is one to one. Ordinary names are unchanged, in
whatever Unicode normalization they have: two names that differ only in it are two files. The text of a name is the same
in whatever locale Python runs, also in one whose names are not UTF-8.
"""

from __future__ import annotations

# ruff: noqa: PTH118, PTH206, PTH208
import os
import re
import sys
import unicodedata

_BASE = 0xEF00
_MAPPED = re.compile("[\uef80-\uefff]")
_UNUSUAL = re.compile("[\uef80-\uefff\ud800-\udfff]")


_UTF8 = (
    sys.getfilesystemencoding().lower() == "utf-8"
)  # else of a locale as C or ISO-8859-1, without UTF-8 mode


def to_text(native: str) -> str:
    """Valid Unicode for a file name as Python gives it; the identity for every ordinary name."""
    if native.isascii() or (_UTF8 and not _UNUSUAL.search(native)):
        return native
    try:
        raw = native.encode("utf-8", "surrogateescape") if _UTF8 else os.fsencode(native)
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
    if text.isascii() or (_UTF8 and not _MAPPED.search(text)):
        return text
    raw = b"".join(
        bytes([ord(character) - _BASE]) if _MAPPED.match(character) else character.encode("utf-8")
        for character in text
    )
    if not _UTF8:
        return os.fsdecode(raw)
    return raw.decode("utf-8", "surrogatepass" if os.name == "nt" else "surrogateescape")


def to_unicode(native: str) -> str:
    """A path as a locale of UTF-8 gives it: itself there. What is not UTF-8 stays as lone surrogates."""
    return native if _UTF8 or native.isascii() else os.fsencode(native).decode("utf-8", "surrogateescape")


def from_unicode(path: str) -> str:
    """The inverse of `to_unicode`."""
    return path if _UTF8 or path.isascii() else os.fsdecode(path.encode("utf-8", "surrogateescape"))


def existing(path: str) -> str | None:
    """The path as typed, or the one that differs from it only in Unicode normalization where that alone exists: macOS
    writes NFD, most others NFC, and copied trees mix them. None: there is neither.
    """
    if os.path.lexists(path):
        return path
    if path.isascii():
        return None
    root, *parts = path.split(os.sep)
    found = root or os.sep
    if root:
        found, parts = "", [root, *parts]
    for part in parts:
        there = os.path.join(found, part)
        if not os.path.lexists(there):
            other = _spelt_otherwise(found or os.curdir, part)
            if other is None:
                return None
            there = os.path.join(found, other)
        found = there
    return found


def _spelt_otherwise(folder: str, name: str) -> str | None:
    """What has the same name in another normalization."""
    wanted = unicodedata.normalize("NFC", name)
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return None
    return next((each for each in names if unicodedata.normalize("NFC", each) == wanted), None)


def escape(text: str) -> str:
    """One printable line for people: foreign bytes and control characters appear as escapes."""
    if text.isprintable() and not _UNUSUAL.search(text):
        return text
    return "".join(_escape_one(character) for character in text)


def _escape_one(character: str) -> str:
    point = ord(character)
    if _MAPPED.match(character):
        return f"\\x{point - _BASE:02x}"
    if 0xDC80 <= point <= 0xDCFF:
        return f"\\x{point - 0xDC00:02x}"
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
