"""A library for which no model was given: learned over the network that comes with the program, without torch."""

from __future__ import annotations

import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from shutil import copy2, copytree
from typing import Any

import numpy as np
import pytest
import torch

import sightbook
from sightbook.catalogue.lock import writer_lock
from sightbook.errors import MissingExtra, SourceError
from sightbook.images.entry import Entry
from sightbook.images.load.loaded import load_one
from sightbook.images.sources import open_sources
from sightbook.learn import first, frozen
from sightbook.learn.first import first_model
from sightbook.learn.settings.layers import read_file
from sightbook.library.care.check import check
from sightbook.library.library import Library
from sightbook.model import builtin
from sightbook.model.encode import Encoded, encode
from sightbook.model.graph import open_session
from sightbook.model.graph import run as run_encoder
from sightbook.model.model import Model
from sightbook.model.seen import Seen
from sightbook.model.torch.network import PixelBackbone
from sightbook.model.torch.pretrained import open_pretrained
from sightbook.progress import Notice, silent
from tests.pictures import write_photos


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("first") / "über photos"
    write_photos(folder, 12)
    return folder


def test_the_network_is_small_and_says_where_it_is_from() -> None:
    known = builtin.read()
    assert known.encoder.stat().st_size < 12 * 2**20
    assert (known.pretraining, known.licence) == ("labels", "Apache-2.0")
    assert "Apache License" in (known.encoder.parent / "LICENSE").read_text(encoding="utf-8")
    pixels = np.random.default_rng(0).integers(0, 256, (3, known.frame.size, known.frame.size, 3), np.uint8)
    session = open_session(known.encoder)
    features = session.run(["features"], {"pixels": pixels})[0]
    assert features.shape == (3, known.features) and np.isfinite(features).all()
    alone = session.run(["features"], {"pixels": pixels[1:2]})[0]
    np.testing.assert_allclose(alone[0], features[1], rtol=1e-4, atol=1e-4)
    for count, calls in ((0, [0]), (3, [3]), (9, [4, 4, 1])):
        many, made = np.resize(pixels, (count, *pixels.shape[1:])), []

        class Counting:
            def run(self, names: list[str], given: dict[str, Any], made: list[int] = made) -> Any:
                made.append(len(given["pixels"]))
                return session.run(names, given)

        (found,) = run_encoder(Counting(), ["features"], many)
        assert made == calls and found.shape == (count, known.features)
        np.testing.assert_allclose(found, np.resize(features, (count, known.features)), rtol=1e-4, atol=1e-4)


def test_a_folder_becomes_a_library_in_one_command_without_torch(photos: Path, tmp_path: Path) -> None:
    """In a process where torch and transformers cannot be imported."""
    script = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'kornia', 'onnx'): sys.modules[name] = None\n"
        "from sightbook.cli.app import main\n"
        "sys.argv = ['sightbook', *sys.argv[1:]]\n"
        "main()\n"
    )
    library = tmp_path / "my library"
    query = next(iter(sorted(photos.glob("*.jpg"))))
    for words in (("add", str(library), str(photos)), ("search", str(library), str(query), "--json")):
        done = subprocess.run(
            [sys.executable, "-c", script, *words], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["queries"][0]["hits"][0]["path"] == query.name
    assert [path.name for path in tmp_path.iterdir()] == ["my library"]
    assert not (library / "learning").exists(), "what it was learned in is gone"
    with Library.open(library) as opened:
        status = opened.status()
        assert (status.pictures, status.learned_from, status.pretraining) == (12, 12, "labels")


def test_a_stopped_run_goes_on_and_what_is_left_out_is_not_learned_from(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first, "ANCHORS", 8)
    monkeypatch.setattr("sightbook.learn.fixed.BATCH", 4)
    real, seen = frozen.by_graph, []

    def stopping(path: Path) -> object:
        inner = real(path)

        def forward(pixels: object) -> object:
            seen.append(len(pixels))  # type: ignore[arg-type]
            if len(seen) == 2:
                raise KeyboardInterrupt
            return inner(pixels)  # type: ignore[arg-type]

        return forward

    monkeypatch.setattr(frozen, "by_graph", stopping)
    place = tmp_path / "l"
    said: list[str] = []

    def listen(event: object) -> None:
        if isinstance(event, Notice):
            said.append(event.text)

    names = sorted(path.name for path in photos.iterdir())
    with pytest.raises(KeyboardInterrupt), first_model([str(photos)], place, exclude=[names[0]], jobs=1):
        pass
    with first_model([str(photos)], place, exclude=[names[0]], jobs=1, listener=listen) as found:
        model = Model.open(found.folder)
        assert model.config.trained["pictures"] == 8 and sum(seen[2:]) == 4, "four were kept"
    assert "8 of these 11 pictures" in said[0]
    assert not list(tmp_path.iterdir())


def test_pictures_are_seen_once_and_their_codes_are_those_of_a_second_look(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with first_model([str(photos)], tmp_path / "learning", jobs=1) as found:
        assert found.seen is not None and len(found.seen) == 12
        with Library.open(tmp_path / "l", create_with=found.folder) as library:
            with monkeypatch.context() as patch:
                patch.setattr(Model, "embed", None)  # would raise, and so would reading
                patch.setattr("sightbook.images.load.pool.load_one", None)
                assert library.add([photos], jobs=1, seen=found.seen).added == 12
            kept = rows_of(library)
        with Library.open(tmp_path / "m", create_with=found.folder) as library:
            some = Seen(found.seen.rows[:5], found.seen.records[:5])
            assert library.add([photos], jobs=1, seen=some).added == 12
            assert rows_of(library) == kept
        with Library.open(tmp_path / "n", create_with=found.folder) as library:
            assert library.add([photos], jobs=1).added == 12
            assert rows_of(library) == kept


def rows_of(library: Library) -> list[object]:
    """All that the catalogue knows of each picture."""
    with closing(sqlite3.connect(library.path / "catalogue.sqlite")) as catalogue:
        found = catalogue.execute("SELECT p.*, f.code FROM pictures p JOIN fine f USING (id) ORDER BY id")
        return list(found)


def test_what_changed_since_it_was_learned_from_is_read_again(photos: Path, tmp_path: Path) -> None:
    """Another picture, another time, another name, one more, one less; and a bad one that was good."""
    copied = tmp_path / "p"
    copytree(photos, copied)
    changed, touched, renamed, gone, spoiled, like, *_ = names = sorted(
        path.name for path in copied.iterdir()
    )
    with first_model([str(copied)], tmp_path / "learning", jobs=1) as found:
        read: list[str] = []
        copy2(copied / names[-1], copied / changed)  # with that file's time, and another size
        os.utime(copied / touched, ns=(1, 1))
        (copied / renamed).rename(copied / "z.jpg")
        (copied / gone).unlink()
        time = (copied / spoiled).stat().st_mtime_ns
        (copied / spoiled).write_bytes(bytes((copied / spoiled).stat().st_size))  # the same size
        os.utime(copied / spoiled, ns=(time + 1, time + 1))
        copy2(copied / like, copied / "new.jpg")
        with Library.open(tmp_path / "l", create_with=found.folder) as library:
            with pytest.MonkeyPatch.context() as patch:

                def reading(entry: Entry, *rest: Any, **how: Any) -> object:
                    read.append(entry.path)
                    return load_one(entry, *rest, **how)

                patch.setattr("sightbook.images.load.pool.load_one", reading)
                report = library.add([copied], jobs=1, seen=found.seen)
            assert sorted(read) == sorted([changed, touched, "z.jpg", spoiled, "new.jpg"])
            assert (report.added, len(report.failed)) == (11, 1)
            kept = rows_of(library)
        with Library.open(tmp_path / "m", create_with=found.folder) as library:
            library.add([copied], jobs=1)
            assert rows_of(library) == kept


def test_an_archive_that_was_rewritten_is_read_again(photos: Path, tmp_path: Path) -> None:
    """Its members have the sizes and times that they had."""
    paths = sorted(photos.glob("*.jpg"))[:4]
    sources = [tmp_path / "a.tar"]

    def write(contents: list[bytes]) -> None:
        with tarfile.open(sources[0], "w") as archive:
            for number, content in enumerate(contents):
                member = tarfile.TarInfo(f"{number}.jpg")
                member.size = max(map(len, contents))
                archive.addfile(member, io.BytesIO(content.ljust(member.size, b"\0")))

    contents = [path.read_bytes() for path in paths]
    write(contents)
    with first_model([str(sources[0])], tmp_path / "learning", jobs=1) as found:
        assert found.seen is not None
        entries = list(open_sources(sources).entries())
        assert all(found.seen.find(entry) for entry in entries)
        write(contents[::-1])
        os.utime(sources[0], ns=(5, 5))
        assert not any(found.seen.find(entry) for entry in open_sources(sources).entries())
        with Library.open(tmp_path / "l", create_with=found.folder) as library:
            assert library.add(sources, jobs=1, seen=found.seen).added == 4
            (best, *_) = library.search(contents[0])
            assert best.path == "3.jpg"


@pytest.mark.parametrize("batch", [1, 3, 128])
def test_known_and_unknown_pictures_come_in_their_order(photos: Path, tmp_path: Path, batch: int) -> None:
    copytree(photos, tmp_path / "p")
    (tmp_path / "p" / "a.jpg").write_bytes(b"bad")
    entries = list(open_sources([tmp_path / "p"]).entries())
    with first_model([str(tmp_path / "p")], tmp_path / "learning", jobs=1) as found:
        assert found.seen is not None and len(found.seen) == 12
        model = Model.open(found.folder)
        plain = list(encode(entries, model, jobs=1))
        for chosen in ([], [0], [11], [0, 1, 2, 7, 8], range(12)):
            some = Seen(found.seen.rows[[*chosen]], found.seen.records[[*chosen]])
            made = list(encode(entries, model, jobs=1, seen=some, batch=batch))
            assert [each.entry for each in made] == entries
            for one, other in zip(made, plain, strict=True):
                assert type(one) is type(other)
                if isinstance(one, Encoded) and isinstance(other, Encoded):
                    assert (one.digest, one.about) == (other.digest, other.about)
                    assert (one.codes == other.codes).all()

        def vanishing() -> Iterator[Entry]:
            yield from entries[:9]
            raise SourceError("gone")

        for first in (0, 5):
            came = []
            some = Seen(found.seen.rows[first:], found.seen.records[first:])
            with pytest.raises(SourceError, match="gone"):
                for each in encode(vanishing(), model, jobs=1, seen=some, batch=batch):
                    came.append(each.entry)  # noqa: PERF401
            assert came == entries[:9]


@pytest.mark.parametrize(
    "where",
    [
        "sightbook.learn.fixed.File.record",
        "sightbook.learn.closed.fit",
        "sightbook.learn.closed.write",
        "sightbook.catalogue.create.create",
        "sightbook.catalogue.catalogue.Catalogue.settle",
        "sightbook.catalogue.catalogue.Catalogue.put",
    ],
)
@pytest.mark.parametrize("after", [False, True])
def test_the_next_add_finishes_what_was_killed(photos: Path, tmp_path: Path, where: str, after: bool) -> None:
    """kill -9 just before and just after each step of the first `add`."""
    script = (
        "import os, signal, sys\n"
        "from pkgutil import resolve_name\n"
        "from sightbook.cli.app import main\n"
        "import sightbook.learn.closed, sightbook.ingest.add\n"
        f"owner, name = {where.rpartition('.')[0]!r}, {where.rpartition('.')[2]!r}\n"
        "owner = resolve_name(owner)\n"
        "real = getattr(owner, name)\n"
        "def killing(*given, **named):\n"
        f"    if {after}: real(*given, **named)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "setattr(owner, name, killing)\n"
        "sys.argv = ['sightbook', *sys.argv[1:]]\n"
        "main()\n"
    )
    words = ["add", str(tmp_path / "l"), str(photos), "--jobs", "1"]
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert run(*words, cwd=tmp_path).returncode == 0
    with first_model([str(photos)], tmp_path / "learning", jobs=1) as found:
        with Library.open(tmp_path / "m", create_with=found.folder) as library:
            library.add([photos], jobs=1)
            wanted = rows_of(library)
        with Library.open(tmp_path / "l") as library:
            assert rows_of(library) == wanted
    assert not [finding for finding in check(tmp_path / "l") if finding.verdict == "broken"]
    assert not (tmp_path / "l" / "learning").exists()


def test_nothing_to_learn_from_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with (
        pytest.raises(SourceError, match="no pictures"),
        first_model([str(tmp_path / "empty")], tmp_path / "l"),
    ):
        pass
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.jpg").write_bytes(b"x")
    with (
        pytest.raises(SourceError, match=r"the only picture in .* could not be read"),
        first_model([str(tmp_path / "bad")], tmp_path / "l"),
    ):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad", "empty"]


def test_vectors_are_learned_from_as_they_are(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.random.default_rng(0).normal(size=(40, 12)).astype(np.float32))
    (tmp_path / "l" / "seen").mkdir(parents=True)  # as a run on pictures leaves it that was stopped early
    with first_model([str(tmp_path / "v.npy")], tmp_path / "l") as found:
        assert Model.open(found.folder).takes_vectors and found.seen is None


@pytest.mark.parametrize(
    ("options", "part", "method"),
    [
        ({"method": "rcq", "epochs": 1}, "head", "rcq"),
        ({"train_part": "last:1", "epochs": 0}, "last:1", "rcq"),
        ({"settings": {"size": 64}}, "head", "neighbours"),
    ],
)
def test_its_torch_form_is_what_the_graph_is(
    options: dict[str, Any], part: str, method: str, photos: Path, tmp_path: Path
) -> None:
    sightbook.train(photos, tmp_path / "m", backbone="builtin", bits=32, jobs=1, listener=silent, **options)
    config = read_file(tmp_path / "m" / "train" / "config.yaml")
    assert (config["backbone"]["train"], config["method"]) == (part, method)
    model = Model.open(tmp_path / "m")
    assert (model.config.pretraining, model.config.network["backbone"]["licence"]) == ("labels", "Apache-2.0")
    x = model.embed(np.zeros((2, model.frame.size, model.frame.size, 3), np.uint8))
    assert x.shape == (2, model.D) and np.isfinite(x).all()


@pytest.mark.parametrize("size", [32, 160, 224, 256])
def test_the_torch_form_gives_the_features_of_the_graph(size: int) -> None:
    known = builtin.read()
    network, _ = open_pretrained("builtin")
    encoder = PixelBackbone(network, known.mean, known.std).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), np.uint8)
    with torch.inference_mode():
        found = encoder(torch.from_numpy(pixels)).numpy()
    expected = open_session(known.encoder).run(["features"], {"pixels": pixels})[0]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`sightbook` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "sightbook", *words], capture_output=True, text=True, check=False, cwd=cwd
    )


def test_mistakes_leave_no_folder_and_the_present_one_may_become_a_library(
    photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.jpg").write_bytes(b"x")
    for source in ("bad", "nowhere"):
        done = run("add", "l", source, cwd=tmp_path)
        assert done.returncode == 1 and "Traceback" not in done.stderr and not (tmp_path / "l").exists()
    (tmp_path / "here").mkdir()
    assert run("add", ".", str(photos), cwd=tmp_path / "here").returncode == 0
    assert Library.open(tmp_path / "here").status().pictures == 12


def test_a_library_that_lost_its_facts_is_finished_with_its_own_model(photos: Path, tmp_path: Path) -> None:
    assert run("add", "l", str(photos), cwd=tmp_path).returncode == 0
    library = tmp_path / "l"
    before = (library / "model" / "config.json").read_bytes()
    (library / "library.json").unlink()
    planned = Library.plan(library, photos)
    assert (planned.new, planned.unchanged) == ([], 12) and not (library / "library.json").exists()
    said = run("add", "l", str(photos), cwd=tmp_path)
    assert said.returncode == 0 and "0 added, 12 unchanged" in said.stdout
    assert (library / "model" / "config.json").read_bytes() == before, "nothing was learned anew"
    (library / "library.json").unlink()
    (library / "model" / "config.json").unlink()
    said = run("add", "l", str(photos), cwd=tmp_path)
    assert said.returncode == 1 and "has lost its library.json and its model" in said.stderr
    assert not (library / "learning").exists()


def test_a_killed_run_goes_on_and_two_at_once_do_not_meet(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "l" / "learning").mkdir(parents=True)
    (tmp_path / "l" / "learning" / "model").mkdir()
    (tmp_path / "l" / "learning" / "model" / "half").write_text("made")
    said = run("search", "l", str(next(photos.glob("*.jpg"))), cwd=tmp_path)
    assert said.returncode == 1 and "was interrupted" in said.stderr
    with writer_lock(tmp_path / "l" / "learning"):
        said = run("add", "l", str(photos), cwd=tmp_path)
        assert said.returncode == 1 and "is being written by" in said.stderr
    assert run("add", "l", str(photos), cwd=tmp_path).returncode == 0
    assert not (tmp_path / "l" / "learning").exists()


def test_who_waited_while_another_made_the_library_adds_to_it(photos: Path, tmp_path: Path) -> None:
    assert run("add", "made", str(photos), cwd=tmp_path).returncode == 0
    library = tmp_path / "l"
    (library / "learning").mkdir(parents=True)
    with writer_lock(library / "learning"):
        later = subprocess.Popen(
            [sys.executable, "-m", "sightbook", "add", "l", str(photos), "--wait", "100"],
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert later.stderr is not None and "wait" in later.stderr.readline()
        copytree(tmp_path / "made", library, dirs_exist_ok=True)
    said, _ = later.communicate(timeout=100)
    assert later.returncode == 0 and "0 added, 12 unchanged" in said
    assert not (library / "learning").exists()
    with Library.open(library) as found, Library.open(tmp_path / "made") as made:
        assert found.facts.fingerprint == made.facts.fingerprint


def test_a_library_that_grew_says_that_learning_anew_pays(photos: Path, tmp_path: Path) -> None:
    names = sorted(photos.glob("*.jpg"))
    (tmp_path / "p").mkdir()
    for count, advised in ((3, False), (6, True)):
        for path in names[:count]:
            (tmp_path / "p" / path.name).write_bytes(path.read_bytes())
        done = run("add", "l", "p", cwd=tmp_path)
        assert done.returncode == 0 and "Traceback" not in done.stderr
        assert ("Advice: the library's model was learned from 3" in done.stdout) is advised
    before = Library.open(tmp_path / "l").status()
    done = run("migrate", "l", "--learn", "--jobs", "1", cwd=tmp_path)
    assert done.returncode == 0 and "6 pictures have codes of a model learned from them now" in done.stdout
    with Library.open(tmp_path / "l") as library:
        status = library.status()
        assert (status.learned_from, status.advice, status.pictures) == (6, None, 6)
        assert status.fingerprint != before.fingerprint
        assert library.search(tmp_path / "p" / names[0].name)[0].path == names[0].name
    assert not (tmp_path / "l" / "learning").exists()
    (tmp_path / "l" / "learning" / "seen").mkdir(parents=True)  # as a kill leaves it
    with writer_lock(tmp_path / "l" / "learning"):
        check(tmp_path / "l")
        assert (tmp_path / "l" / "learning" / "seen").exists(), "somebody is at work there"
    check(tmp_path / "l")
    assert not (tmp_path / "l" / "learning").exists()
    done = run("migrate", "l", "--learn", cwd=tmp_path)
    assert done.returncode == 1 and "nothing to migrate" in done.stderr
    for words in ((), ("--learn", "--model", "m")):
        done = run("migrate", "l", *words, cwd=tmp_path)
        assert done.returncode == 1 and "either --model NEW or --learn" in done.stderr


def test_learning_anew_goes_by_what_the_library_holds_not_by_what_lies_beside_it(
    photos: Path, tmp_path: Path
) -> None:
    names = sorted(path.name for path in photos.glob("*.jpg"))
    for folder in ("p", "q"):
        (tmp_path / folder).mkdir()
        for name in names[:8]:
            copy2(photos / name, tmp_path / folder / f"{folder}{name}")
    single = [f"p/p{name}" for name in names[:3]]
    assert run("add", "l", *single, cwd=tmp_path).returncode == 0
    assert run("add", "l", "q", cwd=tmp_path).returncode == 0
    assert run("remove", "l", f"q/q{names[0]}", cwd=tmp_path).returncode == 0
    done = run("migrate", "l", "--learn", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "learned from 10 of these 10 pictures" in done.stderr
    with Library.open(tmp_path / "l") as library:
        assert (library.status().learned_from, library.status().pictures) == (10, 10)
    for folder in ("p", "q"):
        for path in (tmp_path / folder).iterdir():
            path.rename(path.with_name(f"other-{path.name}"))
    done = run("migrate", "l", "--learn", cwd=tmp_path)
    assert done.returncode == 1 and "no picture that the library holds" in done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "l" / "learning").exists()


def test_learning_anew_keeps_the_length_of_the_codes(photos: Path, tmp_path: Path) -> None:
    sightbook.train(photos, tmp_path / "m", backbone="builtin", bits=32, jobs=1)
    (tmp_path / "p").mkdir()
    for path in sorted(photos.glob("*.jpg"))[:5]:
        (tmp_path / "p" / path.name).write_bytes(path.read_bytes())
    with Library.open(tmp_path / "l", create_with=tmp_path / "m") as library:
        library.add([tmp_path / "p"], jobs=1)
    assert run("migrate", "l", "--learn", cwd=tmp_path).returncode == 0
    assert (
        Library.open(tmp_path / "l").status().bits,
        Library.open(tmp_path / "l").status().learned_from,
    ) == (32, 5)
    assert run("remove", "l", str(tmp_path / "p"), cwd=tmp_path).returncode == 0
    said = run("migrate", "l", "--learn", cwd=tmp_path)
    assert said.returncode == 1 and "Traceback" not in said.stderr


def test_a_stopped_training_goes_on_without_torch_and_without_its_options(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sightbook.learn.choice.find_spec", lambda name: None)
    with pytest.raises(MissingExtra):
        sightbook.train(photos, tmp_path / "m", jobs=1)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("sightbook.learn.closed.fit", stopping)
        sightbook.train(photos, tmp_path / "m", backbone="builtin", jobs=1)
    assert sightbook.train(photos, tmp_path / "m", resume=True, jobs=1).pictures == 12


def stopping(*_: object, **__: object) -> None:
    """Ctrl-C."""
    raise KeyboardInterrupt
