"""Pretrained backbones of transformers for learning in closed form: exported once, run by onnxruntime on a CPU, where
it is twice as fast as torch, by torch on a GPU."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sightbook.images.pixels.frame import Frame
from sightbook.learn.fixed import Forward
from sightbook.learn.frozen import FrozenNetwork, by_graph
from sightbook.learn.session import find_device
from sightbook.model import hub, known
from sightbook.model.networks import BackboneConfig
from sightbook.model.torch.layout import channels_last
from sightbook.model.torch.network import PixelBackbone
from sightbook.model.torch.onnx import export_backbone
from sightbook.model.torch.pretrained import open_pretrained


def frozen_pretrained(settings: BackboneConfig, size: int, resize: int, device_name: str) -> FrozenNetwork:
    """The backbone that the settings name. ModelError when it cannot be opened, ConfigError for a device that is not
    there."""
    device, name = find_device(device_name), str(settings.name)
    facts, told = hub.preprocessing(name), known.of(name)
    backbone, spec = open_pretrained(name, settings.pool, stated=settings.pretraining is not None)
    encoder = PixelBackbone(backbone, facts.mean, facts.std).eval()

    def forward(path: Path) -> Forward:
        return by_graph(path) if device.type == "cpu" else _by_network(encoder, device)

    return FrozenNetwork(
        name=name,
        licence=told.licence,
        pretraining=settings.pretraining or told.pretraining,
        told=settings.pretraining or told.told,
        features=backbone.features,
        frame=Frame(size, resize, facts.resample),
        mean=facts.mean,
        std=facts.std,
        digest=_digest(encoder),
        write=lambda path: export_backbone(encoder, path, size),
        forward=forward,
        spec=spec,
        facts={"torch": torch.__version__},
        device=str(device),
    )


def _by_network(encoder: PixelBackbone, device: torch.device) -> Forward:
    network = channels_last(encoder.to(device))

    @torch.inference_mode()
    def forward(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        features: NDArray[np.float32] = network(torch.from_numpy(pixels).to(device)).float().cpu().numpy()
        return features

    return forward


def _digest(encoder: PixelBackbone) -> str:
    """Digest of the weights, the scaling and the pooling."""
    digest = hashlib.blake2b(encoder.backbone.how.encode(), digest_size=16)
    for name, tensor in sorted(encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).tobytes())
    return digest.hexdigest()
