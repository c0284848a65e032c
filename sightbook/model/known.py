"""What is known of pretrained models by their names: how they were trained, and under which licence they come.

Facts from the models' own cards; a name that is not here is taken for trained with labels, licence unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sightbook.model import builtin

UNKNOWN = "unknown, look it up"
# Tried in this order by --backbone auto: permissive licences, trained without labels, small enough for a CPU.
AUTOMATIC = ("facebook/dinov2-small", "facebook/dinov2-with-registers-small", "facebook/dino-vits16")


@dataclass(frozen=True)
class Known:
    """`pretraining`: self-supervised or labels (captions count as labels: people wrote them)."""

    pretraining: str
    licence: str


# The first whose words are all in the name's last part counts.
_FAMILIES: tuple[tuple[tuple[str, ...], Known], ...] = (
    (
        ("dinov3",),
        Known("self-supervised", "DINOv3 License (its own terms; permits commercial use under conditions)"),
    ),
    (("dinov2", "imagenet1k"), Known("labels", "Apache-2.0")),
    (("dinov2",), Known("self-supervised", "Apache-2.0")),
    (("dino-",), Known("self-supervised", "Apache-2.0")),
    (("dino_",), Known("self-supervised", "Apache-2.0")),
    (("mae", "finetuned"), Known("labels", "Apache-2.0")),
    (("vit-mae",), Known("self-supervised", "Apache-2.0")),
    (("vit-msn",), Known("self-supervised", "Apache-2.0")),
    (("ijepa",), Known("self-supervised", "CC-BY-NC-4.0 (not for commercial use)")),
    (("beit-base-patch16-224-pt22k",), Known("self-supervised", "Apache-2.0")),
    (("beit",), Known("labels", "Apache-2.0")),
    (("clip-vit",), Known("labels", "MIT")),
    (("siglip",), Known("labels", "Apache-2.0")),
    (("deit",), Known("labels", "Apache-2.0")),
    (("vit-",), Known("labels", "Apache-2.0")),
    (("resnet-",), Known("labels", "Apache-2.0")),
    (("convnextv2",), Known("labels", "Apache-2.0")),
    (("convnext",), Known("labels", "Apache-2.0")),
    (("swin",), Known("labels", "Apache-2.0")),
    (("mobilenet",), Known("labels", "Apache-2.0")),
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


def of(name: str) -> Known:
    """What is known of a hub name or a local folder, whose README.md tells its licence when it has one."""
    if name == builtin.BUILTIN:
        ours = builtin.read()
        return Known(ours.pretraining, ours.licence)
    last = Path(name).name.lower()
    found = Known("labels", UNKNOWN)
    for words, known in _FAMILIES:
        if all(word in last for word in words):
            found = known
            break
    if any(word in last for word in _FINE_TUNED):
        found = Known("labels", found.licence)
    told = _licence_in(Path(name) / "README.md")
    return Known(found.pretraining, told) if told else found


def full_name(name: str) -> str:
    """A repository that somebody may mean by a name without an owner; the first automatic one when nothing is near."""
    short = name.lower().replace("-", "").replace("_", "")
    if short.removeprefix("resnet") in _RESNETS:
        return f"microsoft/resnet-{short.removeprefix('resnet')}"
    return next((full for word, full in _REPOSITORIES if short.startswith(word)), AUTOMATIC[0])


def _licence_in(card: Path) -> str | None:
    """The `license:` of a model card's front matter, as on the hub."""
    try:
        lines = card.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    if not lines or lines[0].strip() != "---":
        return None
    for line in lines[1:]:
        if line.strip() == "---":
            return None
        key, _, value = line.partition(":")
        if key.strip() == "license" and value.strip():
            return value.strip().strip("\"'")
    return None
