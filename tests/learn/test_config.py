from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sightbook.errors import ConfigError
from sightbook.learn.settings.config import TrainConfig, build, dump
from sightbook.learn.settings.layers import merge, parse_setting, read_file
from sightbook.learn.settings.presets import DEFAULT_METHOD, DEFAULT_PAPER_METHOD, layers

EPOCH = {"epochs": 1}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"taau": 0.2}, "taau is not a setting; did you mean tau? see docs/commands.md for the list"),
        (
            {"views": {"crop": 0.2}},
            "views.crop is not a setting; did you mean views.crop_min? see docs/commands.md for the list",
        ),
        ({"K": 17}, "K must be 16 or 256"),
        ({"D": 100}, "D 100 is not a multiple of M 16: 16 equal sub-vectors are needed"),
        (
            {"M": 3},
            "D 256 is not a multiple of M 3: 3 equal sub-vectors are needed",
        ),
        ({"M": 2, "D": 32}, "M 2 codebooks of K 16 codewords make 8 bits; 16 to 128 are possible"),
        (
            {"M": 17, "K": 256, "D": 272},
            "M 17 codebooks of K 256 codewords make 136 bits; 16 to 128 are possible",
        ),
        ({"M": 0}, "M must be greater than or equal to 1"),
        ({"clip": 1.5}, "clip 1.5 is neither a count (0, 1, 2 …) nor a fraction in [0, 1)"),
        ({"clip": 1.0}, "clip 1.0 is neither a count (0, 1, 2 …) nor a fraction in [0, 1)"),
        ({"clip": -1}, "clip -1 is neither a count (0, 1, 2 …) nor a fraction in [0, 1)"),
        ({"clip": True}, "clip True is neither a count (0, 1, 2 …) nor a fraction in [0, 1)"),
        ({"clip": float("nan")}, "clip must be a finite number"),
        ({"tau": 0}, "tau must be greater than 0"),
        ({"tau": float("inf")}, "tau must be a finite number"),
        ({"tau": "warm"}, "tau must be a valid number, unable to parse string as a number"),
        ({"batch": 1}, "batch must be greater than or equal to 2"),
        ({"batch": 2.5}, "batch must be a valid integer, got a number with a fractional part"),
        ({"size": 30, "backbone": {"kind": "vit"}}, "size 30 is not a multiple of backbone.patch 4"),
        ({"size": 64}, "resize 32 is smaller than size 64: raise the one or lower the other"),
        (
            {"method": "spq2"},
            "method 'spq2' is unknown: choose one of neighbours, rcq, transclippedclr, spq, mecoq, sscq, dccq; "
            "did you mean spq?",
        ),
        ({"codebooks": "random"}, "codebooks must be 'learned' or 'frozen'"),
        (
            {"quantizer": "kmeans"},
            "quantizer kmeans starts from clusters of the features: it needs head_layers=1 and standardize=false",
        ),
        ({"precision": "fp16"}, "precision must be 'auto', 'fp32' or 'bf16'"),
        ({"minutes": 3}, "the budget is either epochs or minutes"),
        ({"epochs": -1}, "epochs must be greater than or equal to 0"),
        ({"backbone": {"kind": "cnn"}}, "backbone.kind must be 'vit', 'resnet' or 'pretrained'"),
        (
            {"backbone": {"widths": [8], "depths": [1, 1]}},
            "backbone.widths and backbone.depths need one number for each stage",
        ),
        (
            {"backbone": {"width": 100, "heads": 3}},
            "backbone.width 100 is not a multiple of backbone.heads 3",
        ),
        (
            {"backbone": {"kind": "pretrained"}},
            "backbone.name goes with backbone.kind=pretrained, and only with it",
        ),
        ({"views": 3}, "views is a section of settings: write views.NAME=VALUE"),
        ({"views": {"hue": 0.6}}, "views.hue must be less than or equal to 0.5"),
        ({"held_out": 0.5}, "held_out must be less than 0.5"),
        ({7: 1}, "7 Keys should be strings"),
        ({"K": 17, "tau": 0}, "K must be 16 or 256; tau must be greater than 0"),
    ],
)
def test_a_bad_setting_is_one_sentence_that_names_the_key(settings: dict[Any, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build([EPOCH, settings])
    assert str(caught.value) == sentence


def test_a_budget_is_needed() -> None:
    with pytest.raises(ConfigError, match=r"^the budget is either epochs or minutes$"):
        build([{}])


@pytest.mark.parametrize(
    "settings",
    [
        {"epochs": 0},
        {"minutes": 2.5, "clip": 0.1, "K": 256, "M": 8, "seed": 11, "codebooks": "frozen"},
        {"epochs": 3, "clip": 7, "backbone": {"kind": "vit", "patch": 8, "dropout": 0.1}},
        {"epochs": 3, "backbone": {"widths": (8, 16, 32), "depths": (2, 1, 1), "stem_stride": 1}},
        {"epochs": 1, "backbone": {"kind": "pretrained", "name": "ü/né", "pretraining": "self-supervised"}},
        {"epochs": 1, "views": {"blur": 0.5}, "optimizer": {"backbone_rate": 1e-5, "warmup": 0.0}},
    ],
)
def test_a_configuration_survives_its_file(settings: dict[str, Any], tmp_path: Path) -> None:
    config = build([settings])
    path = tmp_path / "config.yaml"
    path.write_text(dump(config), encoding="utf-8")
    again = build([read_file(path)])
    assert again == config
    assert type(again.clip) is type(config.clip)
    assert dump(again) == dump(config)


def test_a_file_of_an_earlier_version_names_the_terms_of_every_method() -> None:
    others = {"rho": None, "memory": None, "usage": None, "teacher_tau": 0.04}
    said = {"contrast_z": 0.5, "relation_x": 1.0, "relation_z": 0.0, "relation_tau": 0.1, **others}
    config = build([EPOCH, {"method": "rcq", "terms": said}])
    assert config.model_dump()["terms"] == {
        "contrast_z": 0.5, "relation_x": 1.0, "relation_z": 0.0, "relation_tau": 0.1, "teacher_tau": 0.04,
    }  # fmt: skip
    assert build([EPOCH, {"method": "spq", "terms": dict.fromkeys(said)}]).model_dump()["terms"] == {}


def test_later_layers_win_key_by_key_and_stay_as_they_are() -> None:
    low, high = {"a": {"x": 1, "y": 2}, "b": 1}, {"a": {"y": 3}, "b": {"z": 4}}
    assert merge(low, high) == {"a": {"x": 1, "y": 3}, "b": {"z": 4}}
    assert (low, high) == ({"a": {"x": 1, "y": 2}, "b": 1}, {"a": {"y": 3}, "b": {"z": 4}})


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("tau=0.2", {"tau": 0.2}),
        ("views.crop_min=0.3", {"views": {"crop_min": 0.3}}),
        ("codebooks=frozen", {"codebooks": "frozen"}),
        ("backbone.widths=[8, 16]", {"backbone": {"widths": [8, 16]}}),
        ("backbone.name=a=b", {"backbone": {"name": "a=b"}}),
        ("optimizer.backbone_rate=null", {"optimizer": {"backbone_rate": None}}),
        (" clip = 0.1 ", {"clip": 0.1}),
    ],
)
def test_a_setting_is_read_as_yaml(text: str, parsed: dict[str, Any]) -> None:
    assert parse_setting(text) == parsed


def test_a_rate_in_powers_of_ten_is_a_number() -> None:
    layers = [EPOCH, parse_setting("optimizer.rate=1e-3")]  # to YAML 1.1 a string
    assert build(layers).optimizer.rate == 1e-3


@pytest.mark.parametrize("text", ["tau", "", "=0.2", " =1"])
def test_a_setting_without_key_or_value_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is not of the form key=value, for example --set tau=0.2"):
        parse_setting(text)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"tau: [0.1", "is not YAML ("),
        (b"tau: {", "is not YAML ("),
        (b"\xff\xfe\x00garbage", "is not YAML ("),
        (b"- tau\n- 0.2\n", "must hold settings as key: value lines"),
        (b"just words", "must hold settings as key: value lines"),
    ],
)
def test_a_file_that_holds_no_settings_is_said(content: bytes, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_file(tmp_path / "run.yaml")
    assert str(caught.value).startswith(f"{tmp_path / 'run.yaml'} {sentence}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            "backbone: resnet",
            "backbone is a section of settings: write backbone.NAME=VALUE, or --backbone vit, ",
        ),
        ("views:", "views is a section of settings: write views.NAME=VALUE"),
        ("1: 2", "1 is not a setting: their names are texts"),
        ("views: {on: 0.3}", "True is not a setting: their names are texts"),
    ],
)
def test_a_word_in_place_of_a_section_and_a_name_that_is_no_text_are_said(
    content: str, sentence: str, tmp_path: Path
) -> None:
    (tmp_path / "run.yaml").write_text(content)
    with pytest.raises(ConfigError) as caught:
        read_file(tmp_path / "run.yaml")
    assert str(caught.value).startswith(f"{tmp_path / 'run.yaml'}: {sentence}")


def test_an_empty_file_changes_nothing_and_a_missing_one_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert read_file(tmp_path / "empty.yaml") == {}
    with pytest.raises(ConfigError, match=r"gone\.yaml cannot be read \(No such file or directory\)"):
        read_file(tmp_path / "gone.yaml")
    with pytest.raises(ConfigError, match=r"cannot be read \(Is a directory\)"):
        read_file(tmp_path)


def resolved(preset: str | None, side: int, backbone: str | None = None) -> TrainConfig:
    method = DEFAULT_PAPER_METHOD if preset == "paper" else DEFAULT_METHOD
    return build([*layers(preset, side, backbone, method), EPOCH])


@pytest.mark.parametrize(
    ("preset", "side", "chosen", "size", "K"),
    [
        (None, 28, "small", 32, 16),
        (None, 40, "small", 32, 16),
        (None, 41, "small", 64, 16),
        (None, 64, "small", 64, 16),
        (None, 65, "photo", 224, 16),
        ("small", 500, "small", 64, 16),
        ("photo", 32, "photo", 224, 16),
        ("paper", 32, "paper", 32, 256),
        ("paper", 500, "paper", 224, 256),
    ],
)
def test_the_preset_follows_the_pictures_unless_it_is_named(
    preset: str | None, side: int, chosen: str, size: int, K: int
) -> None:
    config = resolved(preset, side)
    assert (config.preset, config.size, config.K) == (chosen, size, K)


@pytest.mark.parametrize(
    ("preset", "side", "backbone", "first"),
    [
        (None, 32, None, 16),
        (None, 32, "resnet", 16),
        ("small", 300, "resnet", 32),
        (None, 32, "vit", None),
        ("paper", 32, None, None),
        (None, 300, "resnet", None),
        (None, 32, "folder/of/one", None),
    ],
)
def test_views_of_small_pictures_begin_smaller_for_a_resnet(
    preset: str | None, side: int, backbone: str | None, first: int | None
) -> None:
    assert resolved(preset, side, backbone).views.first_size == first
    assert build([*layers(None, 32, None, "rcq"), EPOCH]).batch == 64


@pytest.mark.parametrize("side", [32, 64, 300])
@pytest.mark.parametrize("preset", [None, "small", "photo", "paper"])
@pytest.mark.parametrize("backbone", ["vit", "resnet", "folder/of/one"])
def test_every_preset_fits_every_backbone(preset: str | None, side: int, backbone: str) -> None:
    config = resolved(preset, side, backbone)
    assert config.backbone.kind == ("pretrained" if backbone == "folder/of/one" else backbone)
    assert config.backbone.name == (backbone if backbone == "folder/of/one" else None)
    if preset == "paper" and backbone == "vit":
        assert config.backbone.dropout == 0.1


def test_an_unknown_preset_is_said() -> None:
    with pytest.raises(ConfigError, match=r"^preset 'large' is unknown: choose one of small, photo, paper$"):
        layers("large", 32, None)


def test_a_configuration_does_not_change() -> None:
    config = build([EPOCH])
    with pytest.raises(ValidationError, match="frozen"):
        config.tau = 0.1  # type: ignore[misc]
    assert (config.bits, config.d) == (64, 16)


@pytest.mark.parametrize(
    ("preset", "side", "backbone", "method", "batch"),
    [
        (None, 32, None, "rcq", 512),
        ("small", 300, "resnet", "rcq", 512),
        (None, 32, None, "spq", 256),
        (None, 300, None, "rcq", 64),
        (None, 32, "vit", "rcq", 64),
        (None, 32, None, "transclippedclr", 128),
    ],
)
def test_on_a_gpu_a_small_network_learns_from_large_batches_of_whole_views(
    preset: str | None, side: int, backbone: str | None, method: str, batch: int
) -> None:
    config = build([*layers(preset, side, backbone, method, gpu=True), EPOCH])
    assert config.batch == batch and config.views.first_size is None
