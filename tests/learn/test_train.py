"""`sightbook.train` as its callers see it: what it writes, what cannot matter to it, and what it refuses."""

from __future__ import annotations

import io
import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from sightbook import files
from sightbook.errors import ConfigError, ModelError, SourceError
from sightbook.learn import session
from sightbook.learn.resolved import complete, overlay
from sightbook.learn.settings.config import TrainConfig, build, dump
from sightbook.progress import Notice, Progress
from tests.learn.conftest import BACKBONES, GOOD, SIZE, TINY, Train, pictures, weights
from tests.model.test_backbone import write_backbone
from tests.pictures import write_photos


def png(pixels: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_parquet(path: Path, labels: list[int] | None) -> Path:
    """40 pictures in the Hugging Face layout."""
    images = [{"bytes": png(pixels), "path": f"{n}.png"} for n, pixels in enumerate(pictures(GOOD))]
    columns = {"img": pa.array(images, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))}
    if labels is not None:
        columns["label"] = pa.array(labels, pa.int64())
    pq.write_table(pa.table(columns), path)
    return path


def test_labels_cannot_matter(train: Train, tmp_path: Path) -> None:
    right = [n % 6 for n in range(GOOD)]
    made = [
        weights(train(write_parquet(tmp_path / f"{name}.parquet", labels), tmp_path / name).folder)
        for name, labels in (("right", right), ("permuted", right[::-1]), ("absent", None))
    ]
    assert made[0] == made[1] == made[2]


def test_names_and_class_folders_cannot_matter(train: Train, tmp_path: Path) -> None:
    for number, pixels in enumerate(pictures(GOOD)):
        for path in (f"flat/{number:03d}.png", f"by_class/{number % 3}/{(7 * number) % GOOD:03d}.png"):
            target = tmp_path / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(png(pixels))
    flat = train(tmp_path / "flat", tmp_path / "a").folder
    assert weights(flat) == weights(train(tmp_path / "by_class", tmp_path / "b").folder)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    train: Train, photos: Path, tmp_path: Path
) -> None:
    first, again, other = (
        weights(train(photos, tmp_path / name, seed=seed).folder)
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    assert first == again != other


def test_a_mapped_store_gives_the_same_weights(train: Train, photos: Path, tmp_path: Path) -> None:
    mapped = train(photos, tmp_path / "mapped", settings={"memory_gib": 1e-6}).folder
    assert weights(mapped) == weights(train(photos, tmp_path / "memory").folder)
    assert not (mapped / "train" / "pictures.u8").exists()


@pytest.mark.parametrize("backbone", ["resnet", "vit"])
def test_no_epochs_write_the_network_the_seed_begins_with(
    backbone: str, train: Train, photos: Path, tmp_path: Path
) -> None:
    settings = {"backbone": BACKBONES[backbone], "seed": 7}
    report = train(photos, tmp_path / "m", epochs=0, settings=settings)
    config = build([{**TINY, **settings, "epochs": 0}])
    network, *_ = session.make_network(config)
    written = load_file(tmp_path / "m" / "model.safetensors")
    assert set(written) == set(network.state_dict())
    # But for what it takes from the collection without learning: the stem's filters and the norms' statistics.
    stem = {"backbone.body.embedder.embedder.convolution.weight"} if backbone == "resnet" else set()
    drawn = {name: value for name, value in network.named_parameters() if name not in stem}
    assert all(torch.equal(value, written[name]) for name, value in drawn.items())
    assert all(not torch.equal(network.state_dict()[name], written[name]) for name in stem)
    assert (report.steps, report.seconds) == (0, 0.0)
    assert report.verdict["trained"] == report.verdict["untrained"]
    assert report.sentence.startswith("Not trained, as asked")


def test_frozen_codebooks_are_written_as_the_seed_drew_them(
    train: Train, photos: Path, tmp_path: Path
) -> None:
    start = load_file(train(photos, tmp_path / "0", epochs=0).folder / "codebooks.safetensors")["codebooks"]
    frozen = train(photos, tmp_path / "1", settings={"codebooks": "frozen"}).folder
    learned = train(photos, tmp_path / "2").folder
    assert torch.equal(load_file(frozen / "codebooks.safetensors")["codebooks"], start)
    assert not torch.equal(load_file(learned / "codebooks.safetensors")["codebooks"], start)
    facts = json.loads((frozen / "config.json").read_text())
    assert facts["network"]["codebooks"] == "frozen"


def test_bad_pictures_are_counted_and_told(train: Train, photos: Path, tmp_path: Path) -> None:
    heard: list[Progress | Notice] = []
    report = train(photos, tmp_path / "m", listener=heard.append)
    assert (report.failed, report.pictures) == (3, GOOD - 8)
    notices = [event.text for event in heard if isinstance(event, Notice)]
    assert sum("skipped" in text for text in notices) == 3
    assert {event.stage for event in heard if isinstance(event, Progress)} == {"decode", "train"}
    last = [event for event in heard if isinstance(event, Progress) and event.stage == "train"][-1]
    assert (last.done, last.total) == (64, 64)
    assert set(last.figures) == {"loss", "used", "perplexity"}
    assert "3 that could not be read" in (tmp_path / "m" / "README.md").read_text()


def test_a_batch_shrinks_to_the_collection_and_says_so(train: Train, photos: Path, tmp_path: Path) -> None:
    heard: list[Any] = []
    report = train(photos, tmp_path / "m", settings={"batch": 256}, listener=heard.append)
    assert report.steps == 2
    assert any(getattr(event, "text", "").startswith("only 32 pictures to train on") for event in heard)


def test_a_clip_is_judged_by_the_batch_that_is_possible(train: Train, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="clip 70 leaves no negatives in a batch of 32 pictures"):
        train(photos, tmp_path / "m", settings={"batch": 256, "clip": 70})
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(("count", "error"), [(1, ConfigError), (7, ConfigError)])
def test_too_few_pictures_leave_no_folder(count: int, error: type, train: Train, tmp_path: Path) -> None:
    write_photos(tmp_path / "few", count, side=SIZE)
    with pytest.raises(error, match=f"^{count} picture.* cannot teach anything"):
        train(tmp_path / "few", tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_eight_pictures_are_enough_to_go_through(train: Train, tmp_path: Path) -> None:
    write_photos(tmp_path / "few", 8, side=SIZE)
    report = train(tmp_path / "few", tmp_path / "m")
    assert (report.pictures, report.verdict["pictures"], report.steps) == (7, 1, 2)


def test_no_good_picture_no_pictures_no_source(train: Train, tmp_path: Path) -> None:
    bad, empty = tmp_path / "bad", tmp_path / "empty"
    bad.mkdir()
    empty.mkdir()
    (bad / "a.jpg").write_bytes(b"nothing")
    for source, words in ((bad, "the only picture in"), (empty, "empty"), (tmp_path / "gone", "gone")):
        with pytest.raises(SourceError, match=words):
            train(source, tmp_path / "m")
        assert not (tmp_path / "m").exists()


def test_nothing_is_overwritten(train: Train, photos: Path, tmp_path: Path) -> None:
    done = train(photos, tmp_path / "done", epochs=0).folder
    before = {path: path.read_bytes() for path in done.rglob("*") if path.is_file()}
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("a file")
    for out, words in (
        (done, "done already holds a model: nothing is overwritten; give another folder as --out"),
        (tmp_path / "notes", "notes is not empty: give another folder as --out"),
        (tmp_path / "file", "file is a file: give another folder as --out"),
    ):
        with pytest.raises(ConfigError, match=words):
            train(photos, out)
    assert before == {path: path.read_bytes() for path in done.rglob("*") if path.is_file()}
    assert (tmp_path / "notes" / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"settings": {"no_such": 1}}, r"^no_such is not a setting"),
        ({"settings": {"views.bluur": 0.1}}, r"^views\.bluur is not a setting"),
        ({"settings": {"K": 17}}, r"^K must be 16 or 256"),
        ({"settings": {"M": 3, "D": 16}}, r"^D 16 is not a multiple of M 3"),
        ({"settings": {"clip": 1.5}}, r"^clip 1\.5 is neither a count"),
        ({"settings": {"clip": "yes"}}, r"^clip "),
        (
            {"settings": {"backbone": {"kind": "vit", "patch": 5}}},
            r"^size 16 is not a multiple of backbone\.patch 5",
        ),
        ({"settings": {"tau": "{"}}, r"^--set 'tau=\{': the value cannot be read"),
        ({"bits": 20, "settings": {"K": 256, "M": 3, "D": 24}}, r"^M=3 codebooks make 24 bits, not 20"),
        ({"epochs": 1, "minutes": 1.0}, r"^the budget is either epochs or minutes"),
        (
            {"method": "no-such"},
            r"^method 'no-such' is unknown: choose one of neighbours, rcq, transclippedclr",
        ),
        ({"preset": "large"}, r"^preset 'large' is unknown: choose one of small, photo, paper"),
        ({"device": "cuda:77"}, r"^device 'cuda:77' is not usable here"),
        ({"device": "abacus"}, r"^device 'abacus' is not usable here"),
        ({"settings": {"clip": 14}}, r"^clip 14 leaves no negatives in a batch of 8"),
        ({"config": "missing.yaml"}, r"^missing\.yaml cannot be read \(No such file"),
    ],
)
def test_a_bad_setting_is_one_sentence_and_leaves_no_folder(
    options: dict[str, Any], words: str, *, train: Train, photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        train(photos, tmp_path / "m", **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("options", "M", "K", "D"),
    [
        ({}, 16, 16, 256),
        ({"bits": 32}, 8, 16, 128),
        ({"bits": 32, "settings": {"K": 256}}, 4, 256, 64),
        ({"bits": 32, "preset": "paper"}, 4, 256, 64),
        ({"settings": {"M": 5}}, 5, 16, 80),
        ({"settings": {"bits": "24"}}, 6, 16, 96),
        ({"settings": {"D": 64}}, 16, 16, 64),
    ],
)
def test_bits_become_codebooks(options: dict[str, Any], M: int, K: int, D: int) -> None:
    from sightbook.learn.resolved import complete, overlay

    given = {"method": None, "bits": None, "epochs": None, "minutes": None, "seed": None}
    given["bits"] = options.get("bits")
    config = complete(overlay(None, options.get("settings"), **given), options.get("preset"), None, 32)
    assert (config.M, config.K, config.D) == (M, K, D)
    assert (config.epochs, config.minutes) == (None, 10.0)


@pytest.mark.parametrize("bits", [10, 12, 130, 132, 18, -16, 0])
def test_bits_that_cannot_be_made_are_refused(bits: int, photos: Path, tmp_path: Path) -> None:
    import sightbook

    with pytest.raises(ConfigError, match=f"^{bits} bits cannot be made of codebooks of 16 codewords"):
        sightbook.train(photos, tmp_path / "m", bits=bits)


def test_twenty_bits_are_no_whole_codebooks_of_256_codewords(photos: Path, tmp_path: Path) -> None:
    import sightbook

    with pytest.raises(
        ConfigError, match=r"^20 bits cannot be made of codebooks of 256 codewords \(8 bits each\)"
    ):
        sightbook.train(photos, tmp_path / "m", bits=20, settings={"K": 256})


def test_the_later_budget_counts(tmp_path: Path) -> None:
    from sightbook.learn.resolved import overlay

    file = tmp_path / "run.yaml"
    file.write_text("{minutes: 3, tau: 0.2, views: {hue: 0.05, flip: 0.0}}")
    given = {"method": None, "bits": None, "epochs": 4, "minutes": None, "seed": None}
    assert overlay(file, {"views.hue": "0.07"}, **given) == {
        "epochs": 4,
        "tau": 0.2,
        "views": {"hue": 0.07, "flip": 0.0},
    }
    assert overlay(file, {"minutes": "2"}, **given)["minutes"] == 2
    assert "epochs" not in overlay(file, {"minutes": "2"}, **given)


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes: what a full disk does to a write, for any user."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_an_error_that_the_command_explains(
    train: Train, photos: Path, tmp_path: Path
) -> None:
    from sightbook.cli.guard import sentence

    with files_up_to(20_000), pytest.raises(OSError, match="File too large") as caught:
        train(photos, tmp_path / "m")
    said = sentence(caught.value)
    assert said is not None
    assert "the file is larger than the disk or a limit (ulimit -f) allows" in said
    assert not (tmp_path / "m").exists()  # no step was saved
    train(photos, tmp_path / "m", epochs=0)


def test_a_disk_that_fills_up_later_keeps_the_checkpoint(
    train: Train, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(photos, tmp_path / "whole").folder
    with monkeypatch.context() as patch:
        original, full = files.replace_atomic, tmp_path / "m" / "model.safetensors"

        @contextmanager
        def replace_atomic(path: Path) -> Iterator[Path]:
            with files_up_to(1000) if path == full else nullcontext(), original(path) as temporary:
                yield temporary

        patch.setattr(files, "replace_atomic", replace_atomic)
        with pytest.raises(OSError, match="File too large"):
            train(photos, tmp_path / "m")
    assert [path.name for path in (tmp_path / "m").iterdir() if path.name.endswith("tmp")] == []
    assert not (tmp_path / "m" / "config.json").exists()
    train(photos, tmp_path / "m", resume=True)
    assert weights(tmp_path / "m") == weights(whole)


def test_a_folder_that_cannot_be_written_is_said_before_decoding(
    train: Train, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sightbook.learn import store

    monkeypatch.setattr(store, "fill", lambda *_, **__: pytest.fail("decoding began"))
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Not a directory"):
        train(photos, tmp_path / "file" / "m")
    if os.geteuid() == 0:
        pytest.skip("the superuser may write to read-only folders")
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(PermissionError):
        train(photos, tmp_path / "closed" / "m")


def test_a_diverging_run_says_what_to_do(train: Train, photos: Path, tmp_path: Path) -> None:
    settings = {"optimizer.rate": 1e30, "optimizer.warmup": 0.0, "optimizer.clip_norm": 1e30}
    with pytest.raises(ModelError, match=r"the loss became nan .* --set precision=fp32"):
        train(photos, tmp_path / "m", settings=settings, epochs=20)


def settled(
    shorter: int = 32, preset: str | None = None, backbone: str | None = None, **given: Any
) -> TrainConfig:
    """What `train` resolves for pictures of `shorter` pixels."""
    config, settings = given.pop("config", None), given.pop("settings", None)
    pictures, nested = given.pop("pictures", 0), given.pop("nested", False)
    asked = overlay(config, settings, **given)
    return complete(asked, preset, backbone, shorter, nested=nested, pictures=pictures)


def test_a_frozen_backbone_with_enough_pictures_gets_many_codewords(tmp_path: Path) -> None:
    folder = write_backbone(tmp_path / "b", "resnet")
    head: dict[str, Any] = {"backbone": str(folder), "settings": {"backbone.train": "head"}}

    def shape(**given: Any) -> tuple[int, int, int]:
        settings = {**head["settings"], **given.pop("settings", {})}
        given.setdefault("method", "rcq")
        config = settled(backbone=head["backbone"], settings=settings, **given)
        return config.M, config.K, config.D // config.M

    assert shape(pictures=600) == (8, 256, 64)
    assert shape(pictures=600, bits=16) == (2, 256, 64)
    assert shape(pictures=599) == (16, 16, 16), "too few for 256 codewords"
    assert shape(pictures=9999, bits=20) == (5, 16, 16), "no whole bytes"
    assert shape(pictures=9999, settings={"K": 16}) == (16, 16, 16)
    assert shape(pictures=9999, settings={"M": 16}) == (16, 16, 16), "M alone is told of 16 codewords"
    assert shape(pictures=9, settings={"K": 256}) == (8, 256, 64)
    assert shape(pictures=9999, method="spq") == (16, 16, 16)
    assert settled(pictures=9999, backbone=str(folder)).K == 16, "a backbone that is trained"
    wide = settled(
        backbone=head["backbone"],
        settings=head["settings"],
        method="rcq",
        pictures=9999,
        nested=True,
        bits=128,
    )
    assert wide.nested == (16, 32, 64) and wide.prefixes == [2, 4, 8, 16]
    narrow = settled(
        backbone=head["backbone"], settings={**head["settings"], "K": 16}, method="rcq", pictures=9999
    )
    assert wide.optimizer.rate < narrow.optimizer.rate and wide.terms.relation_z != narrow.terms.relation_z


@pytest.mark.parametrize(
    "given", [{"minutes": 3.0}, {"epochs": 2, "backbone": "vit"}, {"shorter": 300}, {"preset": "paper"}]
)
def test_a_models_config_file_trains_the_same_again(tmp_path: Path, given: dict[str, Any]) -> None:
    file = tmp_path / "config.yaml"
    first = settled(**given)
    file.write_text(dump(first))
    assert settled(config=file) == first


@pytest.mark.parametrize(
    ("option", "value"),
    [("bits", 32), ("minutes", 7.0), ("epochs", 4), ("seed", 9), ("method", "transclippedclr")],
)
def test_an_option_stands_over_the_file(tmp_path: Path, option: str, value: Any) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(dump(settled(minutes=3.0)))
    config = settled(config=file, **{option: value})
    assert getattr(config, option) == value
    if option == "bits":
        assert (config.M, config.D) == (8, 128)
    if option == "epochs":
        assert config.minutes is None
    if option == "method":  # the terms of the file's method are not this one's; its batch is the file's
        assert config == settled(minutes=3.0, method=value, settings={"batch": settled(minutes=3.0).batch})


def test_a_backbone_brings_its_rates_however_it_is_named() -> None:
    assert settled(settings={"backbone.kind": "vit"}) == settled(backbone="vit")
    assert settled(backbone="vit").optimizer.rate == 1e-3


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"preset": "photo", "settings": {"preset": "small"}}, "--preset photo contradicts preset small"),
        (
            {"backbone": "vit", "settings": {"backbone.kind": "resnet"}},
            "--backbone vit contradicts backbone resnet",
        ),
        ({"settings": {"backbone.kind": "cnn"}}, "^backbone.kind must be 'vit', 'resnet' or 'pretrained'"),
        ({"settings": {"backbone": "vit"}}, "^backbone is a section of settings: .* or --backbone vit"),
        (
            {"settings": {"backbone.widths": "[0, 8, 8]"}},
            "^backbone.widths.0 must be greater than or equal to 1",
        ),
        ({"seed": 2**31}, "^seed must be less than or equal to 2147483647"),
    ],
)
def test_settings_that_contradict_or_do_not_fit_are_said(given: dict[str, Any], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        settled(**given)
