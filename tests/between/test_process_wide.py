"""What sightbook leaves alone in the process it runs in, and what it closes when somebody else fails."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sightbook.files import replace_atomic, write_atomic
from sightbook.library import export
from sightbook.library.library import Library
from sightbook.model.model import Model
from tests.library.pictures import fill, picture


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX permissions")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_new_files_have_the_rights_that_the_umask_gives(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write_atomic(tmp_path / "a.json", "{}")
    finally:
        os.umask(before)
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == mode
    assert [item.name for item in tmp_path.iterdir()] == ["a.json"]


def test_the_umask_is_never_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(mask: int) -> int:
        raise AssertionError("the umask is that of every thread")

    monkeypatch.setattr(os, "umask", forbidden)
    write_atomic(tmp_path / "a", b"1")
    with pytest.raises(RuntimeError), replace_atomic(tmp_path / "a") as temporary:
        temporary.write_bytes(b"2")
        raise RuntimeError
    assert (tmp_path / "a").read_bytes() == b"1" and len(list(tmp_path.iterdir())) == 1


def test_writers_of_one_file_do_not_get_into_each_others_way(tmp_path: Path) -> None:
    contents = [bytes([n]) * 100_000 for n in range(8)]
    threads = [threading.Thread(target=write_atomic, args=(tmp_path / "a", content)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "a").read_bytes() in contents and len(list(tmp_path.iterdir())) == 1


def test_the_encoding_is_closed_when_the_writer_of_an_export_fails(
    tmp_path: Path, place: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sightbook.model.encode as encoding

    closed: list[bool] = []
    real = encoding.encode

    def watched(*arguments: object, **options: object) -> Iterator[object]:
        try:
            yield from real(*arguments, **options)  # type: ignore[arg-type]
        finally:
            closed.append(True)

    def full(self: object, *_: object) -> None:
        assert not closed
        raise OSError(28, "No space left on device")

    with Library.open(place, create_with=model) as library:
        library.add([fill(tmp_path / "p", 20)])
        monkeypatch.setattr(export, "ROWS", 16)
        monkeypatch.setattr(encoding, "encode", watched)
        monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
        with pytest.raises(OSError, match="No space") as raised:
            export.embeddings_to_parquet(library, tmp_path / "out.parquet", jobs=1)
        assert closed == [True] and raised.value.errno == 28
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize("asked", ["search", "doctor"])
def test_the_runtime_of_the_encoder_notes_nothing_about_its_user(
    tmp_path: Path, place: Path, model: Model, asked: str
) -> None:
    with Library.open(place, create_with=model) as library:
        library.add([fill(tmp_path / "p", 3)], jobs=1)
    (tmp_path / "query.png").write_bytes(picture(1))
    (tmp_path / "home").mkdir()
    environment = {**os.environ, "HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "home")}
    del environment["ORT_DISABLE_TELEMETRY"]  # which the tests themselves set
    words = {
        "search": ["search", str(place), str(tmp_path / "query.png"), "--json"],
        "doctor": ["doctor", "--json"],
    }
    subprocess.run(
        [sys.executable, "-m", "sightbook", *words[asked]], env=environment, check=True, capture_output=True
    )
    assert [path for path in (tmp_path / "home").rglob("*") if "onnxruntime" in path.name] == []
