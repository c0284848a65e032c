"""One sitting of training: from a resolved config to a MODEL folder, fresh or resumed."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from sightbook.allocator import TRAINING, keep_freed_memory
from sightbook.cores import cores
from sightbook.errors import ConfigError
from sightbook.images.pixels.frame import Frame
from sightbook.learn import checkpoint, features, precision, snapshots, statistics, store, trainer
from sightbook.learn.checkpoint import Position
from sightbook.learn.log import draw_curves
from sightbook.learn.methods.registry import find
from sightbook.learn.ranks import Ranks, check_batch, from_environment, join, leave
from sightbook.learn.report import TrainReport
from sightbook.learn.settings.config import TrainConfig
from sightbook.learn.usage import Usage
from sightbook.learn.verdict import read_verdict
from sightbook.learn.views import Views
from sightbook.learn.writing import About, Scaling, before, judge, recalibrate, write_model
from sightbook.model import hub, known
from sightbook.model.config import ModelConfig
from sightbook.model.torch import backbone as backbones
from sightbook.model.torch.freezing import freeze
from sightbook.model.torch.layout import channels_last
from sightbook.model.torch.network import Network, assemble
from sightbook.model.torch.pretrained import open_pretrained
from sightbook.progress import Listener, Notice
from sightbook.words import counted

# The usual scaling, for networks without one of their own.
_IMAGENET: Scaling = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_CLUSTERED = 1 << 16  # rows of features that first codewords are made of, at most


def run_session(
    sources: Sequence[str],
    folder: Path,
    config: TrainConfig,
    *,
    device_name: str,
    jobs: int | None,
    version: str,
    only: Collection[tuple[str, str]] | None = None,
    judge: bool = True,
    listener: Listener,
) -> TrainReport:
    """Decodes, trains (or goes on from the checkpoint in `folder`/train), judges and writes the MODEL folder."""
    keep_freed_memory(TRAINING)
    ranks = from_environment()
    device = find_device(device_name)
    check_batch(config.batch, ranks)
    if torch.get_num_threads() > cores():  # a container's quota is unknown to torch
        torch.set_num_threads(cores())
    join(ranks, device)
    try:
        return _session(
            sources,
            folder,
            config,
            device=device,
            ranks=ranks,
            jobs=jobs,
            version=version,
            only=only,
            beside=judge,
            listener=listener,
        )
    finally:
        leave()


def _session(
    sources: Sequence[str],
    folder: Path,
    config: TrainConfig,
    *,
    device: torch.device,
    ranks: Ranks,
    jobs: int | None,
    version: str,
    only: Collection[tuple[str, str]] | None,
    beside: bool,
    listener: Listener,
) -> TrainReport:
    work = folder / "train"
    ranks.wait()
    # What a rank keeps for itself (mapped pictures, the list of bad ones) must not meet that of another.
    own = work if ranks.first else work / f"rank-{ranks.rank}"
    own.mkdir(exist_ok=True)
    network, spec, frame, scaling, pretraining = _network(config)
    pictures = store.fill(
        sources,
        Frame(frame.resize, frame.resize, frame.resample),
        own,
        held_out=config.held_out,
        memory_gib=config.memory_gib,
        listener=listener,
        jobs=jobs,
        only=only,
    )
    views = Views(config.views, config.size, *scaling, side=config.view_size)
    run = _begin(config, network, views, pictures, device, ranks=ranks, work=work, listener=listener)
    about = About(spec, frame, scaling, pretraining, version)
    series = snapshots.Series(
        work, config.snapshot_count, run.fraction(), lambda place: write_model(run, place, about)
    )
    trainer.fit(run, listener, series)
    if not ranks.first:
        pictures.discard()
        shutil.rmtree(own, ignore_errors=True)
        ranks.wait()
        return report_of(folder, ModelConfig.read(folder))
    listener(Notice("judging the model and writing it"))
    chosen = _choose(run) if config.selection == "label-free" else None
    model = write_model(
        run,
        folder,
        about,
        weights=None if chosen is None else chosen.weights(),
        selected=None if chosen is None else chosen.step,
        curves=draw_curves(work),
        beside=beside,
    )
    (work / checkpoint.NAME).unlink(missing_ok=True)
    if config.snapshots is None:
        shutil.rmtree(work / snapshots.NAME, ignore_errors=True)  # made to choose from, not asked for
    if run.features is not None:
        run.features.discard()
    pictures.discard()
    ranks.wait()
    return replace(report_of(folder, model), left_out=pictures.left_out)


def _choose(run: trainer.Run) -> snapshots.Snapshot | None:
    """The snapshot that beats the end of training by the label-free figure; None when none does."""
    network = copy.deepcopy(run.network)
    recalibrate(run, network)
    last = judge(run, network)
    best = max(snapshots.found(run.folder), key=lambda each: each.figures.worth, default=None)
    return best if best is not None and best.figures.worth > last.worth else None


def report_of(folder: Path, model: ModelConfig) -> TrainReport:
    """What training says of the MODEL folder it wrote."""
    trained = model.trained
    verdict = read_verdict(model.verdict, model.K)
    return TrainReport(
        folder=folder,
        bits=model.bits,
        pictures=trained["pictures"],
        failed=trained["failed"],
        steps=trained["steps"],
        seconds=trained["seconds"],
        device=trained["device"],
        precision=trained["precision"],
        fingerprint=model.fingerprint,
        verdict=model.verdict,
        sentence=verdict.sentence(
            model.bits, trained["steps"], clusters=model.network.get("quantizer") == "kmeans"
        ),
    )


def find_device(name: str) -> torch.device:
    """The device that --device names; ConfigError when it is not usable here."""
    if name == "auto":
        if torch.cuda.is_available():
            # Under torchrun each process of a machine has a GPU of its own.
            return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError):
        raise ConfigError(
            f"device {name!r} is not usable here: give auto or cpu, or see `sightbook doctor`"
        ) from None
    return device


def _network(config: TrainConfig) -> tuple[Network, backbones.Spec, Frame, Scaling, str]:
    """(network, backbone spec, frame, (mean, std), pretraining); the weights are a function of the seed."""
    torch.manual_seed(config.seed)
    chosen = config.backbone
    if chosen.kind == "pretrained":
        name = str(chosen.name)
        facts = hub.preprocessing(name)
        backbone, spec = open_pretrained(name, chosen.pool, chosen.dropout)
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


def _begin(
    config: TrainConfig,
    network: Network,
    views: Views,
    pictures: store.Store,
    device: torch.device,
    *,
    ranks: Ranks,
    work: Path,
    listener: Listener,
) -> trainer.Run:
    """The run at its start, or where its checkpoint left it."""
    channels_last(network.to(device))
    views.to(device)
    optimizer = trainer.optimizer_for(network, config.optimizer)
    usage = Usage(config.M, config.K, device)
    memory = trainer.memory_for(config, device)
    at = checkpoint.load(work, network, optimizer, trainer.collect(usage, memory))
    run = trainer.Run(
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
    if run.batch == 0:
        raise ConfigError(f"{len(pictures.train)} pictures cannot be shared by {ranks.world} processes")
    config.clipped(run.batch)
    run.resident = _resident(pictures, device)
    first_size = config.views.first_size
    if first_size is not None and first_size < config.view_size:
        run.first_views = views.smaller(first_size)
    if config.views.local:
        _check_local(config, ranks)
        run.local_views = views.local()
    if config.compile:
        network.backbone.compile()
    if run.batch < config.batch:
        listener(
            Notice(
                f"only {counted(run.batch, 'picture')} to train on: the batch of {config.batch} shrinks to that"
            )
        )
    if at is not None:
        if at.store != pictures.fingerprint:
            raise ConfigError(
                f"{work.parent}: the pictures are not those the run began with: start anew with another --out"
            )
        run.features = _features(run, listener)
        listener(Notice(f"resuming at step {at.step}, {at.seconds / 60:.1f} minutes into training"))
        return run
    if config.backbone.kind == "resnet" and config.backbone.whiten:
        statistics.whiten_stem(network, views, statistics.sample(pictures, config.seed, device))
    run.features = _features(run, listener)
    if config.quantizer == "kmeans":
        statistics.start_codes(network, _some_features(run))
    recalibrate(run, network)
    ranks.spread(network)
    run.at.untrained = asdict(judge(run, network))
    run.at.before = before(run, network)
    run.at.precision = "fp32" if run.features is not None else _precision(run, listener)
    where = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{device}, {torch.get_num_threads()} threads"
    ) + (f", {ranks.world} processes" if ranks.world > 1 else "")
    listener(
        Notice(
            f"training {_describe(run)} by {config.method} to {config.bits} bits "
            f"on {counted(len(pictures.train), 'picture')}, {config.size} × {config.size} pixels, {run.at.precision}, "
            f"on {where}"
        )
    )
    return run


def _check_local(config: TrainConfig, ranks: Ranks) -> None:
    """ConfigError where views of small parts would be drawn and not used."""
    if not find(config.method).local:
        raise ConfigError(
            f"views.local {config.views.local} would do nothing: method {config.method} looks at whole views only"
        )
    if ranks.world > 1 or config.backbone.train == "head":
        raise ConfigError(
            f"views.local {config.views.local} needs one process and a backbone that is trained: set it to 0"
        )


def _resident(pictures: store.Store, device: torch.device) -> torch.Tensor | None:
    """All pictures on a GPU, so that no step waits for them; None on a CPU, or where they take half of what is free."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return torch.from_numpy(pictures.pixels).to(device) if pictures.pixels.nbytes < free / 2 else None


def _describe(run: trainer.Run) -> str:
    """The backbone in a few words, with what a user must know of a pretrained one."""
    chosen = run.config.backbone
    if chosen.kind != "pretrained":
        return chosen.kind
    name = str(chosen.name)
    facts = known.of(name)
    part = {"all": "all of it", "head": "the head alone"}.get(
        chosen.train, chosen.train.replace("last:", "its last ")
    )
    pretraining = chosen.pretraining or facts.told
    return f"{name} (pretraining: {pretraining}; licence: {facts.licence}; {part})"


@torch.no_grad()
def _some_features(run: trainer.Run) -> torch.Tensor:
    """Features (n, F) of fixed views to start codes from: those of the cache, else of about a thousand pictures."""
    if run.features is not None:
        rows = run.features.fixed
        return torch.from_numpy(rows[:: -(-len(rows) // _CLUSTERED)].astype("float32")).to(run.device)
    run.network.eval()
    chunks = statistics.sample(run.store, run.config.seed, run.device)
    found = torch.cat([run.network.backbone(run.views.fixed(chunk)).float() for chunk in chunks])
    run.network.train()
    return found


def _features(run: trainer.Run, listener: Listener) -> features.Features | None:
    """The cached features of a frozen backbone; None when some of it is trained, or nothing is."""
    config = run.config
    if config.backbone.train != "head" or (run.fraction() >= 1.0 and run.at.step == 0):
        return None
    if run.ranks.world > 1:
        raise ConfigError(
            "backbone.train head needs one process only: the frozen backbone runs once; leave torchrun out"
        )
    return features.fill(
        run.network.backbone,
        run.views,
        run.store,
        config.features,
        precision=config.precision,
        seed=config.seed,
        held_out=config.held_out,
        device=run.device,
        folder=run.folder,
        listener=listener,
    )


def _precision(run: trainer.Run, listener: Listener) -> str:
    if run.config.precision != "auto":
        return run.config.precision
    if run.fraction() >= 1.0:
        return "fp32"
    torch.manual_seed(run.config.seed)
    run.network.train()
    pictures = trainer.pictures_of(run)  # of this rank alone: a question of speed
    # A slow processor takes minutes for a whole batch; of a GPU a few pictures tell nothing.
    views = run.views(pictures[: precision.PICTURES] if run.device.type == "cpu" else pictures)

    def step(network: Network, dtype: torch.dtype | None) -> None:
        with precision.autocast(run.device, dtype):
            features = network.backbone(views)
        features.float().sum().backward()

    name, why = precision.faster(run.network, step, run.device)
    (chosen,) = run.ranks.agree([name == "bf16"], run.device)
    if (name == "bf16") != bool(chosen):
        name, why = "bf16" if chosen else "fp32", "the processes agree on " + ("bf16" if chosen else "fp32")
    listener(Notice(why))
    return name
