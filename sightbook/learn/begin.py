"""The beginning of a run: what is kept at hand, the first filters and codes, and what is said of it all."""

from __future__ import annotations

from dataclasses import asdict

import torch

from sightbook.errors import ConfigError
from sightbook.learn import features, precision, statistics
from sightbook.learn.methods.registry import find
from sightbook.learn.run import Run, pictures_of
from sightbook.learn.store import Store
from sightbook.learn.writing import before, judge, recalibrate
from sightbook.model import known
from sightbook.model.torch.freezing import evaluating
from sightbook.model.torch.network import Network
from sightbook.progress import Listener, Notice
from sightbook.words import counted

_CLUSTERED = 1 << 16  # rows of features that first codewords are made of, at most


def begin(run: Run, listener: Listener, *, resumed: bool) -> None:
    """Makes the run ready for its next step. resumed: it goes on where a checkpoint left it."""
    _check(run)
    _keep_at_hand(run)
    batch = run.config.batch
    if run.batch < batch:
        listener(
            Notice(f"only {counted(run.batch, 'picture')} to train on: the batch of {batch} shrinks to that")
        )
    if resumed:
        if run.at.store != run.store.fingerprint:
            raise ConfigError(
                f"{run.folder.parent}: the pictures are not those the run began with: start anew with another --out"
            )
        run.features = _features(run, listener)
        listener(Notice(f"resuming at step {run.at.step}, {run.at.seconds / 60:.1f} minutes into training"))
        return
    _start(run, listener)
    run.at.precision = "fp32" if run.features is not None else choose_precision(run, listener)
    listener(Notice(_sentence(run)))


def _check(run: Run) -> None:
    """ConfigError for what does not fit the number of pictures or of processes."""
    if run.batch == 0:
        raise ConfigError(f"{len(run.store.train)} pictures cannot be shared by {run.ranks.world} processes")
    run.config.clipped(run.batch)
    if run.config.views.local:
        check_local(run)


def _keep_at_hand(run: Run) -> None:
    """Pictures on the device, the other kinds of views, the compiled backbone."""
    config = run.config
    run.resident = _resident(run.store, run.device)
    first_size = config.views.first_size
    if first_size is not None and first_size < config.view_size:
        run.first_views = run.views.smaller(first_size)
    if config.views.local:
        run.local_views = run.views.local()
    if config.compile:
        run.network.backbone.compile()


def _start(run: Run, listener: Listener) -> None:
    """First filters, features, codes and statistics, and the figures of the network before its first step."""
    config, network = run.config, run.network
    if config.backbone.kind == "resnet" and config.backbone.whiten:
        statistics.whiten_stem(network, run.views, statistics.sample(run.store, config.seed, run.device))
    run.features = _features(run, listener)
    if config.quantizer == "kmeans":
        statistics.start_codes(network, sample_features(run))
    recalibrate(run, network)
    run.ranks.spread(network)
    run.at.untrained = asdict(judge(run, network))
    run.at.before = before(run, network)


def _sentence(run: Run) -> str:
    """What is trained, how, on what and where."""
    config, device = run.config, run.device
    where = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{device}, {torch.get_num_threads()} threads"
    ) + (f", {run.ranks.world} processes" if run.ranks.world > 1 else "")
    return (
        f"training {_describe(run)} by {config.method} to {config.bits} bits "
        f"on {counted(len(run.store.train), 'picture')}, {config.size} × {config.size} pixels, {run.at.precision}, "
        f"on {where}"
    )


def check_local(run: Run) -> None:
    """ConfigError where views of small parts would be drawn and not used."""
    config = run.config
    if not find(config.method).local:
        raise ConfigError(
            f"views.local {config.views.local} would do nothing: method {config.method} looks at whole views only"
        )
    if run.ranks.world > 1 or config.backbone.train == "head":
        raise ConfigError(
            f"views.local {config.views.local} needs one process and a backbone that is trained: set it to 0"
        )


def _resident(pictures: Store, device: torch.device) -> torch.Tensor | None:
    """All pictures on a GPU, so that no step waits for them; None on a CPU, or where they take half of what is free."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return torch.from_numpy(pictures.pixels).to(device) if pictures.pixels.nbytes < free / 2 else None


def _describe(run: Run) -> str:
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
def sample_features(run: Run) -> torch.Tensor:
    """Features (n, F) of fixed views to start codes from: those of the cache, else of about a thousand pictures."""
    if run.features is not None:
        rows = run.features.fixed
        return torch.from_numpy(rows[:: -(-len(rows) // _CLUSTERED)].astype("float32")).to(run.device)
    chunks = statistics.sample(run.store, run.config.seed, run.device)
    with evaluating(run.network):
        return torch.cat([run.network.backbone(run.views.fixed(chunk)).float() for chunk in chunks])


def _features(run: Run, listener: Listener) -> features.Features | None:
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


def choose_precision(run: Run, listener: Listener) -> str:
    if run.config.precision != "auto":
        return run.config.precision
    if run.fraction() >= 1.0:
        return "fp32"
    torch.manual_seed(run.config.seed)
    run.network.train()
    pictures = pictures_of(run)  # of this rank alone: a question of speed
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
