"""From the network of a run to a MODEL folder: measured norms, verdict, encoder, weights, card; config.json last.

Both the end of training and a snapshot on the way come through here. The run's own network is left as it is: what is
written is a copy, whose batch norms are measured afresh.
"""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sightbook.files import write_atomic
from sightbook.images.pixels.frame import Frame
from sightbook.learn import halves, judged, statistics
from sightbook.learn.card import card
from sightbook.learn.forward import held_out_loss
from sightbook.learn.halves import Encoder, Pixels, by_codes
from sightbook.learn.run import Run
from sightbook.learn.settings.presets import SMALL_UP_TO
from sightbook.learn.snapshots import Snapshot
from sightbook.learn.store import Store
from sightbook.learn.verdict import Verdict, ViewFigures, embedder, measure
from sightbook.model.config import ModelConfig
from sightbook.model.folder import write_codebooks, write_config
from sightbook.model.torch.backbone import Spec
from sightbook.model.torch.network import Network, PixelEncoder
from sightbook.model.torch.onnx import export

# Mean and deviation of the pixels, 0 … 1.
Scaling = tuple[tuple[float, float, float], tuple[float, float, float]]

_CHECKED_PICTURES = 64


@dataclass(frozen=True)
class Provenance:
    """What a model says of itself that training does not change."""

    spec: Spec
    frame: Frame
    scaling: Scaling
    pretraining: str
    version: str


def judge(run: Run, network: Network) -> ViewFigures:
    """The label-free figures of a network on the pictures held out."""
    held = run.store.pixels[run.store.held_out]
    return measure(network, run.views, held, run.device, loss=held_out_loss(run, network))


def before(run: Run, network: Network) -> list[float]:
    """Agreement of the halves of some pictures, by the codes of a network that is not trained yet."""
    pictures = _some(run.store)
    found = judged.agreements(pictures, {judged.LEARNED: _codes(run, network)})
    return [float(each) for each in found[judged.LEARNED]]


def _beside(run: Run, network: Network) -> judged.Judged | None:
    """The verdict by halves of the same pictures: the network's codes beside simpler things."""
    pictures = _some(run.store)
    # Halves of small pictures are too small for a network that was made for photos: it would look worse than it is.
    beside = judged.beside(network=run.config.size > SMALL_UP_TO)
    found = judged.agreements(pictures, {judged.LEARNED: _codes(run, network), **beside})
    found[judged.BEFORE] = np.asarray(run.at.before, np.float64)
    return judged.judge(found) if len(run.at.before) == len(pictures) else None


def _codes(run: Run, network: Network) -> Encoder:
    codebooks = network.quantizer.codewords().detach().float().cpu().numpy()
    return by_codes(embedder(network, run.views, run.device), codebooks, network.metric)


def _some(store: Store) -> Pixels:
    """Pictures to judge by: those held out, and where they are few some that are learned from."""
    rows = store.held_out[: halves.PICTURES]
    if wanted := min(halves.PICTURES, len(store.train) + len(rows)) - len(rows):
        places = np.linspace(0, len(store.train) - 1, wanted).round().astype(np.int64)
        rows = np.concatenate([rows, store.train[np.unique(places)]])
    return np.ascontiguousarray(store.pixels[np.sort(rows)])


def recalibrate(run: Run, network: Network) -> None:
    """Measures the batch norms that belong to the model on the run's pictures."""
    chunks = statistics.sample(run.store, run.config.seed, run.device)
    pretrained = run.config.backbone.kind == "pretrained"
    statistics.recalibrate(network, run.views, chunks, backbone=not pretrained)


def write_model(
    run: Run,
    folder: Path,
    about: Provenance,
    *,
    chosen: Snapshot | None = None,
    curves: Path | None = None,
    beside: bool = False,
) -> ModelConfig:
    """Writes the state of the run, or the one that was chosen, as a MODEL folder. beside: judged beside simpler things,
    too."""
    config = run.config
    network = copy.deepcopy(run.network)
    if chosen is None:
        recalibrate(run, network)
    else:
        network.load_state_dict(chosen.weights())
    held = run.store.pixels[run.store.held_out]
    verdict = Verdict(
        len(held),
        judge(run, network),
        ViewFigures(**run.at.untrained),
        _beside(run, network) if beside else None,
        config.K,
    )
    encoder = PixelEncoder(network.cpu().eval(), *about.scaling)
    frame = about.frame
    edge = (frame.resize - frame.size) // 2
    sample = held[:_CHECKED_PICTURES, edge : edge + frame.size, edge : edge + frame.size]
    difference = export(encoder, folder / "encoder.onnx", frame.size, sample)
    _write_weights(folder, network)
    trained = {**_facts(run, network), "onnx_difference": difference, "torch": torch.__version__}
    trained["curves"] = curves.name if curves else None
    if config.selection != "last":
        trained["selected_step"] = run.at.step if chosen is None else chosen.step
    model = ModelConfig(
        method=config.method,
        M=config.M,
        K=config.K,
        D=config.D,
        frame=frame,
        mean=about.scaling[0],
        std=about.scaling[1],
        metric=network.metric,
        nested=config.nested,
        features=network.backbone.features,
        pretraining=about.pretraining,
        selection=config.selection,
        network={"backbone": about.spec, **asdict(config.shape)},
        trained=trained,
        verdict=verdict.to_json(),
    )
    write_codebooks(folder, network.quantizer.codewords().detach().numpy())
    # config.json makes the folder a model, so it comes when all the rest is there; the card tells its fingerprint.
    return write_config(
        folder,
        model,
        about.version,
        before=lambda done: write_atomic(folder / "README.md", card(done, config.model_dump(), verdict)),
    )


def _facts(run: Run, network: Network) -> dict[str, Any]:
    """How long, on what and where it was trained."""
    return {
        "pictures": len(run.store.train),
        "held_out": len(run.store.held_out),
        "failed": run.store.failed,
        "steps": run.at.step,
        "epochs": round(run.at.step / run.steps_per_epoch, 3),
        "batch": run.batch,
        "seconds": round(run.at.seconds, 1),
        "device": str(run.device),
        "accelerator": torch.cuda.get_device_name(run.device) if run.device.type == "cuda" else None,
        "processes": run.ranks.world,
        "precision": run.at.precision,
        "parameters": sum(p.numel() for p in network.parameters()),
        "seed": run.config.seed,
    }


def _write_weights(folder: Path, network: Network) -> None:
    from safetensors.torch import save

    tensors = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    write_atomic(folder / "model.safetensors", save(tensors))
