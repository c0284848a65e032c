"""Walking folders."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightbook.errors import SourceError
from sightbook.images.find import PICTURE_SUFFIXES, Walk, is_picture_name
from sightbook.images.sources import open_sources
from tests.images.pictures import write_folder, write_tar


def paths(root: Path) -> list[str]:
    return [found.path for found in Walk(str(root))]


def test_known_suffixes_in_any_case_are_pictures_and_hidden_files_are_not() -> None:
    assert all(
        is_picture_name(f"a{suffix}") and is_picture_name(f"a{suffix.upper()}") for suffix in PICTURE_SUFFIXES
    )
    assert not any(
        map(is_picture_name, ["a.txt", "jpg", ".jpg", ".a.jpg", "a.jpg.part", "a.gz", "a.pdf", "a.svg"])
    )


segment = st.text("ab-.0é/ ", min_size=1, max_size=3).filter(
    lambda s: "/" not in s and not s.startswith(".") and s.strip() == s and s not in ("", ".", "..")
)


@settings(max_examples=25, deadline=None)
@given(
    st.sets(
        st.lists(segment, min_size=1, max_size=3).map(lambda parts: "/".join(parts) + ".jpg"), max_size=12
    )
)
def test_the_order_is_the_code_point_order_of_whole_paths(wanted: set[str]) -> None:
    root = Path(tempfile.mkdtemp())
    try:
        write_folder(root, dict.fromkeys(wanted, b"x"))
        assert paths(root) == sorted(wanted)
    finally:
        shutil.rmtree(root)


def test_a_folder_sorts_among_the_files_beside_it(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a/x.jpg": b"", "a.jpg": b"", "a-b/x.jpg": b"", "a0.jpg": b"", "B.jpg": b""})
    assert paths(tmp_path) == ["B.jpg", "a-b/x.jpg", "a.jpg", "a/x.jpg", "a0.jpg"]


def test_hidden_folders_and_other_files_are_left_out(tmp_path: Path) -> None:
    write_folder(tmp_path, {".thumbs/a.jpg": b"", "b/.c.jpg": b"", "b/d.JPG": b"12", "b/e.txt": b""})
    assert [(f.path, f.size) for f in Walk(str(tmp_path))] == [("b/d.JPG", 2)]


def test_links_make_no_loops_and_no_picture_twice(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "root", {"a/x.jpg": b"", "b/y.jpg": b"", ".store/s.jpg": b""})
    outside = write_folder(tmp_path / "outside", {"o.jpg": b""})
    (outside / "back").symlink_to(root)
    (root / "a" / "up").symlink_to(root)
    (root / "a" / "wide").symlink_to(tmp_path)
    (root / "a" / "beside").symlink_to(root / "b")
    (root / "l1").symlink_to(outside)
    (root / "l2").symlink_to(outside)
    (root / "self").symlink_to(root / "self")
    (root / "shown").symlink_to(root / ".store")
    assert paths(root) == ["a/x.jpg", "b/y.jpg", "l1/o.jpg", "shown/s.jpg"]


def test_a_linked_file_is_a_picture_and_a_dangling_one_is_listed_to_be_named(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "root", {"a.jpg": b"123"})
    (root / "b.jpg").symlink_to(root / "a.jpg")
    (root / "c.jpg").symlink_to(root / "gone.jpg")
    assert [(f.path, f.size) for f in Walk(str(root))] == [("a.jpg", 3), ("b.jpg", 3), ("c.jpg", 0)]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX")
def test_a_named_pipe_called_jpg_is_no_picture(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "folder.jpg" / "a.png").write_bytes(b"")
    assert paths(tmp_path) == ["folder.jpg/a.png"]


@pytest.mark.parametrize("raw", [b"gr\xfc\xdfe.jpg", "grüße.jpg".encode(), "gru\u0308ße.jpg".encode()])
def test_names_of_any_encoding_are_listed(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / os.fsdecode(raw)).write_bytes(b"x")
    (path,) = paths(tmp_path)
    path.encode("utf-8")


def test_an_unreadable_sub_folder_is_named_and_the_walk_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path, {"a/x.jpg": b"", "b/y.jpg": b""})
    real = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("a"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    walk = Walk(str(tmp_path))
    assert [found.path for found in walk] == ["b/y.jpg"]
    (problem,) = walk.problems
    assert "a/" in problem and "Permission denied" in problem


def test_a_root_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="gone"):
        paths(tmp_path / "gone")


@pytest.mark.parametrize(
    "name", ["@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found"]
)
def test_what_systems_keep_for_themselves_is_hidden_and_no_problem(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thumbnails of a NAS are no photos. A disk's `lost+found`, which root alone may enter, hid that photos had gone:
    a folder that cannot be entered may hold them."""
    root = write_folder(tmp_path / "p", {"a.jpg": b"", f"{name}/a.jpg/THUMB.jpg": b"", "b/c.jpg": b""})
    write_folder(root / "b" / name, {"d.jpg": b""})
    real = os.scandir

    def closed(path: str) -> object:
        if Path(path).name == name and Path(path) != root / "b" / name:
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", closed)
    left: list[tuple[str, str]] = []
    walk = Walk(str(root), lambda reason, what, path: left.append((reason, path)))
    assert [found.path for found in walk] == ["a.jpg", "b/c.jpg"]
    assert (walk.problems, left) == ([], [("hidden", name), ("hidden", f"b/{name}")])
    tar = write_tar(tmp_path / "p.tar", {f"{name}/a.jpg": b"1", "a.jpg": b"2"})
    assert [entry.path for entry in open_sources([tar]).entries()] == ["a.jpg"]
    (named,) = open_sources([root / "b" / name]).entries()
    assert named.path == "d.jpg", "whoever names it means it"
