"""`sightbook train`: learn a model from unlabelled pictures, or from vectors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sightbook.cli import completion
from sightbook.cli.options import Jobs, Json, Sources, named, names_for

if TYPE_CHECKING:
    from sightbook.learn.report import TrainReport


def needed(context: typer.Context, out: Path | None) -> Path | None:
    """Wrong usage where --out is missing, but for --show, which writes nothing."""
    if out is None and not context.params.get("show") and not context.resilient_parsing:
        raise typer.BadParameter("name the folder to write, as in --out MODEL")
    return out


Out = Annotated[
    Path | None,
    typer.Option(
        metavar="MODEL",
        parser=named,
        help="The model folder to write; must be new or empty. Needed, but for --show.",
        callback=needed,
    ),
]
Method = Annotated[
    str | None,
    typer.Option(
        metavar=names_for("train", completion.method) + "|FILE.py:NAME",
        autocompletion=completion.method,
        help="How to learn; FILE.py:NAME is a method of your own.",
        show_default="neighbours where no weight of the network is trained, else rcq",
    ),
]
Backbone = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FOLDER",
        autocompletion=completion.backbone,
        help="The network to start from: vit, resnet, a pretrained one by hub name or folder, builtin, or auto.",
        show_default="chosen by the pictures: a pretrained one for photos, resnet up to 64 pixels",
    ),
]
TrainPart = Annotated[
    str | None,
    typer.Option(
        "--train",
        metavar="head|last:N|all",
        autocompletion=completion.one_of("head", "last:", "all"),
        help="What of a pretrained backbone is trained: nothing of it (codes are learned in closed form), its "
        "last N blocks, or all.",
        show_default="all; head of a chosen one",
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        metavar=names_for("train", completion.preset),
        autocompletion=completion.preset,
        help="Sizes and rates that go together.",
        show_default="small or photo, by the pictures",
    ),
]
Bits = Annotated[
    int | None, typer.Option(metavar="16..128", help="Length of a picture's code.", show_default="64")
]
Nested = Annotated[
    bool,
    typer.Option(
        "--nested", help="Make the first 16, 32, 64 bits of each code good codes by themselves, too."
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="N",
        help="Passes over the pictures instead of --minutes; 0 writes the untrained model.",
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(metavar="T", help="Train for this long.", show_default="10, of learning by steps"),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="auto|cpu|cuda|mps",
        autocompletion=completion.one_of("auto", "cpu", "cuda", "mps"),
        help="Where to compute.",
    ),
]
Config = Annotated[Path | None, typer.Option(metavar="FILE", help="Settings from a YAML file.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        autocompletion=completion.setting,
        help="One setting, over all others; may be repeated.",
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="With --epochs: same seed, same model (on the same machine).", show_default="0"
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in MODEL.")]
Show = Annotated[
    bool,
    typer.Option(
        "--show",
        is_eager=True,  # known when --out is looked at
        help="Print the settings that this command would learn with, and leave it at that.",
    ),
]


def train(
    source: Sources,
    *,
    out: Out = None,
    method: Method = None,
    backbone: Backbone = None,
    train_part: TrainPart = None,
    preset: Preset = None,
    bits: Bits = None,
    nested: Nested = False,
    epochs: Epochs = None,
    minutes: Minutes = None,
    device: Device = "auto",
    config: Config = None,
    set_: Settings = None,
    seed: Seed = None,
    resume: Resume = False,
    jobs: Jobs = None,
    show: Show = False,
    as_json: Json = False,
) -> None:
    """Learn a model from your pictures, without labels.

    The model turns a picture into a short code such that similar pictures get similar codes. Training ends with a
    verdict without labels: how often a random view of an unseen picture finds that picture again; with --train head,
    how far two halves of the network's features agree about who is similar.

    Vectors of your own are learned from in closed form, in seconds; of the options they take --out, --bits and --json.

    \b
    Examples:
      sightbook train photos/ --out model/
      sightbook train photos/ --out model/ --backbone resnet --minutes 10
      sightbook train photos/ --out model/ --backbone dinov2-small/ --train head
      sightbook train shards/*.tar --out model/ --bits 32 --epochs 20
      sightbook train photos/ --show --method spq
      sightbook train photos/ --out model/ --resume
      sightbook train embeddings.parquet --out vectors-model/ --bits 64
      torchrun --nproc-per-node 4 -m sightbook train photos/ --out model/ --backbone resnet
    """
    from sightbook.cli.output import answer
    from sightbook.cli.show import showing
    from sightbook.learn.place import first_rank
    from sightbook.learn.settings.config import dump, plain
    from sightbook.learn.train import resolve
    from sightbook.learn.train import train as learn

    asked: dict[str, Any] = {
        "bits": bits, "nested": nested, "method": method, "backbone": backbone, "train_part": train_part,
        "preset": preset, "epochs": epochs, "minutes": minutes, "device": device, "config": config,
        "settings": split_settings(set_ or []), "seed": seed, "resume": resume,
    }  # fmt: skip
    if show:
        with showing() as listener:
            resolved = resolve(source, out, **asked, listener=listener)
        answer(plain(resolved), dump(resolved).rstrip(), as_json=as_json)
        return
    assert out is not None, "its callback has seen to that"
    with showing() as listener:
        report = learn(source, out, **asked, jobs=jobs, listener=listener)
    if first_rank():
        answer(report.to_json(), _text(report, source[0]), as_json=as_json)


def _text(report: TrainReport, source: str) -> str:
    """The report for people, with what to do next."""
    from sightbook.errors import typed
    from sightbook.images.left_out import sentence

    lines = [report.sentence]
    if report.left_out:
        lines.append(f"Left out: {sentence(report.left_out)}; --json names them")
    lines.append(f"Model: {report.folder}")
    lines.append(f"Next:  sightbook add LIBRARY {typed(source)} --model {typed(report.folder)}")
    return "\n".join(lines)


def split_settings(settings: list[str]) -> dict[str, str]:
    """['a=1', 'b=x=y'] -> {'a': '1', 'b': 'x=y'}; ConfigError for anything without '='."""
    from sightbook.errors import ConfigError

    result: dict[str, str] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set {setting}: write it as KEY=VALUE, for example --set clip=0.1")
        result[key.strip()] = value.strip()
    return result
