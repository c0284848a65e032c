"""Pictures in a plain tar file, WebDataset style: members by name, read by their place in the file."""

# Plain strings: a walk touches a hundred thousand paths, and Path objects would double its time.
# ruff: noqa: PTH123

from __future__ import annotations

import math
import posixpath
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from sightbook.errors import PictureError, SourceError
from sightbook.images.empty import quote
from sightbook.images.entry import EmptySource, Entry, Origin, storable, unreachable
from sightbook.images.find import is_hidden, is_picture_name, suffix_of
from sightbook.images.kinds.sidecars import SIDECAR_BYTES, is_sidecar_name, match_sidecars, read_sidecar
from sightbook.images.label import Label
from sightbook.images.left_out import Left, ignore
from sightbook.images.names import escape, to_text
from sightbook.images.pixels.guards import too_large
from sightbook.images.source import Source, SourceKind

_SUFFIXES = (".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst")
_LONGEST_CHAIN = 40  # links to links, as the system counts them
_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


@dataclass(frozen=True, slots=True)
class Member:
    """A picture's place in the tar file."""

    path: str
    offset: int
    size: int
    mtime_ns: int


def recognize(path: Path) -> bool:
    """By the suffix, those of compressed ones included: they are refused in words."""
    return path.name.lower().endswith(_SUFFIXES) and path.is_file()


def open_tar(path: Path) -> Source:
    """The file, once there is a picture in it; looks no further than the first."""
    source = Source.at(KIND, path)
    for name, info, _ in _walk(str(source.root)):
        is_plain = info.isfile() or info.islnk() or info.issym()
        if is_picture_name(_name(name)) and not _hidden(name) and is_plain:
            return source
    raise EmptySource(f"There are no pictures in the tar file {quote(path)}: check that it is the right one.")


def entries(source: Source, left: Left) -> Iterator[Entry]:
    """The pictures of a tar file, in the order of the archive, which is the order they are fast to read in.

    It holds what the same folder would: nothing hidden, and what links lead to. Of several members with one name the
    last counts, as for tar itself.
    """
    origin = Origin.now(KIND, str(source.root))
    members, labels = _scan(source, left)
    for path, member in members.items():
        yield Entry(source.id, path, member.size, member.mtime_ns, labels.get(path), origin, member.offset)


def read(origin: Origin, entry: Entry, limit: int) -> bytes:
    """The bytes of a member; without an offset it is looked up by name."""
    offset, size = entry.offset, entry.size
    if offset is None:
        member = _members(origin).get(entry.path)
        if member is None:
            raise PictureError("the tar file has no member of this name any more")
        offset, size = member.offset, member.size
    if size > limit:
        raise too_large(size, limit)
    # Opened for each picture: some 15 µs, and nothing to share between threads or processes.
    with open(origin.root, "rb") as file:
        file.seek(offset)
        data = file.read(size)
    if len(data) < size:
        raise PictureError("the tar file ends before this picture does")
    return data


def head(origin: Origin, entry: Entry, size: int) -> bytes:
    """The first bytes of a member that was just listed."""
    with open(origin.root, "rb", buffering=0) as file:
        file.seek(entry.offset or 0)
        return file.read(min(size, entry.size))


@lru_cache(maxsize=2)
def _members(origin: Origin) -> dict[str, Member]:
    return _scan(Source("", KIND, Path(origin.root)), ignore)[0]


def _scan(source: Source, left: Left) -> tuple[dict[str, Member], dict[str, Label]]:
    """All pictures and their labels, by path; `left` hears of what is no picture, the source what is to be told of its
    labels and its end."""
    root, column, source.problems = str(source.root), source.label_column, []
    members: dict[str, Member | None] = {}  # None: a link whose target is not known yet
    links: dict[str, str] = {}
    sidecars: dict[str, Label] = {}  # by path without the last suffix
    columns: dict[str, None] = {}
    hidden: set[str] = set()
    for path, info, archive in _walk(root, source.problems):
        name = _name(path)
        if info.isdir() or (place := _hidden(path)):
            if not info.isdir() and place not in hidden:
                hidden.add(place)
                left("hidden", "", place)
        elif not is_picture_name(name):
            if is_sidecar_name(name) and info.isfile() and info.size <= SIDECAR_BYTES:
                content = archive.extractfile(info)
                label = read_sidecar(name, content.read(), column, columns) if content is not None else None
                if label is not None:
                    sidecars[path.rpartition(".")[0]] = label
            else:
                left("suffix", suffix_of(name), path)
        elif info.islnk() or info.issym():
            links[path] = _target(path, info)
            members.setdefault(path, None)
        elif info.isfile() and not info.issparse():
            links.pop(path, None)
            members[path] = _member(path, info)
        else:
            left("special", "thing that is no plain file", path)
    _follow(root, members, links, left)
    found = {path: member for path, member in members.items() if member is not None}
    labels, source.told.notes = match_sidecars(found, sidecars)
    source.told.columns = list(columns)
    return found, labels


def _member(path: str, info: tarfile.TarInfo) -> Member:
    time = info.mtime * 1_000_000_000  # of the PAX format: any number, and no number
    mtime_ns = storable(int(time)) if math.isfinite(time) else 0
    return Member(path, info.offset_data, info.size, mtime_ns)


def _target(path: str, info: tarfile.TarInfo) -> str:
    """The member that a link leads to; "" for one outside of the archive."""
    if info.islnk():
        return to_text(_normal(info.linkname))
    if info.linkname.startswith("/"):
        return ""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(path), to_text(info.linkname)))
    return "" if target.startswith("../") else target


def _follow(root: str, members: dict[str, Member | None], links: dict[str, str], left: Left) -> None:
    """Gives every link the place of what it leads to, which may have any name or be hidden."""
    if not links:
        return
    ends = {}
    for path, target in links.items():
        ends[path] = target
        for _ in range(_LONGEST_CHAIN):
            ends[path] = links.get(ends[path], ends[path])
    wanted = {target for target in ends.values() if members.get(target) is None}
    others: dict[str, Member] = {}
    if wanted - {""}:
        for path, info, _ in _walk(root):
            if path in wanted and info.isfile() and not info.issparse():
                others[path] = _member(path, info)
    for path, target in ends.items():
        end = members.get(target) or others.get(target)
        if end is None:
            left("link", "link that leads to nothing", path)
        else:
            members[path] = replace(end, path=path)


def _walk(
    root: str, problems: list[str] | None = None
) -> Iterator[tuple[str, tarfile.TarInfo, tarfile.TarFile]]:
    """Each member of a tar file with its path; raises SourceError when it is gone, compressed or damaged. problems: is
    told when it lacks its end."""
    refuse_compressed(root)
    try:
        with tarfile.open(root, "r:", encoding="utf-8", errors="surrogateescape") as archive:
            while (info := archive.next()) is not None:
                # It would keep every header: 1 GB for a million pictures.
                archive.members.clear()  # type: ignore[attr-defined]
                yield to_text(_normal(info.name)), info, archive
            if not _has_end(archive) and problems is not None:
                problems.append(
                    f"The tar file {escape(root)} lacks its end, as one that was cut between two members: what it "
                    "holds is taken; fetch or pack it again."
                )
    except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError) as error:
        raise SourceError(
            f"The tar file {escape(root)} is damaged or cut short ({error}): fetch or pack it again."
        ) from error
    except OSError as error:
        raise unreachable(root, error) from error


def _has_end(archive: tarfile.TarFile) -> bool:
    """Whether zeros follow the last member. ReadError where anything else does: `tarfile` ends without a word at a
    header that is damaged, cut short or zero, and where `cat` put one archive behind another."""
    file, begin = archive.fileobj, archive.offset
    assert file is not None
    file.seek(begin)
    has_end = False
    while rest := file.read(1 << 20):
        if rest.strip(b"\0"):
            raise tarfile.ReadError(f"what stands at byte {begin:,} is neither a member nor the end")
        has_end = True
    return has_end


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
                f"The tar file {escape(root)} is compressed ({how}), so its pictures cannot be reached one by one: "
                "decompress it to a plain .tar (pictures hardly shrink) or unpack it to a folder."
            )


def _normal(name: str) -> str:
    """Member names as relative paths: './a/b' and '/a/b' are 'a/b'."""
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _hidden(path: str) -> str:
    """The hidden file or folder that a path is or lies in; "" where nothing is hidden, as in a folder."""
    parts = path.split("/")
    for i, part in enumerate(parts):
        if is_hidden(part) and part != "..":
            return "/".join(parts[: i + 1])
    return ""


KIND = SourceKind("tar", ":", recognize, open_tar, entries, read, head, suffixes=(".tar",))
