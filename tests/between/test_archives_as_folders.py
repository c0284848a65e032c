"""An archive holds what the same folder would, and a pattern takes its empty members along without a fuss."""

from __future__ import annotations

import io
import math
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sightbook.errors import SourceError
from sightbook.evaluate.protocols import load_labelled
from sightbook.images.kinds.registry import kind_of
from sightbook.images.pixels.frame import Frame
from sightbook.images.sources import Source, open_sources
from sightbook.images.stored import read_stored
from sightbook.images.vectors import read_vectors
from sightbook.learn.store import fill
from sightbook.library.library import Library
from sightbook.model.model import Model
from sightbook.progress import Notice, silent
from tests.images.pictures import write_folder, write_parquet, write_tar
from tests.library.pictures import picture
from tests.tiny import tiny_model

A, B, C = (picture(n) for n in (1, 2, 3))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model.open(tiny_model(tmp_path_factory.mktemp("m") / "model"), threads=1)


def packed(root: Path) -> Path:
    """The folder as a tar file, in sorted order, links as links."""
    path = root.with_suffix(".tar")
    with tarfile.open(path, "w", dereference=False) as archive:
        for found in sorted(root.rglob("*")):
            archive.add(found, found.relative_to(root).as_posix(), recursive=False)
    return path


def held(source: Path) -> dict[str, bytes]:
    return {entry.path: entry.read() for entry in open_sources([source]).entries()}


def test_links_hidden_things_and_excludes_are_as_in_the_folder(tmp_path: Path) -> None:
    root = write_folder(
        tmp_path / "p",
        {
            "a.png": A, "x/b.png": B, ".thumbnails/t.png": C, "x/.hidden.png": C, ".store/blob": C,
            "x/drafts/d.png": C,
        },
    )  # fmt: skip
    os.link(root / "a.png", root / "hard.png")
    os.link(root / ".store" / "blob", root / "x" / "from store.png")
    (root / "x" / "soft.png").symlink_to("../a.png")
    (root / "before.png").symlink_to("x/b.png")
    (root / "chain.png").symlink_to("before.png")
    archive = packed(root)
    wanted = held(root)
    assert held(archive) == wanted
    assert set(wanted) == {
        "a.png", "before.png", "chain.png", "hard.png", "x/b.png", "x/drafts/d.png", "x/from store.png", "x/soft.png",
    }  # fmt: skip
    assert read_stored("tar", str(archive), "x/from store.png") == C, "by its name alone, too"
    for exclude in (["drafts"], ["x/*.png"], ["hard.png", "soft.png"]):
        of_folder, of_tar = (
            [entry.path for entry in open_sources([source], exclude=exclude).entries()]
            for source in (root, archive)
        )
        assert sorted(of_tar) == of_folder


def test_a_link_that_leads_out_of_the_archive_is_left_out_and_counted(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        info = tarfile.TarInfo("a.png")
        info.size = len(A)
        archive.addfile(info, io.BytesIO(A))
        for name, kind, target in (
            ("b.png", tarfile.SYMTYPE, "/etc/hostname"), ("c.png", tarfile.SYMTYPE, "../../out.png"),
            ("d.png", tarfile.LNKTYPE, "gone.png"), ("e.png", tarfile.SYMTYPE, "e.png"),
            ("f.png", tarfile.FIFOTYPE, ""),
        ):  # fmt: skip
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, target
            archive.addfile(link)
    sources = open_sources([tmp_path / "a.tar"])
    assert [entry.path for entry in sources.entries()] == ["a.png"]
    counts = {group.what: (group.count, group.names[0].rpartition(":")[2]) for group in sources.left_out}
    assert counts == {"link that leads to nothing": (4, "b.png"), "thing that is no plain file": (1, "f.png")}


@pytest.mark.parametrize("time", ["nan", "inf", "-inf", "1e300", "1e12"])
def test_a_time_that_is_none_is_no_bug(tmp_path: Path, model: Model, time: str) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("a.png")
        info.size, info.pax_headers = len(A), {"mtime": time}
        archive.addfile(info, io.BytesIO(A))
    assert not math.isfinite(float(time)) or float(time) > 2**33
    with Library.open(tmp_path / "l", create_with=model) as library:
        assert library.add(tmp_path / "a.tar").added == 1
        assert library.add(tmp_path / "a.tar").unchanged == 1


def test_a_tar_without_its_end_gives_what_it_holds_and_forgets_nothing(tmp_path: Path, model: Model) -> None:
    """A download ends at any byte; only one that ends between two members cannot be told from a whole one."""
    files = {f"{n}.png": picture(n) for n in range(4)}
    tar = write_tar(tmp_path / "x.tar", files)
    two = sum(512 + -(-len(data) // 512) * 512 for data in list(files.values())[:2])
    with Library.open(tmp_path / "l", create_with=model) as library:
        library.add(tar)
        tar.write_bytes(tar.read_bytes()[:two])
        heard: list[object] = []
        report = library.add(tar, prune=True, listener=heard.append)
        assert (report.missing, report.removed, library.status().pictures) == (0, 0, 4)
        said = [event.text for event in heard if isinstance(event, Notice)]
        assert [text for text in said if "lacks its end" in text and str(tar) in text]
        write_tar(tar, {name: files[name] for name in ("0.png", "1.png")})
        assert library.add(tar, prune=True).removed == 2


def test_the_sidecar_of_the_same_whole_stem_is_a_pictures_label(tmp_path: Path) -> None:
    archive = write_tar(
        tmp_path / "a.tar",
        {
            "img.v1.0.jpg": A, "img.v1.0.cls": b"3", "img.v1.1.jpg": A, "img.v1.1.cls": b"5",
            "d.1/x.y.png": A, "d.1/x.y.json": b'{"label": "cat"}', "d.1/x.z.png": A, "d.1/x.z.png.cls": b"dog",
            "s.seg.png": A, "s.png": A, "s.cls": b"1", "alone.png": A,
        },
    )  # fmt: skip
    (source,) = open_sources([archive])
    assert {entry.path: entry.label for entry in source.entries()} == {
        "img.v1.0.jpg": 3, "img.v1.1.jpg": 5, "d.1/x.y.png": "cat", "d.1/x.z.png": "dog", "s.seg.png": 1, "s.png": 1,
        "alone.png": None,
    }  # fmt: skip
    assert source.labels.notes == [
        "1 label file of the tar file serves several pictures, such as that of s: s.seg.png, s.png"
    ]


def test_one_label_file_for_all_is_told_by_evaluate(tmp_path: Path) -> None:
    files = {f"img.v1.{n}.png": A for n in range(12)}
    write_tar(tmp_path / "a.tar", {**files, "img.cls": b"4"})
    notes = load_labelled(tmp_path / "a.tar", None, None).notes
    assert notes == (
        "1 label file of the tar file serves several pictures, such as that of img: img.v1.0.png, img.v1.1.png, "
        "img.v1.2.png …",
        "every picture has the label 4: any order of the answers is right",
    )


def npy(path: Path, rows: int) -> Path:
    np.save(path, np.ones((rows, 4), np.float32))
    return path


def no_vectors(path: Path) -> Path:
    pq.write_table(pa.table({"embedding": pa.array([], pa.list_(pa.float32()))}), path)
    return path


EMPTY: dict[str, Callable[[Path], Path]] = {
    "parquet without rows": lambda p: write_parquet(p / "e.parquet", []),
    "parquet without rows and types": lambda p: _untyped(p / "e.parquet"),
    "tar without members": lambda p: write_tar(p / "e.tar", {}),
    "tar without pictures": lambda p: write_tar(p / "e.tar", {"a.txt": b"x", ".hidden.png": A}),
    "a file of 0 bytes": lambda p: write_folder(p, {"e.tar": b""}) / "e.tar",
    "folder without pictures": lambda p: write_folder(p / "e", {"a.txt": b"x"}),
}


def _untyped(path: Path) -> Path:
    pq.write_table(pa.table({"image": pa.array([], pa.null())}), path)
    return path


@pytest.mark.parametrize("kind", EMPTY)
def test_an_empty_member_of_a_pattern_is_left_out_and_said(tmp_path: Path, model: Model, kind: str) -> None:
    shards = tmp_path / "shards"
    shards.mkdir()
    write_parquet(shards / "full.parquet", [A, B] * 10, [0, 1] * 10)
    empty = EMPTY[kind](shards)
    sources = open_sources([f"{shards}/*"])
    assert [source.root for source in sources] == [shards / "full.parquet"]
    assert [(group.reason, group.names) for group in sources.left_out] == [("empty", [str(empty)])]
    with Library.open(tmp_path / "l", create_with=model) as library:
        report = library.add(f"{shards}/*")
        assert (report.added, [group.reason for group in report.left_out]) == (20, ["empty"])
        assert library.status().sources[0].left_out[0].names == [str(empty)]
    store = fill(
        [f"{shards}/*"], Frame(16, 16), tmp_path, held_out=0.1, memory_gib=1, listener=silent, jobs=1
    )
    assert (len(store.pixels), [group.reason for group in store.left_out]) == (20, ["empty"])
    split = load_labelled(Path(f"{shards}/*"), None, None)
    assert (len(split.queries) + len(split.database), [g.reason for g in split.left_out]) == (20, ["empty"])
    (shards / "full.parquet").unlink()
    with pytest.raises(SourceError, match=r"no rows|no pictures|0 bytes"):
        open_sources([f"{shards}/*"])


def test_empty_files_of_vectors_in_a_pattern(tmp_path: Path) -> None:
    npy(tmp_path / "a.npy", 3)
    npy(tmp_path / "b.npy", 0)
    no_vectors(tmp_path / "c.parquet")
    assert read_vectors(f"{tmp_path}/*").shape == (3, 4)
    assert [group.count for group in open_sources([f"{tmp_path}/*"]).left_out] == [1, 1]
    (tmp_path / "a.npy").unlink()
    with pytest.raises(SourceError, match="Nothing is left of the pattern"):
        open_sources([f"{tmp_path}/*"])


def test_a_pattern_that_the_shell_expanded_is_treated_alike_but_no_folder_that_may_be_a_drive(
    tmp_path: Path,
) -> None:
    full, empty = write_tar(tmp_path / "a.tar", {"a.png": A}), write_tar(tmp_path / "b.tar", {})
    (tmp_path / "drive").mkdir()
    assert [source.root for source in open_sources([full, empty])] == [full]
    with pytest.raises(SourceError, match="no pictures in the tar file"):
        open_sources([empty, empty])
    with pytest.raises(SourceError, match=r"no pictures .* in the folder"):
        open_sources([full, tmp_path / "drive"])


def records(count: int, classes: int, size: int = 3073) -> bytes:
    rows = np.zeros((count, size), np.uint8)
    rows[:, 0] = np.arange(count) % classes
    return rows.tobytes()


@pytest.mark.parametrize("name", ["weights.bin", "data_batch_x.bin", "train.bin", "my_test_batch.bin"])
def test_a_file_of_the_size_of_a_batch_is_none_by_another_name(tmp_path: Path, name: str) -> None:
    write_folder(tmp_path, {name: records(5, 10), "a.png": A})
    with pytest.raises(SourceError, match="is no source"):
        open_sources([tmp_path / name])
    sources = open_sources([f"{tmp_path}/*"])
    assert [source.kind for source in sources] == ["folder"]
    assert [(group.what, group.count) for group in sources.left_out] == [(".bin", 1)]


def test_a_batch_is_known_by_its_name_and_checked_by_its_classes(tmp_path: Path) -> None:
    for name in ("data_batch_1.bin", "test_batch.bin", "DATA_BATCH_2.BIN"):
        write_folder(tmp_path, {name: records(20, 10)})
        (source,) = open_sources([tmp_path / name])
        assert (source.kind, [entry.label for entry in source.entries()]) == (
            "cifar",
            [*range(10), *range(10)],
        )
    write_folder(tmp_path, {"data_batch_3.bin": records(20, 20), "data_batch_4.bin": records(3, 10)[:-1]})
    with pytest.raises(SourceError, match="a class 19, where there are 0 to 9"):
        open_sources([tmp_path / "data_batch_3.bin"])
    with pytest.raises(SourceError, match="9,218 bytes, which are no whole records"):
        open_sources([tmp_path / "data_batch_4.bin"])


def test_a_source_that_is_walked_twice_counts_once(tmp_path: Path) -> None:
    source = Source("s", kind_of("tar"), write_tar(tmp_path / "a.tar", {"a.png": A, "b.txt": b"x"}))
    for _ in range(2):
        assert len(list(source.entries())) == 1
        assert [group.count for group in source.left_out.groups] == [1]
