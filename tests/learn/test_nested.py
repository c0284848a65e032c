"""Nested codes: the first codebooks are codes by themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import sightbook
from sightbook.errors import ConfigError, ModelError
from sightbook.learn import trainer
from sightbook.learn.forward import forward_loss
from sightbook.learn.methods.batch import ViewBatch
from sightbook.learn.methods.loss import terms_of, total
from sightbook.learn.resolved import complete, overlay
from sightbook.learn.run import pictures_of
from sightbook.library.library import Library
from sightbook.model.model import Model
from tests.learn.conftest import BACKBONES, METHODS_OF_STEPS, TINY, Train, config_of, pictures, run_of

LONG = {"M": 16, "D": 64}


def test_the_loss_is_the_mean_over_the_prefixes(tmp_path: Path) -> None:
    run = run_of(config_of(nested=[16, 32], **LONG), tmp_path)
    views = run.views(pictures_of(run))
    loss, _, _ = forward_loss(run.network, views, run, None)
    x = run.network(views)
    z, p = run.network.quantizer(x)
    C = run.network.quantizer.codewords()
    parts = [ViewBatch(x, x[:, : 4 * M], z[:, : 4 * M], p[:, :M], C[:M]) for M in (4, 8, 16)]
    expected = sum(total(terms_of(part, run.config)) for part in parts) / 3
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), abs=1e-5)


@pytest.mark.parametrize("method", METHODS_OF_STEPS)
def test_every_method_takes_nested_codes_and_moves_everything(method: str, tmp_path: Path) -> None:
    terms = {"terms": {"memory": 16, "memory_after": 0.0}} if method in ("mecoq", "dccq") else {}
    run = run_of(config_of(method=method, nested=[16], **LONG, **terms), tmp_path)
    before = {name: value.clone() for name, value in run.network.named_parameters()}
    for _ in range(2):  # the second step has a memory
        trainer.step(run, None)
        run.at.step += 1
    after = dict(run.network.named_parameters())
    assert [name for name in before if torch.equal(before[name], after[name])] == []


@pytest.mark.parametrize(
    "nested", [[8], [24, 16], [16, 16], [20], [64], [128]], ids=lambda bits: "-".join(map(str, bits))
)
def test_lengths_that_do_not_fit_are_refused(nested: list[int]) -> None:
    with pytest.raises(ConfigError, match="nested"):
        config_of(nested=nested, **LONG)


def test_the_option_takes_every_usual_shorter_length() -> None:
    for bits, lengths in ((24, (16,)), (64, (16, 32)), (128, (16, 32, 64))):
        config = complete(overlay(None, None, bits=bits, epochs=1), None, None, 32, nested=True)
        assert config.nested == lengths
    paper = complete(overlay(None, None, bits=64, epochs=1), "paper", None, 32, nested=True)
    assert (paper.nested, paper.prefixes) == ((16, 32), [2, 4, 8])
    with pytest.raises(ConfigError, match="no shorter code than 16 bits can be nested"):
        complete(overlay(None, None, bits=16, epochs=1), None, None, 32, nested=True)
    kept = complete(overlay(None, {"nested": [24]}, bits=64, epochs=1), None, None, 32, nested=True)
    assert kept.nested == (24,)


def test_a_resumed_run_keeps_its_lengths(train: Train, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="resume it without --nested"):
        train(photos, tmp_path / "m", nested=True, resume=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    from tests.pictures import write_photos

    folder = tmp_path_factory.mktemp("nested")
    write_photos(folder / "photos", 40, side=16)
    settings = {**TINY, **LONG, "backbone": BACKBONES["resnet"]}
    sightbook.train(folder / "photos", folder / "model", nested=True, epochs=1, settings=settings, jobs=1)
    return Model.open(folder / "model")


def test_a_prefix_is_the_beginning_of_the_whole_code(model: Model) -> None:
    assert model.config.nested == (16, 32)
    pixels = pictures(10)
    whole = model.encode(pixels)
    for bits in (16, 32):
        short = model.prefix(bits)
        assert (short.bits, short.M, short.D, short.is_whole) == (bits, bits // 4, bits, False)
        np.testing.assert_array_equal(short.encode(pixels), whole[:, : bits // 4])
        x = short.embed(pixels)
        np.testing.assert_array_equal(x, model.embed(pixels)[:, :bits])
        np.testing.assert_array_equal(short.tables(x), model.tables(model.embed(pixels))[:, : bits // 4])
    assert model.prefix(32).prefix(16).bits == 16
    assert model.prefix(64) is model
    with pytest.raises(ModelError, match=r"has no 24-bit codes inside its own \(it has 16, 32, 64\)"):
        model.prefix(24)


def test_a_library_keeps_whole_codes_and_scans_short_ones(model: Model, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="a library keeps the whole codes"):
        Library.open(tmp_path / "short", create_with=model.prefix(16))
    with Library.open(tmp_path / "library", create_with=model) as library:
        library.add([model.folder.parent / "photos"], jobs=1)
        query = pictures(3)[2]
        exact = library.search(query, k=40)
        # 40 pictures are all candidates, so that the second stage sees every one.
        assert library.search(query, k=40, scan_bits=16) == exact
        assert library.search(query, k=40, scan_bits=64) == exact
        with pytest.raises(ModelError, match="has no 48-bit codes"):
            library.search(query, scan_bits=48)
