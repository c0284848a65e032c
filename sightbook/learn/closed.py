"""Method neighbours on pictures: a pretrained backbone sees each picture once, all the rest is closed form.

Data flow: pretrained backbone → encoder.onnx (features) → `fixed.fill` (features of all pictures) → `model.fit`
(description, codebooks) → verdict → MODEL folder; config.json last.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sightbook.allocator import TRAINING, keep_freed_memory
from sightbook.config import TrainConfig, dump
from sightbook.describe.learn import Strength
from sightbook.errors import ConfigError, SourceError
from sightbook.files import write_atomic
from sightbook.images.entry import Entry
from sightbook.images.frame import Frame
from sightbook.images.pool import Failed, cores
from sightbook.images.sources import open_sources
from sightbook.learn import fixed
from sightbook.learn.card import described_card
from sightbook.learn.neighbours import report_of
from sightbook.learn.report import TrainReport
from sightbook.learn.session import device_named
from sightbook.learn.store import LEAST_PICTURES, tell_failures
from sightbook.model import backbone as backbones
from sightbook.model import hub, known
from sightbook.model.fit import fit, verdict, write
from sightbook.model.model import open_session
from sightbook.model.network import PixelBackbone
from sightbook.model.onnx import export_backbone
from sightbook.progress import Listener, Notice

ENCODER = "encoder.onnx"


def run_closed(
    sources: Sequence[str],
    folder: Path,
    config: TrainConfig,
    *,
    device_name: str,
    jobs: int | None,
    version: str,
    only: Collection[tuple[str, str]] | None,
    listener: Listener,
) -> TrainReport:
    """Learns from the pictures of `sources` and writes the MODEL folder; features of an earlier sitting are used."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("method neighbours needs one process only: leave torchrun out")
    keep_freed_memory(TRAINING)
    device = device_named(device_name)
    work = folder / "train"
    write_atomic(work / "config.yaml", dump(config))
    entries = list(open_sources([Path(source) for source in sources]).entries())
    if only is not None:
        entries = [entry for entry in entries if entry.key in only]
    name = str(config.backbone.name)
    facts = hub.preprocessing(name)
    backbone, spec = backbones.pretrained(name, config.backbone.pool)
    encoder = PixelBackbone(backbone, facts.mean, facts.std).eval()
    frame = Frame(config.size, config.resize, facts.resample)
    pretraining = config.backbone.pretraining or known.of(name).pretraining
    listener(
        Notice(
            f"{name} (pretraining: {pretraining}; licence: {known.of(name).licence}; none of it is trained) sees "
            f"{len(entries):,} pictures once, by {'onnxruntime' if device.type == 'cpu' else device}"
        )
    )
    difference = export_backbone(encoder, folder / ENCODER, config.size)
    made = fixed.fill(
        entries,
        frame,
        _forward(encoder, folder / ENCODER, device),
        backbone.features,
        _digest(encoder),
        folder=work if config.features.folder is None else Path(config.features.folder),
        keep=config.features.folder is not None,
        limit_gib=config.features.limit_gib,
        jobs=jobs,
        listener=listener,
    )
    _check(made, entries, sources, work, listener)
    listener(
        Notice(f"learning {config.bits}-bit codes from the neighbourhoods of {made.pictures:,} pictures")
    )
    chosen = None if config.strength is None else Strength(**config.strength.model_dump())
    fitted = fit(made.rows, config.bits, strength=chosen, seed=config.seed)
    model = write(
        fitted,
        folder,
        version,
        frame=frame,
        mean=facts.mean,
        std=facts.std,
        pretraining=pretraining,
        network={"backbone": spec},
        trained={
            "pictures": made.pictures,
            "failed": len(made.failed),
            "held_out": 0,
            "steps": 0,
            "device": str(device),
            "precision": "fp32",
            "onnx_difference": difference,
            "torch": torch.__version__,
        },
        verdict=verdict(fitted),
        card=lambda done: described_card(done, config),
    )
    made.discard()
    return report_of(folder, model)


def _forward(encoder: PixelBackbone, graph: Path, device: torch.device) -> fixed.Forward:
    """Pixels → features: by onnxruntime on a CPU, where it is twice as fast as torch, else by torch on the device."""
    if device.type == "cpu":
        session = open_session(graph, cores())

        def by_graph(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
            features: NDArray[np.float32] = session.run(["features"], {"pixels": pixels})[0]
            return features

        return by_graph
    network = backbones.channels_last(encoder.to(device))

    @torch.inference_mode()
    def by_network(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        features: NDArray[np.float32] = network(torch.from_numpy(pixels).to(device)).float().cpu().numpy()
        return features

    return by_network


def _check(
    made: fixed.Fixed, entries: Sequence[Entry], sources: Sequence[str], work: Path, listener: Listener
) -> None:
    """Names the pictures that failed; SourceError or ConfigError when too few are left."""
    where = ", ".join(map(str, sources))
    if not entries:
        raise SourceError(f"no pictures in {where}: give a folder, .tar or .parquet that holds some")
    tell_failures([Failed(entry, reason) for entry, reason in made.failed], work, listener)
    if made.pictures == 0:
        entry, reason = made.failed[0]
        raise SourceError(
            f"none of the {len(entries)} pictures in {where} could be read: {entry.locator}: {reason}; give pictures "
            "that open elsewhere"
        )
    if made.pictures < LEAST_PICTURES:
        raise ConfigError(
            f"{made.pictures} picture{'s' if made.pictures > 1 else ''} in {where} cannot teach anything: give at "
            f"least {LEAST_PICTURES}, better some thousands"
        )


def _digest(encoder: PixelBackbone) -> str:
    """Digest of the weights, the scaling and the pooling."""
    digest = hashlib.blake2b(encoder.backbone.how.encode(), digest_size=16)
    for name, tensor in sorted(encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).tobytes())
    return digest.hexdigest()
