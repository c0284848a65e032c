"""The whole network: normalized pixels → backbone → head → x, with the quantizer beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sightbook.codes.tables import Metric
from sightbook.errors import ModelError
from sightbook.model import released
from sightbook.model.config import ModelConfig
from sightbook.model.networks import QuantizerKind, Shape
from sightbook.model.torch.backbone import Backbone, build
from sightbook.model.torch.head import Head
from sightbook.model.torch.quantizer import Quantizer


class Network(nn.Module):
    """Backbone, head and quantizer. `forward` gives embeddings; the quantizer is called by whoever needs z or p."""

    def __init__(self, backbone: Backbone, head: Head, quantizer: Quantizer) -> None:
        super().__init__()
        self.backbone, self.head, self.quantizer = backbone, head, quantizer

    def forward(self, pixels: Tensor) -> Tensor:
        """Scaled pixels (B, 3, S, S) → x (B, D)."""
        x: Tensor = self.head(self.backbone(pixels))
        return x

    @property
    def metric(self) -> Metric:
        """How a stored code is scored."""
        metrics: dict[QuantizerKind, Metric] = {
            "cosine": "inner",
            "distance": "distance",
            "kmeans": "near-cosine",
        }
        return metrics[self.quantizer.kind]


class PixelEncoder(nn.Module):
    """What encoder.onnx computes: pixels (N, S, S, 3) uint8 → x (N, D) float32."""

    scale: Tensor
    shift: Tensor

    def __init__(self, network: Network, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("scale", 1.0 / (255.0 * torch.tensor(std)))
        self.register_buffer("shift", torch.tensor(mean) / torch.tensor(std))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.both(pixels)[0]

    def both(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """(x, features): also what the backbone says before the head, (N, F)."""
        scaled = pixels.float() * self.scale - self.shift
        features = self.network.backbone(scaled.permute(0, 3, 1, 2)).float()
        return self.network.head(features), features


class PixelBackbone(nn.Module):
    """What encoder.onnx of a described model computes: pixels (N, S, S, 3) uint8 → features (N, F) float32."""

    scale: Tensor
    shift: Tensor

    def __init__(self, backbone: Backbone, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.backbone = backbone
        self.register_buffer("scale", 1.0 / (255.0 * torch.tensor(std)))
        self.register_buffer("shift", torch.tensor(mean) / torch.tensor(std))

    def forward(self, pixels: Tensor) -> Tensor:
        scaled = pixels.float() * self.scale - self.shift
        features: Tensor = self.backbone(scaled.permute(0, 3, 1, 2)).float()
        return features


class Exported(nn.Module):
    """The graph of encoder.onnx: pixels → x, and the backbone's features for whoever asks for them by name."""

    def __init__(self, encoder: PixelEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        return self.encoder.both(pixels)


def assemble(backbone: Backbone, M: int, K: int, D: int, shape: Shape) -> Network:
    """The network around a backbone, head and codewords drawn at random (torch's seed decides them)."""
    normalize = shape.quantizer == "cosine"
    head = Head(
        backbone.features,
        M,
        D,
        layers=shape.head_layers,
        standardize=shape.standardize,
        normalize=normalize,
        unit=shape.quantizer == "kmeans",
    )
    frozen = shape.codebooks == "frozen"
    quantizer = Quantizer(M, K, D // M, shape.alpha, frozen=frozen, kind=shape.quantizer)
    return Network(backbone, head, quantizer)


def rebuild(config: ModelConfig) -> Network:
    """A network of the shape that config.json tells, with random weights."""
    facts: Mapping[str, Any] = config.network
    shape = Shape(**{key: facts[key] for key in Shape.__annotations__ if key in facts})
    return assemble(build(facts["backbone"]), config.M, config.K, config.D, shape)


def load(folder: Path) -> tuple[Network, ModelConfig]:
    """Opens a MODEL folder for torch: the network with its weights, in evaluation mode."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = released.find(Path(folder))
    config = ModelConfig.read(folder)
    network = rebuild(config)
    try:
        network.load_state_dict(load_file(folder / "model.safetensors"))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"{folder}: model.safetensors does not fit config.json ({str(error).splitlines()[0]})"
        ) from None
    return network.eval(), config
