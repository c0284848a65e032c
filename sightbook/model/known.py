"""What is known of pretrained models: how they were trained, and under which licence they come.

A hub id, owner and all, is known by the facts of that model's own card. A local folder may hold any weights, whatever
it is called, and so may another owner's copy: they are what their README.md states, else unknown, which is taken as
trained with labels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from sightbook.model import builtin

UNKNOWN = "unknown, look it up"
# Tried in this order by --backbone auto: permissive licences, trained without labels, small enough for a CPU.
AUTOMATIC = ("facebook/dinov2-small", "facebook/dinov2-with-registers-small", "facebook/dino-vits16")


@dataclass(frozen=True)
class Known:
    """`pretraining`: self-supervised or labels (captions count as labels: people wrote them); certain: False where
    nothing says so, and labels are the careful answer."""

    pretraining: str
    licence: str
    certain: bool = True

    @property
    def told(self) -> str:
        """`pretraining` for people."""
        return self.pretraining if self.certain else f"unknown, taken as {self.pretraining}"


_DINOV3 = "DINOv3 License (its own terms; permits commercial use under conditions)"
# Who publishes it, and words that are all in its name: the first that fits counts.
_FAMILIES: tuple[tuple[str, tuple[str, ...], Known], ...] = (
    ("facebook", ("dinov3",), Known("self-supervised", _DINOV3)),
    ("facebook", ("dinov2", "imagenet1k"), Known("labels", "Apache-2.0")),
    ("facebook", ("dinov2",), Known("self-supervised", "Apache-2.0")),
    ("facebook", ("dino-",), Known("self-supervised", "Apache-2.0")),
    ("facebook", ("vit-mae",), Known("self-supervised", "Apache-2.0")),
    ("facebook", ("vit-msn",), Known("self-supervised", "Apache-2.0")),
    ("facebook", ("ijepa",), Known("self-supervised", "CC-BY-NC-4.0 (not for commercial use)")),
    ("microsoft", ("beit-base-patch16-224-pt22k",), Known("self-supervised", "Apache-2.0")),
    ("microsoft", ("beit",), Known("labels", "Apache-2.0")),
    ("openai", ("clip-vit",), Known("labels", "MIT")),
    ("google", ("siglip",), Known("labels", "Apache-2.0")),
    ("facebook", ("deit",), Known("labels", "Apache-2.0")),
    ("google", ("vit-",), Known("labels", "Apache-2.0")),
    ("microsoft", ("resnet-",), Known("labels", "Apache-2.0")),
    ("facebook", ("convnext",), Known("labels", "Apache-2.0")),
    ("microsoft", ("swin",), Known("labels", "Apache-2.0")),
    ("google", ("mobilenet",), Known("labels", "Apache-2.0")),
)
# What people call a network, and a repository of it: names without an owner are none on the hub.
_REPOSITORIES = (
    ("resnet", "microsoft/resnet-50"),
    ("dinov2", AUTOMATIC[0]),
    ("dino", "facebook/dino-vits16"),
    ("deit", "facebook/deit-small-patch16-224"),
    ("convnext", "facebook/convnext-tiny-224"),
    ("swin", "microsoft/swin-tiny-patch4-window7-224"),
    ("vit", "google/vit-base-patch16-224"),
)
_RESNETS = ("18", "26", "34", "50", "101", "152")
# Fine-tuning with labels makes a model of labels, whatever it began as.
_FINE_TUNED = ("fine-tuned", "finetuned", "-ft-", "imagenet1k")


# Where the hub's cache keeps a model: the folder says whose it is.
_CACHED = re.compile(r"models--([^/\\]+?)--([^/\\]+)[/\\]snapshots[/\\][0-9a-f]+[/\\]?$")


def of(name: str) -> Known:
    """What is known of a hub name or a local folder, whose README.md may state `pretraining:` and `license:`."""
    if name == builtin.BUILTIN:
        ours = builtin.read()
        return Known(ours.pretraining, ours.licence)
    cached = _CACHED.search(name)
    folder = Path(name).is_dir()
    hub_id = f"{cached[1]}/{cached[2]}" if cached else "" if folder else name
    found = _look_up(hub_id)
    if not folder:
        return found
    said = _read_card(Path(name) / "README.md")
    licence = said.get("license") or found.licence
    if said.get("pretraining") in ("self-supervised", "labels"):
        return Known(said["pretraining"], licence)
    return Known(found.pretraining, licence, found.certain)


def full_name(name: str) -> str:
    """A repository that somebody may mean by a name without an owner; the first automatic one when nothing is near."""
    short = name.lower().replace("-", "").replace("_", "")
    if short.removeprefix("resnet") in _RESNETS:
        return f"microsoft/resnet-{short.removeprefix('resnet')}"
    return next((full for word, full in _REPOSITORIES if short.startswith(word)), AUTOMATIC[0])


def _look_up(hub_id: str) -> Known:
    owner, _, model = hub_id.lower().rpartition("/")
    for publisher, words, known in _FAMILIES:
        if owner == publisher and all(word in model for word in words):
            tuned = any(word in model for word in _FINE_TUNED)
            return Known("labels", known.licence) if tuned else known
    return Known("labels", UNKNOWN, certain=False)


def _read_card(card: Path) -> dict[str, str]:
    """Plain `key: value` lines of a model card's front matter, as on the hub."""
    try:
        lines = card.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    if not lines or lines[0].strip() != "---" or "---" not in (line.strip() for line in lines[1:]):
        return {}
    found = {}
    for line in lines[1:]:
        if line.strip() == "---":
            break
        key, _, value = line.partition(":")
        if value.strip():
            found[key.strip()] = value.strip().strip("\"'")
    return found
