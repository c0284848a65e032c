"""Pretrained backbones from local folders in the hub's layout, tiny and random; one real one where it is at hand."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import sightbook
from sightbook.errors import ConfigError, ModelError
from sightbook.learn import session, writing
from sightbook.model import hub, known
from sightbook.model.hub import Preprocessing, preprocessing
from sightbook.model.model import Model
from sightbook.model.torch import backbone, freezing, pooling
from sightbook.model.torch.architectures import facts_of
from sightbook.model.torch.network import PixelEncoder, load
from sightbook.model.torch.pretrained import open_pretrained
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
        "deit": lambda: transformers.DeiTConfig(**vit, intermediate_size=32, image_size=28, patch_size=7),
        "dinov2_with_registers": lambda: transformers.Dinov2WithRegistersConfig(
            **vit, mlp_ratio=2, image_size=28, patch_size=7, num_register_tokens=3
        ),
        "dinov3_vit": lambda: transformers.DINOv3ViTConfig(
            **vit, intermediate_size=32, image_size=28, patch_size=7, num_register_tokens=2
        ),
        "dinov3_convnext": lambda: transformers.DINOv3ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1]),
        "convnext": lambda: transformers.ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2),
        "swinv2": lambda: transformers.Swinv2Config(
            image_size=28, patch_size=1, embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=7
        ),
        "mobilenet_v1": lambda: transformers.MobileNetV1Config(image_size=28, depth_multiplier=0.25),
        "mobilenet_v2": lambda: transformers.MobileNetV2Config(image_size=28, depth_multiplier=0.25),
        "clip": lambda: transformers.CLIPConfig(
            vision_config={**vit, "intermediate_size": 32, "image_size": 28, "patch_size": 7},
            text_config={
                **vit,
                "intermediate_size": 32,
                "vocab_size": 30,
                "bos_token_id": 1,
                "eos_token_id": 2,
            },
            projection_dim=8,
        ),
        "siglip": lambda: transformers.SiglipConfig(
            vision_config={**vit, "intermediate_size": 32, "image_size": 28, "patch_size": 7},
            text_config={**vit, "intermediate_size": 32, "vocab_size": 30},
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
    opened, spec = open_pretrained(str(folder))
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


# kind → (class token, tokens before the patches); None: the hidden state is a map.
KINDS: dict[str, tuple[bool, int | None]] = {
    "vit": (True, 1),
    "deit": (True, 2),
    "dinov2": (True, 1),
    "dinov2_with_registers": (True, 4),
    "dinov3_vit": (True, 3),
    "dinov3_convnext": (False, 1),
    "clip": (True, 1),
    "siglip": (False, 0),
    "swin": (False, 0),
    "swinv2": (False, 0),
    "resnet": (False, None),
    "convnext": (False, None),
    "mobilenet_v1": (False, None),
    "mobilenet_v2": (False, None),
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_opens_pools_freezes_and_is_rebuilt(kind: str, tmp_path: Path) -> None:
    folder = str(write_backbone(tmp_path / kind, kind))
    class_token, leading = KINDS[kind]
    torch.manual_seed(0)
    pixels = torch.randn(2, 3, 28, 28)
    opened, spec = open_pretrained(folder)
    opened.eval()
    with torch.inference_mode():
        hidden = opened.body(pixels).last_hidden_state
        expected = hidden[:, 0]
        if not class_token:
            expected = hidden.mean((2, 3)) if leading is None else hidden[:, leading:].mean(1)
        norm = getattr(opened.body, facts_of(opened.body.config.model_type).norm or "", torch.nn.Identity())
        torch.testing.assert_close(opened(pixels), norm(expected))
    assert (spec["pool"] == "class") == class_token
    assert opened.features == opened(pixels).shape[1]
    again = backbone.build(json.loads(json.dumps(spec)))
    again.load_state_dict(opened.state_dict())
    torch.testing.assert_close(again.eval()(pixels), opened(pixels))

    # All weights that take part get a gradient; frozen ones are told from the others block by block.
    everything = {name for name, parameter in opened.named_parameters()}
    freezing.freeze(opened, "last:1")
    trained = {name for name, parameter in opened.named_parameters() if parameter.requires_grad}
    assert trained and trained < everything
    opened(pixels).square().sum().backward()
    unused = ("mask_token", "head.", "pooler.")
    without = [name for name, p in opened.named_parameters() if name in trained and p.grad is None]
    assert [name for name in without if not any(part in name for part in unused)] == []
    blocks = len(freezing.blocks(opened.body))
    with pytest.raises(
        ConfigError, match=rf"this backbone has {blocks} blocks, give last:1 to last:{blocks}"
    ):
        freezing.freeze(opened, f"last:{blocks + 1}")
    freezing.freeze(opened, "head")
    assert not any(parameter.requires_grad for parameter in opened.parameters())


def test_a_clip_tower_is_the_vision_half_of_the_whole_model(tmp_path: Path) -> None:
    import transformers

    folder = write_backbone(tmp_path / "clip", "clip")
    opened, spec = open_pretrained(str(folder))
    whole = transformers.CLIPModel.from_pretrained(folder).eval()
    pixels = torch.randn(2, 3, 28, 28)
    with torch.inference_mode():
        torch.testing.assert_close(opened.eval()(pixels), whole.vision_model(pixels).pooler_output)
    assert not any("text" in name for name in opened.state_dict())
    assert spec["transformers"]["model_type"] == "clip_vision_model"


def test_mean_and_gem_are_their_slow_loops_and_leave_leading_tokens_out() -> None:
    tokens = torch.randn(2, 7, 5, dtype=torch.float64)
    square = torch.randn(2, 5, 2, 3, dtype=torch.float64)
    for hidden, leading, places in (
        (tokens, 3, [[tokens[b, t].tolist() for t in range(3, 7)] for b in range(2)]),
        (square, 0, [[square[b, :, h, w].tolist() for h in range(2) for w in range(3)] for b in range(2)]),
    ):
        for b in range(2):
            for f in range(5):
                values = [place[f] for place in places[b]]
                mean = sum(values) / len(values)
                gem = (sum(max(v, 1e-6) ** 3 for v in values) / len(values)) ** (1 / 3)
                assert float(pooling.pool(hidden, "mean", leading)[b, f]) == pytest.approx(mean, abs=1e-12)
                assert float(pooling.pool(hidden, "gem", leading)[b, f]) == pytest.approx(gem, abs=1e-12)


@pytest.mark.parametrize("kind", ["resnet", "swin", "siglip"])
def test_a_class_token_that_is_not_there_is_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"needs a class token, which a .* has not: give mean, gem or auto"):
        open_pretrained(str(write_backbone(tmp_path / kind, kind)), "class")


def test_weights_of_another_model_are_refused_by_name(tmp_path: Path) -> None:
    folder = write_backbone(tmp_path / "vit", "vit")
    facts = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**facts, "num_hidden_layers": 1}))
    with pytest.raises(ModelError, match=r"holds weights that a vit has no place for \(layers\.1\."):
        open_pretrained(str(folder))


@pytest.mark.parametrize(
    ("part", "moving"),
    [("head", set()), ("last:1", {"1", "behind"}), ("all", {"0", "1", "behind", "before"})],
)
def test_only_the_part_asked_for_is_trained(
    part: str, moving: set[str], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    monkeypatch.setattr(writing, "export", lambda encoder, path, *_: path.write_bytes(b"") or 0.0)
    seen: list[torch.optim.Optimizer] = []
    making = session.optimizer_for

    def remembering(*arguments: Any) -> torch.optim.AdamW:
        seen.append(making(*arguments))
        return seen[-1]

    monkeypatch.setattr(session, "optimizer_for", remembering)
    folder = write_backbone(tmp_path / "vit", "vit")
    settings = {**TINY, "optimizer.rate": 1e-2, "optimizer.backbone_rate": 1e-3}
    sightbook.train(
        photos,
        tmp_path / "m",
        backbone=str(folder),
        train_part=part,
        method="rcq",
        epochs=1,
        settings=settings,
        jobs=1,
    )
    before = transformers.AutoModel.from_pretrained(folder, add_pooling_layer=False).state_dict()
    after = load_file(tmp_path / "m" / "model.safetensors")
    places = set()
    for name, value in before.items():
        if not torch.equal(value, after[f"backbone.body.{name}"]):
            pieces = name.split(".")
            block = next((piece for piece in pieces if piece.isdigit()), None)
            places.add(block or ("before" if "embeddings" in pieces else "behind"))
    assert places == moving
    rates = {group["base"]: sum(p.numel() for p in group["params"]) for group in seen[0].param_groups}
    assert set(rates) == ({1e-2} if part == "head" else {1e-2, 1e-3})


def test_a_part_of_a_new_backbone_cannot_be_frozen(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"backbone\.train head needs a pretrained backbone: a new resnet is"
    ):
        sightbook.train(photos, tmp_path / "m", backbone="resnet", train_part="head", epochs=1)
    with pytest.raises(ConfigError, match=r"backbone\.train"):
        sightbook.train(photos, tmp_path / "m", backbone="resnet", train_part="last:0", epochs=1)


def test_auto_takes_what_is_at_hand_and_says_when_there_is_nothing(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    cached: set[str] = set()
    monkeypatch.setattr(
        huggingface_hub, "try_to_load_from_cache", lambda name, file: "there" if name in cached else None
    )
    monkeypatch.setattr(hub, "answers", lambda: False)
    assert hub.automatic() is None
    cached.add(known.AUTOMATIC[1])
    assert hub.automatic() == known.AUTOMATIC[1]
    cached.clear()
    monkeypatch.setattr(hub, "answers", lambda: True)
    assert hub.automatic() == known.AUTOMATIC[0]
    monkeypatch.setattr(hub, "answers", lambda: False)
    said: list[str] = []
    sightbook.train(
        photos, tmp_path / "m", backbone="auto", jobs=1, bits=16,
        listener=lambda event: said.append(getattr(event, "text", "")),
    )  # fmt: skip
    assert len([text for text in said if "hub cannot be reached" in text and "hf download" in text]) == 1
    facts = json.loads((tmp_path / "m" / "config.json").read_text())
    assert (facts["pretraining"], facts["network"]["backbone"]["kind"]) == ("labels", "builtin")


def test_licences_are_told_by_the_card_or_by_the_name(tmp_path: Path) -> None:
    assert known.of("facebook/dinov2-small").licence == "Apache-2.0"
    assert "DINOv3" in known.of("facebook/dinov3-vits16-pretrain-lvd1689m").licence
    assert known.of("openai/clip-vit-base-patch32") == known.Known("labels", "MIT")
    assert known.of("somebody/something").licence == known.UNKNOWN
    folder = tmp_path / "dinov2-small"
    folder.mkdir()
    (folder / "README.md").write_text("---\ntags: [x]\nlicense: cc-by-4.0\n---\n# Mine\nlicense: other\n")
    assert known.of(str(folder)) == known.Known("labels", "cc-by-4.0", certain=False)
    (folder / "README.md").write_text("# Mine\nlicense: other\n")
    assert known.of(str(folder)).licence == known.UNKNOWN


def test_a_folder_is_what_it_states_and_not_what_it_is_called(tmp_path: Path) -> None:
    folder = tmp_path / "facebook" / "dinov2-small"
    folder.mkdir(parents=True)
    found = known.of(str(folder))
    assert (found.pretraining, found.certain, found.told) == ("labels", False, "unknown, taken as labels")
    card = folder / "README.md"
    card.write_text("---\npretraining: self-supervised\nlicense: mit\n---\n")
    assert known.of(str(folder)) == known.Known("self-supervised", "mit")
    card.write_text("---\npretraining: 'labels'\n---\n")
    assert known.of(str(folder)) == known.Known("labels", known.UNKNOWN)
    for text in (
        "pretraining: self-supervised\n",
        "---\npretraining: self-supervised\n",
        "---\npretraining: x\n---\n",
    ):
        card.write_text(text)
        assert known.of(str(folder)).certain is False
    # The hub's own cache says whose model it is.
    cached = tmp_path / "models--facebook--dinov2-small" / "snapshots" / "0f1a"
    other = tmp_path / "models--somebody--dinov2-small" / "snapshots" / "0f1a"
    for each in (cached, other):
        each.mkdir(parents=True)
    assert known.of(str(cached)) == known.Known("self-supervised", "Apache-2.0") == known.of(f"{cached}/")
    assert known.of(str(other)).told == "unknown, taken as labels"


@pytest.mark.parametrize("kind", ["vit", "dinov2", "resnet"])
def test_a_pretrained_backbone_is_trained_and_written(
    kind: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    torch.set_num_threads(1)
    folder = write_backbone(tmp_path / kind, kind)
    if kind == "vit":  # its export is that of test_network's; the others have operations of their own
        monkeypatch.setattr(writing, "export", lambda encoder, path, *_: path.write_bytes(b"") or 0.0)
    out = tmp_path / "model"
    sightbook.train(photos, out, backbone=str(folder), epochs=1, settings=TINY, jobs=1)
    facts = json.loads((out / "config.json").read_text())
    assert facts["frame"] == {"size": 28, "resize": 32, "resample": "bicubic"}
    assert (facts["mean"], facts["std"]) == (PROCESSOR["image_mean"], PROCESSOR["image_std"])
    assert facts["pretraining"] == "labels", "no folder is believed by its name"
    assert facts["network"]["backbone"]["pretraining"] == "unknown"
    assert "is not stated anywhere" in (out / "README.md").read_text()

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
    from sightbook.learn.resolved import complete

    folder = write_backbone(tmp_path / "some-model", "resnet")
    config = complete({"epochs": 1}, None, str(folder), 32)
    assert (config.size, config.resize) == (28, 32)
    assert config.optimizer.backbone_rate is not None
    assert config.optimizer.backbone_rate < config.optimizer.rate
    assert complete({"epochs": 1, "size": 40}, None, str(folder), 32).resize == 40


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
        open_pretrained(str(folder))
    assert not (tmp_path / "ran").exists()


def test_a_text_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is no vision model but a bert"):
        open_pretrained(str(write_backbone(tmp_path / "bert", "bert")))


def test_incomplete_weights_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    folder = write_backbone(tmp_path / "part", "resnet")
    tensors = load_file(folder / "model.safetensors")
    lost = sorted(name for name in tensors if name.endswith("convolution.weight"))[0]
    save_file({k: v for k, v in tensors.items() if k != lost}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=rf"the weights of .*part lack {lost}: the folder is incomplete"):
        open_pretrained(str(folder))


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

    asked, looked_up = [], []

    def nobody(request: Any, timeout: float) -> None:
        asked.append((request.full_url, timeout))
        raise OSError("Name or service not known")

    def unknown(host: str, *_: object, **__: object) -> None:
        looked_up.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # the hub's client itself would retry for 23 s
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hub.urllib.request, "urlopen", nobody)
    hub.answers.cache_clear()
    try:
        for opening in (preprocessing, open_pretrained):
            with pytest.raises(
                ModelError, match=r"^backbone 'some-body/no-such-model' is no folder here"
            ) as caught:
                opening("some-body/no-such-model")
            assert "run `hf download some-body/no-such-model --local-dir FOLDER`" in str(caught.value)
        with pytest.raises(ModelError, match="is no folder here"):
            sightbook.train(photos, tmp_path / "m", backbone="some-body/no-such-model", epochs=1)
    finally:
        hub.answers.cache_clear()
    assert asked == [(constants.ENDPOINT, 5)]
    assert len(looked_up) < 3, "the client may ask once for its own sake, and does not try again and again"
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
        ("facebook/dinov3-vits16-pretrain-lvd1689m", "self-supervised"),
        ("models/dinov3-vits16-pretrain-lvd1689m", "labels"),  # whose copy it is, is not known
        ("somebody/dinov2-small", "labels"),
        ("dinov2-small", "labels"),
        ("facebook/vit-mae-base", "self-supervised"),
        ("google/vit-base-patch16-224-in21k", "labels"),
        ("microsoft/resnet-50", "labels"),
        ("facebook/dinov2-small-imagenet1k-1-layer", "labels"),
        ("openai/clip-vit-base-patch32", "labels"),
        ("dinov2/fine-tuned", "labels"),  # the folder's own name counts, not its parent's
    ],
)
def test_what_a_backbone_was_trained_with_is_told_with_caution(name: str, pretraining: str) -> None:
    assert known.of(name).pretraining == pretraining


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


@pytest.mark.parametrize(
    ("typed", "named"),
    [
        ("resnet50", "microsoft/resnet-50"),
        ("ResNet-18", "microsoft/resnet-18"),
        ("dinov2_small", "facebook/dinov2-small"),
        ("vit-b-16", "google/vit-base-patch16-224"),
        ("efficientnet", "facebook/dinov2-small"),
    ],
)
def test_a_name_without_an_owner_is_not_advised_for_download(typed: str, named: str) -> None:
    message = str(hub.unusable(typed, OSError("nothing")))
    assert f"try {named}," in message and "OWNER/NAME" in message
    assert "hf download" not in message
