"""Three ways to the same embedding: the trained network, the one rebuilt from its folder, and encoder.onnx."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

import sightbook
from sightbook.errors import ModelError
from sightbook.learn import session, trainer, writing
from sightbook.learn.run import Run
from sightbook.model import released
from sightbook.model.model import Model
from sightbook.model.torch.network import PixelEncoder, load
from tests.learn.conftest import BACKBONES, GOOD, SIZE, TINY, config_of
from tests.pictures import KINDS, picture, write_photos


class Trained:
    """A MODEL folder and the network as training left it."""

    def __init__(self, folder: Path, backbone: str) -> None:
        self.backbone = backbone
        write_photos(folder / "photos", GOOD, side=SIZE)
        kept: list[Run] = []
        original = trainer.fit
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(session.trainer, "fit", lambda run, *rest: (kept.append(run), original(run, *rest)))
            self.report = sightbook.train(
                folder / "photos",
                folder / "model",
                settings={**TINY, "backbone": BACKBONES[backbone]},
                epochs=2,
                jobs=1,
            )
        self.folder, self.run = folder / "model", kept[0]
        writing.recalibrate(self.run, self.run.network)  # a copy was written, with its norms measured afresh


@pytest.fixture(scope="module", params=["resnet", "vit"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    torch.set_num_threads(1)
    return Trained(tmp_path_factory.mktemp(request.param), request.param)


def pictures(count: int) -> NDArray[np.uint8]:
    """Half drawn, half noise: values that training never saw, too."""
    random = np.random.default_rng(9)
    drawn = [picture(KINDS[n % len(KINDS)], random, SIZE) for n in range(count // 2)]
    noise = random.integers(0, 256, (count - count // 2, SIZE, SIZE, 3), dtype=np.uint8)
    return np.concatenate([np.stack(drawn), noise])


def by_torch(trained: Trained, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    network, config = load(trained.folder)
    with torch.inference_mode():
        x: NDArray[np.float32] = (
            PixelEncoder(network, config.mean, config.std).eval()(torch.from_numpy(pixels)).numpy()
        )
    return x


def test_the_network_rebuilt_from_its_folder_is_the_trained_one(trained: Trained) -> None:
    network, config = load(trained.folder)
    kept = trained.run.network.cpu().eval()
    assert not any(module.training for module in network.modules())
    assert set(network.state_dict()) == set(kept.state_dict())
    assert all(torch.equal(value, kept.state_dict()[name]) for name, value in network.state_dict().items())
    pixels = trained.run.views.fixed(torch.from_numpy(pictures(20)))
    with torch.inference_mode():
        torch.testing.assert_close(network(pixels), kept(pixels), rtol=0, atol=1e-6)
    assert (config.M, config.D, config.frame.size) == (TINY["M"], TINY["D"], SIZE)


def test_onnx_and_torch_give_the_same_embeddings_and_codes(trained: Trained) -> None:
    pixels = pictures(1000)
    model = Model.open(trained.folder, threads=1)
    ours, theirs = model.embed(pixels), by_torch(trained, pixels)
    assert np.abs(ours - theirs).max() <= 1e-3
    same = (model.assign(ours) == model.assign(theirs)).all(axis=1)
    assert same.mean() >= 0.999
    assert len(np.unique(model.assign(ours), axis=0)) > 10  # not one code for everything


def test_an_encoder_does_not_tell_where_the_program_lies(trained: Trained) -> None:
    for folder in (trained.folder, released.find(Path("cifar10-64"))):
        content = (folder / "encoder.onnx").read_bytes()
        assert not re.search(rb"\.py\b|File \"|stack_trace", content)


@pytest.mark.parametrize("batch", [0, 1, 2, 17])
def test_any_number_of_pictures_goes_through_at_once(batch: int, trained: Trained) -> None:
    model = Model.open(trained.folder, threads=1)
    pixels = pictures(40)
    together = model.embed(pixels)
    some = model.embed(pixels[:batch])
    assert some.shape == (batch, TINY["D"])
    np.testing.assert_allclose(some, together[:batch], rtol=0, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(some.reshape(-1, TINY["M"], 4), axis=2), 1, atol=1e-5)


def test_the_codebooks_are_the_unit_codewords_of_the_quantizer(trained: Trained) -> None:
    network, _ = load(trained.folder)
    model = Model.open(trained.folder)
    np.testing.assert_array_equal(model.codebooks, network.quantizer.codewords().detach().numpy())


def test_the_encoder_is_one_file_that_takes_bytes_of_pixels(trained: Trained) -> None:
    proto = onnx.load(trained.folder / "encoder.onnx", load_external_data=False)
    assert [tensor.name for tensor in proto.graph.initializer if tensor.external_data] == []
    (pixels,) = proto.graph.input
    assert pixels.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    dims = pixels.type.tensor_type.shape.dim
    assert [dim.dim_value for dim in dims[1:]] == [SIZE, SIZE, 3]
    assert dims[0].dim_param


def test_what_config_json_tells(trained: Trained) -> None:
    facts = json.loads((trained.folder / "config.json").read_text())
    assert (facts["format"], facts["bits"], facts["pretraining"], facts["selection"]) == (
        2,
        16,
        "none",
        "last",
    )
    assert facts["network"]["backbone"]["transformers"]["model_type"] == trained.backbone
    assert facts["trained"]["pictures"] == GOOD - 8
    assert facts["trained"]["onnx_difference"] <= 1e-3
    assert facts["fingerprint"] == trained.report.fingerprint
    assert sorted(path.name for path in trained.folder.iterdir()) == [
        "README.md",
        "codebooks.safetensors",
        "config.json",
        "encoder.onnx",
        "model.safetensors",
        "train",
    ]
    assert sorted(path.name for path in (trained.folder / "train").iterdir()) == [
        "config.yaml",
        "curves.png",
        "log.jsonl",
    ]
    card = (trained.folder / "README.md").read_text()
    assert trained.report.sentence in card
    assert trained.report.fingerprint in card


def damaged(trained: Trained, folder: Path, name: str, content: bytes | None) -> Path:
    """A copy of the model with one file replaced or removed."""
    folder.mkdir()
    for path in trained.folder.iterdir():
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    return folder


def test_a_newer_format_is_refused_with_a_hint(trained: Trained, tmp_path: Path) -> None:
    facts = json.loads((trained.folder / "config.json").read_text())
    folder = damaged(trained, tmp_path / "m", "config.json", json.dumps({**facts, "format": 4}).encode())
    for opened in (Model.open, load):
        with pytest.raises(
            ModelError, match="has model format 4, this program reads up to 3: update sightbook"
        ):
            opened(folder)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("config.json", None, "is not a sightbook model"),
        ("config.json", b"{", "cannot be read"),
        ("config.json", b"[]", "does not describe a sightbook model"),
        ("config.json", b'{"method": "x", "format": 1}', "is damaged"),
        ("model.safetensors", None, "does not fit config.json"),
        ("model.safetensors", b"\x07garbage", "does not fit config.json"),
    ],
)
def test_a_damaged_folder_is_said(
    name: str, content: bytes | None, sentence: str, *, trained: Trained, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=sentence) as caught:
        load(damaged(trained, tmp_path / "m", name, content))
    assert "\n" not in str(caught.value)


def test_weights_of_another_shape_are_refused(trained: Trained, tmp_path: Path) -> None:
    from safetensors.torch import save

    other, *_ = session.make_network(config_of(trained.backbone, D=32))
    tensors = {name: value.contiguous() for name, value in other.state_dict().items()}
    with pytest.raises(ModelError, match=r"does not fit config\.json"):
        load(damaged(trained, tmp_path / "m", "model.safetensors", save(tensors)))


def test_an_encoder_that_disagrees_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sightbook.model.torch import onnx as exporting

    class Off:
        def run(self, *_: object) -> list[NDArray[np.float32]]:
            return [np.full((5, TINY["D"]), 0.9, np.float32)]

    monkeypatch.setattr(exporting, "open_session", lambda path: Off())
    monkeypatch.setattr(exporting.torch.onnx, "export", lambda *_, **__: Written())
    network, *_ = session.make_network(config_of())
    encoder = PixelEncoder(network.eval(), (0.5,) * 3, (0.5,) * 3)
    with pytest.raises(
        ModelError, match=r"encoder\.onnx: onnxruntime and torch differ by .*, more than 0\.001"
    ):
        exporting.export(encoder, tmp_path / "encoder.onnx", SIZE)
    assert list(tmp_path.iterdir()) == []


class Written:
    """What the exporter returns: an empty graph."""

    model_proto = onnx.ModelProto()
