"""Method neighbours on pictures: fixed views by onnxruntime, learned from in closed form, resumed, label-free."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sightbook
from sightbook.errors import ConfigError, SourceError
from sightbook.images.load.pool import Failed, Loaded, load
from sightbook.images.pixels.frame import Frame
from sightbook.images.sources import open_sources
from sightbook.learn import fixed, mapped, pretrained
from sightbook.learn.neighbours import sentence
from sightbook.model.config import ModelConfig
from sightbook.model.fit import fit
from sightbook.model.model import Model
from sightbook.progress import Notice
from tests.model.test_backbone import write_backbone
from tests.pictures import write_photos

GOOD = 40
SIZES: dict[str, Any] = {"size": 32, "resize": 32}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_backbone(tmp_path_factory.mktemp("backbone") / "resnet", "resnet")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    photos = tmp_path_factory.mktemp("photos")
    write_photos(photos, GOOD, side=32)
    (photos / "005-cut.jpg").write_bytes(b"no picture")
    return photos


def train(source: Any, out: Path, folder: Path, **options: Any) -> Any:
    settings = {**SIZES, **options.pop("settings", {})}
    return sightbook.train(
        source, out, backbone=str(folder), train_part="head", settings=settings, jobs=1, **options
    )


@pytest.fixture(scope="module")
def trained(source: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "m"
    train(source, out, folder, bits=32)
    return out


def test_the_model_is_that_of_the_fixed_views_features(trained: Path, source: Path) -> None:
    model = Model.open(trained)
    assert (model.config.method, model.bits, model.config.nested) == ("neighbours", 32, (16,))
    assert sorted(path.name for path in trained.iterdir()) == [
        "README.md", "codebooks.safetensors", "config.json", "description.safetensors", "encoder.onnx", "train",
    ]  # fmt: skip
    files = sorted(path for path in source.rglob("*") if path.is_file() and path.name != "005-cut.jpg")
    pixels = np.stack([model.prepare(path.read_bytes()) for path in files])
    x, features = model.embed_with_features(pixels)
    # In the order of the content, in half precision: as the cache keeps them.
    order = sorted(range(len(files)), key=lambda i: fixed_digest(files[i]))
    again = fit(features[order].astype(np.float16), 32, seed=0)
    np.testing.assert_allclose(model.codebooks, again.codebooks, atol=2e-2)
    np.testing.assert_allclose(again.description.apply(features), x, atol=2e-2)
    np.testing.assert_array_equal(model.assign(x), model.tables(x).argmax(2))


def fixed_digest(path: Path) -> bytes:
    from sightbook.images.load.loaded import digest

    return digest(path.read_bytes())


def test_names_and_order_do_not_matter(trained: Path, source: Path, folder: Path, tmp_path: Path) -> None:
    """Classes often stand in the names of folders: turned about, the model is the same to the last bit."""
    files = sorted(path for path in source.rglob("*.*") if path.is_file())
    for number, path in enumerate(reversed(files)):
        target = tmp_path / "p" / f"class{number % 3}" / f"{number:03d}{path.suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    train(tmp_path / "p", tmp_path / "m", folder, bits=32)
    for name in ("description.safetensors", "codebooks.safetensors"):
        assert (tmp_path / "m" / name).read_bytes() == (trained / name).read_bytes()


def test_stopped_in_the_middle_it_goes_on(
    trained: Path, source: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fixed, "BATCH", 8)
    seen: list[int] = []
    real = pretrained.by_graph

    def forward(*arguments: Any) -> fixed.Forward:
        inner = real(*arguments)

        def counted(pixels: Any) -> Any:
            seen.append(len(pixels))
            if len(seen) == 3:
                raise KeyboardInterrupt
            return inner(pixels)

        return counted

    monkeypatch.setattr(pretrained, "by_graph", forward)
    with pytest.raises(KeyboardInterrupt):
        train(source, tmp_path / "m", folder, bits=32)
    assert seen == [8, 8, 8]
    with pytest.raises(ConfigError, match="add --resume"):
        train(source, tmp_path / "m", folder, bits=32)
    sightbook.train(source, tmp_path / "m", resume=True, jobs=1)
    assert sum(seen[3:]) == GOOD - 16, "two batches were kept"
    assert (tmp_path / "m" / "codebooks.safetensors").read_bytes() == (
        trained / "codebooks.safetensors"
    ).read_bytes()
    assert not list((tmp_path / "m" / "train").glob("fixed*"))


def test_kept_features_are_not_computed_again(
    source: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {"features.folder": str(tmp_path / "kept")}
    train(source, tmp_path / "one", folder, settings=kept)

    def refuse(*_: Any) -> fixed.Forward:
        def forward(pixels: Any) -> Any:
            raise AssertionError("computed again")

        return forward

    monkeypatch.setattr(pretrained, "by_graph", refuse)
    report = train(source, tmp_path / "two", folder, bits=128, settings=kept)
    assert (report.bits, report.pictures, report.failed) == (128, GOOD, 1)
    (source / "new.png").write_bytes((source / "beach.jpg").read_bytes())
    try:
        with pytest.raises(AssertionError, match="computed again"):
            train(source, tmp_path / "three", folder, settings=kept)
    finally:
        (source / "new.png").unlink()


def test_what_failed_for_a_passing_reason_is_tried_again(
    trained: Path, source: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {"features.folder": str(tmp_path / "kept")}
    real, asked = fixed.load, []

    def refusing(entries: Any, *arguments: Any, **options: Any) -> Any:
        asked.append(len(entries))
        for each in real(entries, *arguments, **options):
            yield (
                Failed(each.entry, "no right to read it")
                if len(asked) == 1 and each.entry.path < "03"
                else each
            )

    monkeypatch.setattr(fixed, "load", refusing)
    report = train(source, tmp_path / "one", folder, bits=32, settings=kept)
    left_out = report.failed
    assert left_out > 1 and report.pictures == GOOD + 1 - left_out
    assert (tmp_path / "one" / "train" / "failures.jsonl").read_text().count("no right") == left_out
    report = train(source, tmp_path / "two", folder, bits=32, settings=kept)
    assert (report.pictures, report.failed, asked) == (GOOD, 1, [GOOD + 1, left_out])
    for name in ("description.safetensors", "codebooks.safetensors"):
        assert (tmp_path / "two" / name).read_bytes() == (trained / name).read_bytes()


def test_a_second_run_on_the_same_pictures_takes_nothing_from_the_first(tmp_path: Path) -> None:
    """Both began before either had recorded anything: the file is of the right size, and is not cut."""
    write_photos(tmp_path / "p", 3, side=32)
    entries = list(open_sources([tmp_path / "p"]).entries())
    loaded = [each for each in load(entries, Frame(32, 32), jobs=1) if isinstance(each, Loaded)]
    pixels = {3: 1.0, 2: 2.0, 1: 3.0}  # by how many come at once

    def forward(some: Any) -> Any:
        return np.full((len(some), 5), pixels[len(some)], np.float32)

    one = fixed.File.open(tmp_path / "fixed", "key", 3, 5)
    one.add([(0, loaded[0])], forward)
    other = fixed.File.open(tmp_path / "fixed", "key", 3, 5)
    assert other.left == [0, 1, 2] and other.rows[0].tolist() == [3.0] * 5
    other.add([(0, Failed(entries[0], "busy")), (1, loaded[1]), (2, loaded[2])], forward)
    assert (other.left, other.rows[:, 0].tolist()) == ([0], [3.0, 2.0, 2.0])
    other.record()
    again = fixed.File.open(tmp_path / "fixed", "key", 3, 5)
    assert (again.left, again.done, again.failed) == ([0], 3, {0: "busy"})
    assert fixed.File.open(tmp_path / "fixed", "another", 3, 5).left == [0, 1, 2]
    assert not (tmp_path / "fixed.json").exists()


def test_disk_space_is_taken_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = mapped.reserve(tmp_path / "a.f16", np.float16, (1000, 512))
    assert rows.shape == (1000, 512) and (tmp_path / "a.f16").stat().st_blocks * 512 >= rows.nbytes

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(mapped.os, "posix_fallocate", full)
    with pytest.raises(OSError, match=r"No space left on device: .*b\.f16"):
        mapped.reserve(tmp_path / "b.f16", np.float16, (1000, 512))
    assert not (tmp_path / "b.f16").exists()


def test_a_mistake_leaves_an_empty_folder_empty_for_the_corrected_command(
    source: Path, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match=r"features\.folder .*file is a file: give a folder"):
        train(source, tmp_path / "m", folder, settings={"features.folder": str(tmp_path / "file")})
    assert list((tmp_path / "m").iterdir()) == []
    assert train(source, tmp_path / "m", folder).pictures == GOOD


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"minutes": 2.0}, "minutes would do nothing in method neighbours, which learns in closed form"),
        ({"epochs": 1}, "epochs would do nothing in method neighbours"),
        ({"settings": {"tau": 0.1, "views.flip": 0}}, r"tau, views\.flip would do nothing in method neighb"),
        ({"settings": {"features.views": 2}}, r"features\.views would do nothing"),
        ({"bits": 20}, "20 bits cannot be made of codebooks of 256 codewords"),
        ({"settings": {"K": 16}}, "needs a pretrained --backbone with --train head, and K=256"),
        ({"settings": {"strength.whitening": -1}}, r"strength\.whitening"),
    ],
)
def test_what_would_do_nothing_is_refused(
    options: dict[str, Any], sentence: str, source: Path, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        train(source, tmp_path / "m", folder, **options)
    assert not (tmp_path / "m").exists()


def test_strength_of_ones_own_is_taken(source: Path, folder: Path, tmp_path: Path) -> None:
    wanted = {"whitening": 3.0, "ridge": 0.5, "own": 0.2}
    train(
        source, tmp_path / "m", folder, settings={f"strength.{key}": value for key, value in wanted.items()}
    )
    assert json.loads((tmp_path / "m" / "config.json").read_text())["trained"]["strength"] == wanted
    assert "(as asked)" in (tmp_path / "m" / "README.md").read_text()


def test_few_pictures_are_enough_and_none_are_said(source: Path, folder: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for number, path in enumerate(sorted(source.glob("*.*"))[:3]):
        shutil.copyfile(path, few / f"{number}{path.suffix}")
    report = train(few, tmp_path / "m", folder)
    assert report.pictures == 2 and "too few to judge" in report.sentence
    found = Model.open(tmp_path / "m")
    assert np.isfinite(found.codebooks).all() and found.bits == 64
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.jpg").write_bytes(b"x")
    with pytest.raises(SourceError, match=r"the only picture in .* could not be read"):
        train(tmp_path / "bad", tmp_path / "m2", folder)


def test_it_is_the_default_of_a_frozen_backbone_and_says_what_it_did(
    source: Path, folder: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    report = train(
        source, tmp_path / "m", folder,
        listener=lambda event: said.append(event.text) if isinstance(event, Notice) else None,
    )  # fmt: skip
    assert "pretraining: unknown, taken as labels" in said[0] and "none of it is trained" in said[0]
    assert f"skipped {source / '005-cut.jpg'}" in said[1]
    assert report.sentence.startswith("64-bit codes were learned") and "too few to judge" in report.sentence


@pytest.mark.parametrize(
    ("now", "before", "pictures", "lead"),
    [
        (0.40, 0.30, 400, "Learning helped: "),
        (0.40, 0.39, 400, "Whether learning helped cannot be told: "),
        (0.30, 0.40, 400, "Learning did not help: "),
        (0.32, 0.30, 1_000_000, "Whether learning helped cannot be told: "),  # 2,500 of them were looked at
    ],
)
def test_a_difference_within_chance_is_not_called_help(
    now: float, before: float, pictures: int, lead: str
) -> None:
    config = ModelConfig(
        "neighbours", 8, 256, 256, None, (0.0,) * 3, (1.0,) * 3,
        trained={"seconds": 1.0, "distinct": pictures, "pictures": pictures},
        verdict={"agreement": now, "before": before},
    )  # fmt: skip
    assert sentence(config).startswith(lead)
