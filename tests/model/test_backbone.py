"""Pretrained backbones from local folders in the hub's layout, tiny and random; one real one where it is at hand."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import sightbook
from sightbook.errors import ConfigError, ModelError
from sightbook.learn import session
from sightbook.model import backbone, hub
from sightbook.model.backbone import pretrained
from sightbook.model.hub import Preprocessing, preprocessing
from sightbook.model.model import Model
from sightbook.model.network import PixelEncoder, load
from tests.learn.conftest import pictures
from tests.pictures import write_photos

PROCESSOR = {
    "image_mean": [0.1, 0.2, 0.3],
    "image_std": [0.4, 0.5, 0.6],
    "size": {"shortest_edge": 32},
    "crop_size": {"height": 28, "width": 28},
    "resample": 3,
}
TINY: dict[str, Any] = {"M": 4, "D": 16, "batch": 8, "precision": "fp32"}


def configuration(kind: str) -> Any:
    import transformers

    vit = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    return {
        "vit": lambda: transformers.ViTConfig(**vit, intermediate_size=32, image_size=28, patch_size=7),
        # Trained at 42 pixels, used at 28: DINOv2 interpolates its positions.
        "dinov2": lambda: transformers.Dinov2Config(**vit, mlp_ratio=2, image_size=42, patch_size=7),
        "resnet": lambda: transformers.ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"
        ),
        "swin": lambda: transformers.SwinConfig(
            image_size=28, patch_size=1, embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=7
        ),
        "bert": lambda: transformers.BertConfig(**vit, intermediate_size=32, vocab_size=20),
    }[kind]()


def write_backbone(folder: Path, kind: str, processor: dict[str, Any] | None = PROCESSOR) -> Path:
    """A random model saved as the hub's models are."""
    import transformers

    torch.manual_seed(1)
    model = transformers.AutoModel.from_config(configuration(kind))
    with torch.no_grad():  # statistics and positions that differ from those of a new network
        for name, value in [*model.named_parameters(), *model.named_buffers()]:
            if value.is_floating_point() and ("running" in name or "position" in name):
                value.add_(torch.rand_like(value))
    model.save_pretrained(folder)
    if processor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    write_photos(folder, 16, side=32)
    return folder


@pytest.mark.parametrize("kind", ["vit", "dinov2", "resnet", "swin"])
def test_a_local_folder_gives_the_features_of_its_own_model(kind: str, tmp_path: Path) -> None:
    import transformers

    folder = write_backbone(tmp_path / kind, kind)
    opened, spec = pretrained(str(folder))
    original = transformers.AutoModel.from_pretrained(folder).eval()
    pixels = torch.randn(3, 3, 28, 28)
    with torch.inference_mode():
        hidden = original(pixels).last_hidden_state
        features = opened.eval()(pixels)
    expected = {
        "vit": lambda: hidden[:, 0],
        "dinov2": lambda: hidden[:, 0],
        "resnet": lambda: hidden.mean((2, 3)),
        "swin": lambda: hidden.mean(1),  # it has no class token
    }[kind]()
    torch.testing.assert_close(features, expected)
    assert opened.features == features.shape[1] == 16
    assert (spec["kind"], spec["name"]) == ("pretrained", str(folder))
    assert json.loads(json.dumps(spec)) == spec  # it stands in config.json
    again = backbone.build(spec)
    assert set(again.state_dict()) == set(opened.state_dict())


@pytest.mark.parametrize("kind", ["vit", "dinov2", "resnet"])
def test_a_pretrained_backbone_is_trained_and_written(
    kind: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    torch.set_num_threads(1)
    folder = write_backbone(tmp_path / kind, kind)
    if kind == "vit":  # its export is that of test_network's; the others have operations of their own
        monkeypatch.setattr(session, "export", lambda encoder, path, *_: path.write_bytes(b"") or 0.0)
    out = tmp_path / "model"
    sightbook.train(photos, out, backbone=str(folder), epochs=1, settings=TINY, jobs=1)
    facts = json.loads((out / "config.json").read_text())
    assert facts["frame"] == {"size": 28, "resize": 32, "resample": "bicubic"}
    assert (facts["mean"], facts["std"]) == (PROCESSOR["image_mean"], PROCESSOR["image_std"])
    assert facts["pretraining"] == ("self-supervised" if kind == "dinov2" else "labels")

    before = transformers.AutoModel.from_pretrained(folder).state_dict()
    after = {
        name.removeprefix("backbone.body."): value
        for name, value in load_file(out / "model.safetensors").items()
        if name.startswith("backbone.body.")
    }
    statistics = [name for name in after if "running" in name or "num_batches" in name]
    assert bool(statistics) == (kind == "resnet")
    assert all(torch.equal(before[name], after[name]) for name in statistics)
    moved = {name for name in after if name not in statistics}
    unused = {"embeddings.mask_token"}  # of DINOv2's own pretraining
    assert [name for name in sorted(moved - unused) if torch.equal(before[name], after[name])] == []

    network, config = load(out)
    if kind != "vit":
        model = Model.open(out, threads=1)
        pixels = np.random.default_rng(0).integers(0, 256, (7, 28, 28, 3), dtype=np.uint8)
        with torch.inference_mode():
            x = PixelEncoder(network, config.mean, config.std).eval()(torch.from_numpy(pixels)).numpy()
        np.testing.assert_allclose(model.embed(pixels), x, rtol=0, atol=1e-3)


def test_the_backbone_s_own_rate_is_the_presets(tmp_path: Path) -> None:
    from sightbook.learn.train import _resolve

    folder = write_backbone(tmp_path / "some-model", "resnet")
    config = _resolve({"epochs": 1}, None, str(folder), 32)
    assert (config.size, config.resize) == (28, 32)
    assert config.optimizer.backbone_rate is not None
    assert config.optimizer.backbone_rate < config.optimizer.rate
    assert _resolve({"epochs": 1, "size": 40}, None, str(folder), 32).resize == 40


def test_a_vision_transformer_of_another_size_is_said(photos: Path, tmp_path: Path) -> None:
    folder = write_backbone(tmp_path / "vit", "vit")
    for setting in ("size", "views.size"):
        with pytest.raises(ConfigError, match=r"^size 56 does not fit .*vit \(Input image size"):
            sightbook.train(
                photos, tmp_path / "m", backbone=str(folder), epochs=1, settings={**TINY, setting: 56}, jobs=1
            )
        assert not (tmp_path / "m").exists()


def test_pickled_weights_are_refused(photos: Path, tmp_path: Path) -> None:
    folder = write_backbone(tmp_path / "pickled", "resnet")
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pickled does not hold a vision model .*safetensors") as caught:
        sightbook.train(photos, tmp_path / "m", backbone=str(folder), epochs=1, settings=TINY, jobs=1)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "m").exists()


def test_code_that_comes_with_a_model_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_backbone(tmp_path / "own-code", "resnet")
    facts = json.loads((folder / "config.json").read_text())
    facts.update(model_type="own", auto_map={"AutoConfig": "own.Own", "AutoModel": "own.Model"})
    (folder / "config.json").write_text(json.dumps(facts))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a question was asked"))
    with pytest.raises(ModelError, match="own-code does not hold a vision model"):
        pretrained(str(folder))
    assert not (tmp_path / "ran").exists()


def test_a_text_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is no vision model but a bert"):
        pretrained(str(write_backbone(tmp_path / "bert", "bert")))


def test_incomplete_weights_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    folder = write_backbone(tmp_path / "part", "resnet")
    tensors = load_file(folder / "model.safetensors")
    lost = sorted(name for name in tensors if name.endswith("convolution.weight"))[0]
    save_file({k: v for k, v in tensors.items() if k != lost}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=rf"the weights of .*part lack {lost}: the folder is incomplete"):
        pretrained(str(folder))


@pytest.mark.parametrize("content", [None, "{", "[]", '{"size": {"longest_edge": 3}}', '{"image_mean": [1]}'])
def test_a_processor_file_that_cannot_be_used_is_said(content: str | None, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    if content is not None:
        (folder / "preprocessor_config.json").write_text(content)
    with pytest.raises(ModelError, match=r"preprocessor_config\.json") as caught:
        preprocessing(str(folder))
    assert "download the" in str(caught.value)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (PROCESSOR, Preprocessing((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 28, 32, "bicubic")),
        ({"size": 224, "resample": 2}, Preprocessing((0.5,) * 3, (0.5,) * 3, 224, 224, "bilinear")),
        ({"size": {"height": 96, "width": 96}}, Preprocessing((0.5,) * 3, (0.5,) * 3, 96, 96, "bilinear")),
        (
            {"size": {"shortest_edge": 200}, "crop_size": 224},
            Preprocessing((0.5,) * 3, (0.5,) * 3, 224, 224, "bilinear"),
        ),
        ({}, Preprocessing((0.5,) * 3, (0.5,) * 3, 224, 224, "bilinear")),
    ],
)
def test_processor_files_in_all_their_shapes(
    facts: dict[str, Any], expected: Preprocessing, tmp_path: Path
) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(facts))
    assert preprocessing(str(tmp_path)) == expected


def test_a_hub_name_without_network_is_one_sentence_at_once(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    asked = []

    def nobody(request: Any, timeout: float) -> None:
        asked.append((request.full_url, timeout))
        raise OSError("Name or service not known")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # the hub's client itself would retry for 23 s
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hub.urllib.request, "urlopen", nobody)
    hub.answers.cache_clear()
    started = time.monotonic()
    try:
        for opening in (preprocessing, pretrained):
            with pytest.raises(
                ModelError, match=r"^backbone 'some-body/no-such-model' is no folder here"
            ) as caught:
                opening("some-body/no-such-model")
            assert "run `hf download some-body/no-such-model --local-dir FOLDER`" in str(caught.value)
        with pytest.raises(ModelError, match="is no folder here"):
            sightbook.train(photos, tmp_path / "m", backbone="some-body/no-such-model", epochs=1)
    finally:
        hub.answers.cache_clear()
    assert time.monotonic() - started < 5
    assert asked == [(constants.ENDPOINT, 5)]
    assert not (tmp_path / "m").exists()


def test_a_name_the_hub_does_not_know_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def unknown(*_: Any, **__: Any) -> None:
        raise OSError("404 Client Error. (Request ID: x)\n\nEntry Not Found for url: ...")

    monkeypatch.setattr(hub, "answers", lambda: True)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", unknown)
    with pytest.raises(ModelError, match=r"^backbone 'a/b' cannot be opened from the hub \(404 Client Error"):
        preprocessing("a/b")


@pytest.mark.parametrize(
    ("name", "pretraining"),
    [
        ("facebook/dinov2-small", "self-supervised"),
        ("models/dinov3-vits16-pretrain-lvd1689m", "self-supervised"),
        ("facebook/vit-mae-base", "self-supervised"),
        ("google/vit-base-patch16-224-in21k", "labels"),
        ("microsoft/resnet-50", "labels"),
        ("dinov2/fine-tuned", "labels"),  # the folder's own name counts, not its parent's
    ],
)
def test_what_a_backbone_was_trained_with_is_told_with_caution(name: str, pretraining: str) -> None:
    assert hub.pretraining_of(name) == pretraining


@pytest.mark.real
def test_the_real_mobilenet_learns_and_exports(tmp_path: Path) -> None:
    root = Path(os.environ.get("SIGHTBOOK_DATA", "nowhere")) / "backbones" / "mobilenet_v2_1.0_224"
    if not root.is_dir():
        pytest.skip("$SIGHTBOOK_DATA/backbones/mobilenet_v2_1.0_224 is not there")
    assert preprocessing(str(root)) == Preprocessing((0.5,) * 3, (0.5,) * 3, 224, 256, "bilinear")
    (tmp_path / "photos").mkdir()
    for number, pixels in enumerate(pictures(16)):
        Image.fromarray(pixels).resize((64, 64)).save(tmp_path / "photos" / f"{number}.png")
    settings = {**TINY, "size": 64, "resize": 64}
    sightbook.train(
        tmp_path / "photos", tmp_path / "m", backbone=str(root), epochs=1, settings=settings, jobs=1
    )
    model = Model.open(tmp_path / "m", threads=1)
    assert model.config.pretraining == "labels"
    network, config = load(tmp_path / "m")
    drawn = np.random.default_rng(0).integers(0, 256, (9, 64, 64, 3), dtype=np.uint8)
    with torch.inference_mode():
        x = PixelEncoder(network, config.mean, config.std).eval()(torch.from_numpy(drawn)).numpy()
    np.testing.assert_allclose(model.embed(drawn), x, rtol=0, atol=1e-3)
    before = load_file(root / "model.safetensors")
    after = load_file(tmp_path / "m" / "model.safetensors")
    statistics = [name for name in before if name.endswith("running_var")]
    assert statistics
    assert all(torch.equal(before[name], after[f"backbone.body.{name}"]) for name in statistics)
