"""Pictures in a plain tar file, WebDataset style: members by name, read by their place in the file."""

# Plain strings: a walk touches a hundred thousand paths, and Path objects would double its time.
# ruff: noqa: PTH119, PTH123

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from sightbook.errors import PictureError, SourceError
from sightbook.images.entry import Entry, Label, Origin, vanished
from sightbook.images.find import is_picture_name
from sightbook.images.guards import too_large
from sightbook.images.names import shown, to_text

# Beside a picture these hold its label; anything larger is something else.
_SIDECAR_BYTES = 1 << 20
_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


@dataclass(frozen=True, slots=True)
class Member:
    """A picture's place in the tar file."""

    path: str
    offset: int
    size: int
    mtime_ns: int


def entries(source: str, root: str) -> Iterator[Entry]:
    """The pictures of a tar file, in the order of the archive, which is the order they are fast to read in.

    Of several members with one name the last counts, as for tar itself. Raises SourceError when the file is gone,
    compressed or damaged.
    """
    origin = Origin.now("tar", root)
    members, labels = _scan(root)
    for member in members.values():
        label = labels.get(_stem(member.path))
        yield Entry(source, member.path, member.size, member.mtime_ns, label, origin, member.offset)


def read_member(origin: Origin, path: str, offset: int | None, size: int, limit: int | None = None) -> bytes:
    """The bytes of a member, at most `limit` of them; without an offset the member is looked up by name."""
    if offset is None:
        member = _members(origin).get(path)
        if member is None:
            raise PictureError("the tar file has no member of this name any more")
        offset, size = member.offset, member.size
    if limit is not None and size > limit:
        raise too_large(size, limit)
    try:
        # Opened for each picture: some 15 µs, and nothing to share between threads or processes.
        with open(origin.root, "rb", buffering=0) as file:
            file.seek(offset)
            data = file.read(size)
            while len(data) < size and (more := file.read(size - len(data))):
                data += more
    except FileNotFoundError as error:
        raise vanished(origin.root) from error
    except OSError as error:
        raise PictureError(f"the tar file cannot be read here ({error.strerror})") from error
    if len(data) < size:
        raise PictureError("the tar file ends before this picture does")
    return data


def has_pictures(root: str) -> bool:
    """Whether there is a picture in a tar file; looks no further than the first."""
    return any(is_picture_name(_name(path)) for path, _, _ in _walk(root))


@lru_cache(maxsize=2)
def _members(origin: Origin) -> dict[str, Member]:
    return _scan(origin.root)[0]


def _scan(root: str) -> tuple[dict[str, Member], dict[str, Label]]:
    """All pictures by path, and the labels found beside them by stem."""
    members: dict[str, Member] = {}
    labels: dict[str, Label] = {}
    for path, info, archive in _walk(root):
        name = _name(path)
        if is_picture_name(name):
            members[path] = Member(path, info.offset_data, info.size, int(info.mtime * 1_000_000_000))
        elif name.endswith((".cls", ".json")) and info.size <= _SIDECAR_BYTES:
            content = archive.extractfile(info)
            label = _label(name, content.read()) if content is not None else None
            if label is not None:
                labels[_stem(path)] = label
    return members, labels


def _walk(root: str) -> Iterator[tuple[str, tarfile.TarInfo, tarfile.TarFile]]:
    """Each plain file in a tar file with its path; raises SourceError when it is gone, compressed or damaged."""
    refuse_compressed(root)
    try:
        with tarfile.open(root, "r:", encoding="utf-8", errors="surrogateescape") as archive:
            while (info := archive.next()) is not None:
                # It would keep every header: 1 GB for a million pictures.
                archive.members.clear()  # type: ignore[attr-defined]
                if info.isreg() and not info.issparse():
                    yield to_text(_normal(info.name)), info, archive
    except FileNotFoundError as error:
        raise vanished(root) from error
    except (tarfile.TarError, EOFError) as error:
        raise SourceError(
            f"The tar file {shown(root)} is damaged or cut short ({error}): fetch or pack it again."
        ) from error
    except OSError as error:
        raise SourceError(
            f"The tar file {shown(root)} cannot be read ({error.strerror}): check it."
        ) from error


def refuse_compressed(root: str) -> None:
    """Raises SourceError for a compressed tar: no picture in it can be reached without unpacking all before it."""
    try:
        with open(root, "rb") as file:
            start = file.read(6)
    except OSError:
        return  # the reader that follows says why
    for magic, how in _PACKED.items():
        if start.startswith(magic):
            raise SourceError(
                f"The tar file {shown(root)} is compressed ({how}), so its pictures cannot be reached one by one: "
                "decompress it to a plain .tar (pictures hardly shrink) or unpack it to a folder."
            )


def _normal(name: str) -> str:
    """Member names as relative paths: './a/b' and '/a/b' are 'a/b'."""
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _stem(path: str) -> str:
    """WebDataset's sample name: the path up to the first dot of the file name."""
    folder, slash, name = path.rpartition("/")
    return folder + slash + name.partition(".")[0]


def _label(name: str, content: bytes) -> Label:
    """The label in a `.cls` or `.json` beside a picture; None when there is none that can be read."""
    try:
        text = content.decode("utf-8").strip()
        if name.endswith(".json"):
            document = json.loads(text)
            found = document.get("label") if isinstance(document, dict) else None
            return found if isinstance(found, (str, int)) and not isinstance(found, bool) else None
    except (UnicodeDecodeError, ValueError, RecursionError):
        return None
    if not text:
        return None
    return int(text) if text.removeprefix("-").isdecimal() else text


def is_tar_name(name: str) -> bool:
    """Whether a file of this name is taken for a tar file, compressed ones included (they are refused in words)."""
    lowered = os.path.basename(name).lower()
    return lowered.endswith((".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst"))
