"""One sitting of training: from a resolved config to a MODEL folder, fresh or resumed."""

from __future__ import annotations

import copy
import os
import shutil
from pathlib import Path

import torch

from sightbook.allocator import TRAINING, keep_freed_memory
from sightbook.cores import cores
from sightbook.errors import ConfigError
from sightbook.images.pixels.frame import Frame
from sightbook.learn import checkpoint, snapshots, store, trainer
from sightbook.learn.begin import begin
from sightbook.learn.checkpoint import Position
from sightbook.learn.log import draw_curves
from sightbook.learn.optimizers import optimizer_for
from sightbook.learn.ranks import Ranks, check_batch, from_environment, join, leave
from sightbook.learn.report import TrainReport
from sightbook.learn.run import Run, collect, memory_for
from sightbook.learn.settings.config import TrainConfig
from sightbook.learn.sitting import Sitting
from sightbook.learn.usage import Usage
from sightbook.learn.verdict import read_verdict
from sightbook.learn.views import Views
from sightbook.learn.writing import Provenance, Scaling, judge, recalibrate, write_model
from sightbook.model import hub, known
from sightbook.model.config import ModelConfig
from sightbook.model.torch import backbone as backbones
from sightbook.model.torch.freezing import freeze
from sightbook.model.torch.layout import channels_last
from sightbook.model.torch.network import Network, assemble
from sightbook.model.torch.pretrained import open_pretrained
from sightbook.progress import Notice

# The usual scaling, for networks without one of their own.
_IMAGENET: Scaling = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def run_session(sitting: Sitting, config: TrainConfig, device_name: str) -> TrainReport:
    """Decodes, trains (or goes on from the checkpoint in `folder`/train), judges and writes the MODEL folder."""
    keep_freed_memory(TRAINING)
    ranks = from_environment()
    device = find_device(device_name)
    check_batch(config.batch, ranks)
    if torch.get_num_threads() > cores():  # a container's quota is unknown to torch
        torch.set_num_threads(cores())
    join(ranks, device)
    try:
        return _session(sitting, config, device, ranks)
    finally:
        leave()


def _session(sitting: Sitting, config: TrainConfig, device: torch.device, ranks: Ranks) -> TrainReport:
    folder, work, listener = sitting.folder, sitting.work, sitting.listener
    ranks.wait()
    # What a rank keeps for itself (mapped pictures, the list of bad ones) must not meet that of another.
    own = work if ranks.first else work / f"rank-{ranks.rank}"
    own.mkdir(exist_ok=True)
    network, spec, frame, scaling, pretraining = make_network(config)
    pictures = store.fill(
        sitting.sources,
        Frame(frame.resize, frame.resize, frame.resample),
        own,
        held_out=config.held_out,
        memory_gib=config.memory_gib,
        listener=listener,
        jobs=sitting.jobs,
        only=sitting.only,
    )
    views = Views(config.views, config.size, *scaling, side=config.view_size)
    run, resumed = _open_run(config, network, views, pictures, device, ranks=ranks, work=work)
    begin(run, listener, resumed=resumed)
    about = Provenance(spec, frame, scaling, pretraining, sitting.version)
    series = snapshots.Series(
        work, config.snapshot_count, run.fraction(), lambda place: write_model(run, place, about)
    )
    trainer.fit(run, listener, series)
    if not ranks.first:
        pictures.discard()
        shutil.rmtree(own, ignore_errors=True)
        ranks.wait()
        model = ModelConfig.read(folder)
        return TrainReport.of(folder, model, _sentence(model))
    listener(Notice("judging the model and writing it"))
    chosen = _choose(run) if config.selection == "label-free" else None
    model = write_model(run, folder, about, chosen=chosen, curves=draw_curves(work), beside=sitting.judge)
    (work / checkpoint.NAME).unlink(missing_ok=True)
    if config.snapshots is None:
        shutil.rmtree(work / snapshots.NAME, ignore_errors=True)  # made to choose from, not asked for
    if run.features is not None:
        run.features.discard()
    pictures.discard()
    ranks.wait()
    return TrainReport.of(folder, model, _sentence(model), pictures.left_out)


def _choose(run: Run) -> snapshots.Snapshot | None:
    """The snapshot that beats the end of training by the label-free figure; None when none does."""
    network = copy.deepcopy(run.network)
    recalibrate(run, network)
    last = judge(run, network)
    best = max(snapshots.found(run.folder), key=lambda each: each.figures.worth, default=None)
    return best if best is not None and best.figures.worth > last.worth else None


def _sentence(model: ModelConfig) -> str:
    """What a user should know of what was learned."""
    verdict = read_verdict(model.verdict, model.K)
    clusters = model.network.get("quantizer") == "kmeans"
    return verdict.sentence(model.bits, model.trained["steps"], clusters=clusters)


def find_device(name: str) -> torch.device:
    """The device that --device names; under torchrun each process of a machine has a GPU of its own. ConfigError when
    it is not usable here."""
    gpu = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    if name == "auto":
        others = "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(gpu if torch.cuda.is_available() else others)
    try:
        device = torch.device(gpu if name == "cuda" else name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError):
        raise ConfigError(
            f"device {name!r} is not usable here: give auto or cpu, or see `sightbook doctor`"
        ) from None
    return device


def make_network(config: TrainConfig) -> tuple[Network, backbones.Spec, Frame, Scaling, str]:
    """(network, backbone spec, frame, (mean, std), pretraining); the weights are a function of the seed."""
    torch.manual_seed(config.seed)
    chosen = config.backbone
    if chosen.kind == "pretrained":
        name = str(chosen.name)
        facts = hub.preprocessing(name)
        backbone, spec = open_pretrained(
            name, chosen.pool, chosen.dropout, stated=chosen.pretraining is not None
        )
        for size in {config.size, config.view_size}:
            _try_size(backbone, name, size)
        freeze(backbone, chosen.train)
        frame = Frame(config.size, config.resize, facts.resample)
        scaling = (facts.mean, facts.std)
        pretraining = chosen.pretraining or known.of(name).pretraining
    else:
        spec = backbones.spec_of(chosen, config.size)
        backbone = backbones.build(spec)
        frame, scaling, pretraining = Frame(config.size, config.resize, "bilinear"), _IMAGENET, "none"
    network = assemble(backbone, config.M, config.K, config.D, config.shape)
    return network, spec, frame, scaling, pretraining


def _try_size(backbone: backbones.Backbone, name: str, size: int) -> None:
    """ConfigError when the pretrained backbone cannot take pictures of `size` pixels: many have fixed positions."""
    try:
        with torch.inference_mode():
            backbone.eval()(torch.zeros(1, 3, size, size))
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ConfigError(
            f"size {size} does not fit {name} ({reason}): leave size and resize to the backbone"
        ) from None
    backbone.train()


def _open_run(
    config: TrainConfig,
    network: Network,
    views: Views,
    pictures: store.Store,
    device: torch.device,
    *,
    ranks: Ranks,
    work: Path,
) -> tuple[Run, bool]:
    """(The run before its first step, or where its checkpoint left it; whether there was one)."""
    channels_last(network.to(device))
    views.to(device)
    optimizer = optimizer_for(network, config.optimizer)
    usage = Usage(config.M, config.K, device)
    memory = memory_for(config, device)
    at = checkpoint.load(work, network, optimizer, collect(usage, memory))
    run = Run(
        config,
        network,
        views,
        pictures,
        device,
        work,
        optimizer,
        usage,
        at or Position(store=pictures.fingerprint),
        memory,
        ranks,
    )
    return run, at is not None
