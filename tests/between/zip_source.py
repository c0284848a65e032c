"""A source of one's own, as CONTRIBUTING tells: pictures in a `.zip`, with their class from the folder they lie in."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

from sightbook.errors import PictureError
from sightbook.images.entry import EmptySource, Entry, Origin
from sightbook.images.find import is_picture_name
from sightbook.images.left_out import Left
from sightbook.images.source import Labels, Source, SourceKind


def recognize(path: Path) -> bool:
    return path.suffix == ".zip" and path.is_file()


def open_zip(path: Path) -> Source:
    source = Source.at(KIND, path)
    if not any(map(is_picture_name, zipfile.ZipFile(source.root).namelist())):
        raise EmptySource(f"There are no pictures in {path}: check that it is the right one.")
    return source


def entries(source: Source, left: Left) -> Iterator[Entry]:
    origin = Origin.now(KIND, str(source.root))
    names = labels(source).names or []
    with zipfile.ZipFile(source.root) as archive:
        for member in archive.infolist():
            if is_picture_name(member.filename):
                label = names.index(member.filename.partition("/")[0])
                yield Entry(source.id, member.filename, member.file_size, origin.mtime_ns, label, origin)
            else:
                left("suffix", Path(member.filename).suffix, member.filename)


def read(origin: Origin, entry: Entry, limit: int | None) -> bytes:
    with zipfile.ZipFile(origin.root) as archive:
        try:
            return archive.read(entry.path)
        except KeyError:
            raise PictureError("the zip file has no member of this name any more") from None


def labels(source: Source) -> Labels:
    with zipfile.ZipFile(source.root) as archive:
        return Labels(
            sorted({name.partition("/")[0] for name in archive.namelist() if is_picture_name(name)})
        )


KIND = SourceKind("zip", "!", recognize, open_zip, entries, read, labels=labels, suffixes=(".zip",))
