"""Sources as one stream of entries."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
import sys
import tarfile
import tempfile
import unicodedata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightbook.errors import PictureError, SourceError
from sightbook.images.entry import Entry
from sightbook.images.kinds import table as tables
from sightbook.images.kinds.table import Table
from sightbook.images.sources import open_source, open_sources, source_id
from sightbook.images.stored import read_stored
from tests.images.pictures import encoded, gradient, write_folder, write_parquet, write_tar

PNG = encoded(gradient())

segment = st.text("abü é0-", min_size=1, max_size=4).filter(
    lambda s: s.strip() == s and not s.startswith(".")
)
files = st.dictionaries(
    st.lists(segment, min_size=1, max_size=3).map(lambda parts: "/".join(parts) + ".png"),
    st.binary(max_size=40),
    min_size=1,
    max_size=8,
)


@settings(max_examples=30, deadline=None)
@given(files)
def test_folder_tar_and_parquet_give_the_same_bytes_under_keys_without_the_root(
    content: dict[str, bytes],
) -> None:
    place = Path(tempfile.mkdtemp())
    try:
        ordered = dict(sorted(content.items()))
        (place / "one").mkdir()
        folder = write_folder(place / "one" / "folder", ordered)
        tar = write_tar(place / "one" / "x.tar", ordered)
        table = write_parquet(place / "one" / "x.parquet", list(ordered.values()), row_group_size=3)
        specs = [folder, tar, table]
        ids = {root: f"s{n}" for n, root in enumerate(specs)}
        stream = list(open_sources(specs, ids).entries())
        n = len(ordered)
        assert [e.key for e in stream[:n]] == [("s0", path) for path in ordered]
        assert [e.key for e in stream[n : 2 * n]] == [("s1", path) for path in ordered]
        assert [e.key for e in stream[2 * n :]] == [("s2", str(row)) for row in range(n)]
        assert [e.read() for e in stream] == 3 * list(ordered.values())
        assert [e.size for e in stream] == 3 * [len(data) for data in ordered.values()]
        assert [e.key for e in open_sources(specs, ids).entries()] == [e.key for e in stream]
        # Moved as a whole: the same keys, read from the new place.
        (place / "one").rename(place / "two")
        moved = [place / "two" / spec.name for spec in specs]
        again = list(open_sources(moved, dict(zip(moved, ids.values(), strict=True))).entries())
        assert [e.key for e in again] == [e.key for e in stream]
        assert [e.read() for e in again] == 3 * list(ordered.values())
    finally:
        shutil.rmtree(place)


def test_entries_are_small_and_read_in_another_process(tmp_path: Path) -> None:
    table = write_parquet(tmp_path / "x.parquet", [PNG] * 100)
    entries = list(open_sources([table]).entries())
    assert len(pickle.dumps(entries, 5)) < 100 * 100
    again = pickle.loads(pickle.dumps(entries[7]))
    assert again == entries[7] and again.read() == PNG


def test_the_default_id_is_the_hash_of_the_resolved_root(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "a b", {"x.png": PNG})
    (tmp_path / "link").symlink_to(root)
    (by_link,), (by_path,) = open_source(tmp_path / "link"), open_source(str(root) + "/../a b/")
    assert by_link.id == by_path.id == source_id(root) and len(by_link.id) == 12 and int(by_link.id, 16) >= 0
    assert by_link.root == root.resolve()


def test_locators_say_where_a_picture_is(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "f", {"a\nb.png": PNG})
    tar = write_tar(tmp_path / "t.tar", {"a/b.png": PNG})
    table = write_parquet(tmp_path / "p.parquet", [PNG])
    found = [entry.locator for entry in open_sources([folder, tar, table]).entries()]
    assert found == [f"{folder}/a\\nb.png", f"{tar}:a/b.png", f"{table} row 0"]


def test_no_source_twice(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "f", {"a.png": PNG, "b.png": PNG, "c/d.png": PNG})
    table = write_parquet(tmp_path / "p.parquet", [PNG])
    sources = open_sources([root, str(root), root / "a.png", table, tmp_path / "*.parquet"])
    assert [(s.kind, s.names) for s in sources] == [("folder", None), ("parquet", None)]
    assert [e.path for e in sources.entries()] == ["a.png", "b.png", "c/d.png", "0"]


def test_pictures_of_one_folder_are_one_source_with_the_keys_of_the_folder(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "f", {"a.png": PNG, "b.png": PNG, "c/d.png": PNG})
    sources = open_sources([root / "b.png", root / "a.png", root / "c" / "d.png"])
    assert [s.names for s in sources] == [{"a.png", "b.png"}, {"d.png"}]
    whole = {e.key for e in open_sources([root]).entries()}
    assert {e.key for e in open_source(root / "b.png")[0].entries()} < whole


def test_globs_give_several_sources_in_order_and_pass_over_other_files(tmp_path: Path) -> None:
    for name in ("c.parquet", "a.parquet", "b.tar"):
        write_tar(tmp_path / name, {"x.png": PNG}) if name[-1] == "r" else write_parquet(
            tmp_path / name, [PNG]
        )
    (tmp_path / "README.md").write_text("no source")
    assert [s.root.name for s in open_source(tmp_path / "*")] == ["a.parquet", "b.tar", "c.parquet"]
    assert [s.root.name for s in open_source(str(tmp_path / "[ac].parquet"))] == ["a.parquet", "c.parquet"]


def test_a_deep_glob_means_the_files(tmp_path: Path) -> None:
    root = write_folder(tmp_path, {"a/x.png": PNG, "a/b/y.png": PNG, "a/b/z.txt": b""})
    sources = open_sources([f"{root}/**/*"])
    assert [(s.root.name, sorted(s.names or ())) for s in sources] == [("b", ["y.png"]), ("a", ["x.png"])]


def test_a_path_with_magic_characters_that_exists_is_itself(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "trip [2024] ü", {"a.png": PNG})
    assert [e.read() for e in open_sources([root]).entries()] == [PNG]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_source_is_found_whichever_normalization_was_typed(tmp_path: Path, form: str) -> None:
    root = write_folder(tmp_path / unicodedata.normalize(form, "Möwen"), {"é.png": PNG})
    typed = tmp_path / unicodedata.normalize("NFD" if form == "NFC" else "NFC", "Möwen")
    assert open_source(typed)[0].root == root.resolve()


def test_two_names_that_differ_in_normalization_are_two_pictures(tmp_path: Path) -> None:
    names = ["\u00e9.png", "e\u0301.png"]
    write_folder(tmp_path, dict(zip(names, [b"1", b"2"], strict=True)))
    assert {e.path: e.read() for e in open_sources([tmp_path]).entries()} == dict(
        zip(names, [b"1", b"2"], strict=True)
    )


def test_names_that_are_not_utf8_are_read_and_stored(tmp_path: Path) -> None:
    raw = tmp_path / os.fsdecode(b"caf\xe9.png")
    raw.write_bytes(PNG)
    (entry,) = open_sources([tmp_path]).entries()
    assert entry.read() == PNG and entry.path.encode("utf-8") and entry.locator.endswith("caf\\xe9.png")
    (single,) = open_sources([raw]).entries()
    assert single.key == entry.key and single.read() == PNG


def test_a_tar_member_that_is_not_utf8_is_read(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "x.tar", {os.fsdecode(b"caf\xe9.png"): PNG, "ü.png": PNG})
    first, second = open_sources([tar]).entries()
    assert first.read() == second.read() == PNG and first.path.encode() and second.path == "ü.png"


def test_tar_members_are_normal_paths_the_last_of_a_name_counts_and_long_names_are_whole(
    tmp_path: Path,
) -> None:
    long = "d" * 120 + "/" + "e" * 120 + ".png"
    tar = write_tar(tmp_path / "x.tar", {"./a/b.png": b"old", long: b"long", "c/._b.png": b"mac"})
    write_tar(tar, {"a/b.png": b"new"}, mode="a")
    assert [(e.path, e.read()) for e in open_sources([tar]).entries()] == [
        ("a/b.png", b"new"),
        (long, b"long"),
    ]


def test_webdataset_labels_stand_beside_the_picture(tmp_path: Path) -> None:
    content = {
        "a/1.png": PNG, "a/1.cls": b"7\n", "a/2.seg.png": PNG, "a/2.json": b'{"label": "cat"}', "a/3.png": PNG,
        "b/1.png": PNG, "b/1.json": b"{broken", "c.cls": "größe".encode(), "c.png": PNG, "d.png": PNG,
        "d.json": json.dumps({"label": [1]}).encode(), "e.cls": b"\xff\xfe", "e.png": PNG,
    }  # fmt: skip
    tar = write_tar(tmp_path / "x.tar", content)
    found = {e.path: e.label for e in open_sources([tar]).entries()}
    assert found == {
        "a/1.png": 7, "a/2.seg.png": "cat", "a/3.png": None, "b/1.png": None, "c.png": "größe", "d.png": (1,),
        "e.png": None,
    }  # fmt: skip


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("column", ["image", "img"])
def test_parquet_layouts(tmp_path: Path, column: str, plain: bool) -> None:
    table = write_parquet(
        tmp_path / "x.parquet",
        [PNG, b"", None],
        [2, 0, None],
        column=column,
        names=["a", "b", "c"],
        plain=plain,
    )
    (source,) = open_source(table)
    one, empty, null = source.entries()
    assert source.labels.names == ["a", "b", "c"] and [e.label for e in (one, empty, null)] == [2, 0, None]
    assert (one.size, empty.size, null.size) == (len(PNG), 0, 0) and one.read() == PNG and empty.read() == b""
    assert one.mtime_ns == table.stat().st_mtime_ns
    with pytest.raises(PictureError, match="no picture bytes"):
        null.read()


def test_string_labels_are_kept_and_label_names_of_several_sources_must_agree(tmp_path: Path) -> None:
    a = write_parquet(tmp_path / "a.parquet", [PNG], [1], names=["x", "y"])
    b = write_parquet(tmp_path / "b.parquet", [PNG], ["dog"])
    assert [e.label for e in open_sources([b]).entries()] == ["dog"]
    assert open_sources([a]).label_names == ["x", "y"] and open_sources([a, b]).label_names is None


@pytest.mark.parametrize("is_struct", [False, True])
@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
def test_bytes_of_every_arrow_type_are_read(tmp_path: Path, kind: pa.DataType, is_struct: bool) -> None:
    pictures = pa.array([PNG, None, PNG + b"longer"], kind)
    column = pa.StructArray.from_arrays([pictures], ["bytes"]) if is_struct else pictures
    try:
        pq.write_table(pa.table({"image": column}), tmp_path / "x.parquet")
    except pa.ArrowNotImplementedError:
        pytest.skip("this pyarrow does not write them")
    (source,) = open_source(tmp_path / "x.parquet")
    entries = list(source.entries())
    assert [entry.size for entry in entries] == [len(PNG), 0, len(PNG) + 6]
    assert entries[2].read() == PNG + b"longer"


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_parquet_rows_read_in_any_order_and_from_large_row_groups_in_pieces(
    tmp_path: Path, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "BATCH_BYTES", 200)
    pictures: list[bytes | None] = [bytes([n]) * (n + 1) for n in range(50)]
    table = write_parquet(tmp_path / "x.parquet", pictures, row_group_size=rows, use_dictionary=False)
    entries = list(open_sources([table]).entries())
    order = [*range(50), 7, 49, 0, 25, 24, 26, 49]
    assert [entries[n].read() for n in order] == [pictures[n] for n in order]


def test_a_row_group_is_read_once_when_rows_are_read_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = write_parquet(tmp_path / "x.parquet", [PNG] * 20, row_group_size=5)
    entries = list(open_sources([table]).entries())
    groups: list[int] = []
    real = Table.batches
    monkeypatch.setattr(
        Table,
        "batches",
        lambda self, group, columns: groups.append(group) or real(self, group, columns),
    )
    for entry in entries:
        entry.read()
    assert groups == [0, 1, 2, 3]


def test_a_picture_known_by_its_key_alone_is_read(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "f", {"a.png": PNG})
    tar = write_tar(tmp_path / "t.tar", {"a.png": PNG})
    table = write_parquet(tmp_path / "p.parquet", [b"0", PNG])
    assert read_stored("folder", str(folder), "a.png") == PNG
    assert read_stored("tar", str(tar), "a.png") == PNG
    assert read_stored("parquet", str(table), "1") == PNG
    for kind, root, path in (("folder", folder, "b.png"), ("tar", tar, "b.png"), ("parquet", table, "2")):
        with pytest.raises(PictureError):
            read_stored(kind, str(root), path)  # type: ignore[arg-type]


def test_one_missing_file_is_its_own_fault_and_a_missing_root_the_sources(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "f", {"a.png": PNG, "b.png": PNG})
    a, b = open_sources([root]).entries()
    (root / "a.png").unlink()
    with pytest.raises(PictureError, match="gone"):
        a.read()
    shutil.rmtree(root)
    with pytest.raises(SourceError, match="vanished"):
        b.read()


@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_an_archive_that_vanishes_or_changes_while_it_is_read_is_an_error_of_the_source(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / f"x.{kind}"
    write_tar(path, {"a.png": PNG}) if kind == "tar" else write_parquet(path, [PNG])
    (entry,) = open_sources([path]).entries()
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(SourceError, match="changed"):
        entry.read()
    path.unlink()
    with pytest.raises(SourceError, match="vanished"):
        entry.read()
    with pytest.raises(SourceError, match="vanished"):
        list(open_source_of(entry).entries())


def open_source_of(entry: Entry):  # type: ignore[no-untyped-def]
    from sightbook.images.sources import Source

    assert entry.origin is not None
    return Source(entry.source, entry.origin.kind, Path(entry.origin.root))


def test_the_byte_limit_holds_before_reading(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "f", {"a.png": PNG})
    (entry,) = open_sources([root]).entries()
    assert entry.read(len(PNG)) == PNG
    with pytest.raises(PictureError, match="over the limit"):
        entry.read(len(PNG) - 1)
    (root / "a.png").write_bytes(PNG * 2)  # grown since it was listed
    with pytest.raises(PictureError, match="over the limit"):
        entry.read(len(PNG))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: p / "absent", ["nothing at", "absent"]),
        (lambda p: p / "*.none", ["matches nothing"]),
        (lambda p: "", ["empty name"]),
        (lambda p: "https://example.org/a.parquet", ["nothing is fetched"]),
        (lambda p: write_folder(p, {"a.txt": b""}), ["no pictures", ".jpg"]),
        (lambda p: write_folder(p, {"a.txt": b""}) / "a.txt", ["is no source", ".parquet"]),
        (lambda p: write_folder(p, {"a.txt": b""}) / "*", ["no source"]),
        (lambda p: write_parquet(p / "a.parquet", [PNG]).parent, ["no picture files", "*.parquet"]),
        (lambda p: write_parquet(p / "a.parquet", []), ["no rows"]),
        (lambda p: write_parquet(p / "a.parquet", [PNG], column="photo"), ["`image` or `img`", "photo"]),
        (lambda p: write_folder(p, {"a.parquet": b"PAR1nonsense"}) / "a.parquet", ["damaged or not Parquet"]),
        (lambda p: write_folder(p, {"a.tar": b""}) / "a.tar", ["is empty, 0 bytes"]),
        (lambda p: write_folder(p, {"a.tar": b"nonsense" * 200}) / "a.tar", ["damaged or cut short"]),
        (lambda p: write_tar(p / "a.tar", {"a.txt": b"x"}), ["no pictures in the tar"]),
        (lambda p: write_tar(p / "a.tar.gz", {"a.png": PNG}, "w:gz"), ["compressed (gzip)", "decompress"]),
        (lambda p: write_tar(p / "a.tar", {"a.png": PNG}, "w:xz"), ["compressed (xz)"]),
    ],
)
def test_what_is_no_source_is_said_in_one_sentence(tmp_path: Path, make, words: list[str]) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SourceError) as caught:
        open_source(make(tmp_path))
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message


def test_no_sources_at_all_is_an_error() -> None:
    with pytest.raises(SourceError, match="No source"):
        open_sources([])


def test_a_tar_that_is_cut_short_is_named(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "x.tar", {f"{n}.png": PNG * 20 for n in range(5)})
    tar.write_bytes(tar.read_bytes()[: len(PNG) * 70])
    with pytest.raises(SourceError, match="cut short"):
        list(open_sources([tar]).entries())


@pytest.mark.parametrize("how", ["header damaged", "header cut", "header zero", "joined by cat"])
def test_no_member_of_a_tar_is_lost_without_a_word(tmp_path: Path, how: str) -> None:
    """`tarfile` ends there as if the archive did."""
    tar = write_tar(tmp_path / "x.tar", {f"{n}.png": PNG for n in range(4)})
    data, third = bytearray(tar.read_bytes()), 2 * (512 + -(-len(PNG) // 512) * 512)
    if how == "header damaged":
        data[third : third + 8] = bytes([255]) * 8
    elif how == "header cut":
        del data[third + 100 :]
    elif how == "header zero":
        data[third : third + 512] = bytes(512)
    else:
        data *= 2
    tar.write_bytes(data)
    with pytest.raises(SourceError, match=r"damaged or cut short \(what stands at byte [\d,]+ is neither"):
        list(open_sources([tar]).entries())


def test_a_tar_of_many_names_before_a_name_is_no_bug(tmp_path: Path) -> None:
    long = tarfile.TarInfo("././@LongLink")
    long.type, long.size = tarfile.GNUTYPE_LONGNAME, 4
    (tmp_path / "x.tar").write_bytes((long.tobuf() + b"a.b\0".ljust(512, b"\0")) * 2000)
    with pytest.raises(SourceError, match="damaged or cut short"):
        open_source(tmp_path / "x.tar")


def test_an_empty_folder_may_be_a_drive_whatever_its_path_is_written_as(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_folder(tmp_path / "full", {"a.png": PNG})
    (tmp_path / "drive").mkdir()
    for drive in (tmp_path / "drive", "~/drive"):
        with pytest.raises(SourceError, match="There are no pictures"):
            open_sources(["~/full", drive])


@pytest.mark.skipif(sys.platform != "linux", reason="names that are not UTF-8")
def test_a_file_that_two_folders_reach_comes_once_whatever_its_name_is(tmp_path: Path) -> None:
    for folder in ("plain", os.fsdecode(b"caf\xe9")):
        write_folder(tmp_path / "p" / folder, {"a.png": PNG})
    sources = open_sources(
        [tmp_path / "p", tmp_path / "p" / "plain", tmp_path / "p" / os.fsdecode(b"caf\xe9")]
    )
    assert len(sources) == 3 and len(list(sources.entries())) == 2


@pytest.mark.parametrize("kind", ["folder", "tar", "cifar"])
def test_what_the_system_says_is_one_pictures_failure(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path, {"f/a.png": PNG, "data_batch_1.bin": bytes(3073)})
    path = {"folder": tmp_path / "f", "tar": write_tar(tmp_path / "t.tar", {"a.png": PNG})}.get(kind)
    (entry,) = open_sources([path or tmp_path / "data_batch_1.bin"]).entries()

    def fails(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(f"sightbook.images.kinds.{kind}.open", fails, raising=False)
    for read in (entry.read, lambda: entry.head(100)):
        with pytest.raises(PictureError, match=r"^the file cannot be read \(Input/output error\)$"):
            read()


def test_a_source_that_may_not_be_read_has_not_vanished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [write_tar(tmp_path / "t.tar", {"a.png": PNG}), write_parquet(tmp_path / "p.parquet", [PNG])]
    entries = [next(open_sources([path]).entries()) for path in paths]

    def fails(path: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("sightbook.images.entry.os.stat", fails)
    for entry in entries:
        with pytest.raises(SourceError, match=r"cannot be read \(Permission denied\): check it"):
            entry.read()


def test_two_sources_of_one_id_are_refused(tmp_path: Path) -> None:
    a, b = (write_folder(tmp_path / name, {"x.png": PNG}) for name in "ab")
    with pytest.raises(SourceError, match="one id"):
        open_sources([a, b], {a: "s", b: "s"})
