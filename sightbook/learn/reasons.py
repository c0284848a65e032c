"""What training chose by itself, and why: one sentence each, for those who ask before they train."""

from __future__ import annotations

from collections.abc import Mapping

from sightbook.config import TrainConfig
from sightbook.learn.choice import Choice
from sightbook.model.builtin import BUILTIN
from sightbook.papers import PAPERS
from sightbook.presets import WIDE_FROM
from sightbook.words import counted, verb


def reasons(
    config: TrainConfig, choice: Choice, *, preset: str | None, shorter: int, pictures: int
) -> list[str]:
    """What `choice`, which has its own sentences, leaves open. preset: as the command named it; shorter: median shorter
    side of the pictures in pixels; pictures: how many there are."""
    asked = choice.asked
    section = asked.get("backbone")
    network = config.backbone.name or config.backbone.kind
    found = []
    if preset is None and "preset" not in asked and not config.closed_form:
        found.append(f"preset {config.preset}: the shorter side of the pictures is {shorter} pixels (median)")
    if config.backbone.name and "size" not in asked:
        whose = "the built-in network" if network == BUILTIN else "the backbone"
        found.append(f"size {config.size}: what {whose} was made for")
    if "method" not in asked:
        kept = config.backbone.train == "head"
        why = "nothing of the backbone is trained" if kept else "the default where a network learns"
        found.append(f"method {config.method}: {why}")
    elif config.closed_form and not (isinstance(section, Mapping) and "train" in section):
        found.append(f"backbone.train head: method {config.method} trains nothing of the backbone")
    frozen = config.backbone.train == "head" and not config.closed_form
    if frozen and not {"K", "M"} & set(asked) and config.quantizer == "kmeans":
        are = f"{counted(pictures, 'picture')} {verb(pictures, 'are')}"
        enough = "enough" if config.K == 256 else "too few"
        found.append(f"K {config.K}: {are} {enough} for 256 codewords (from {WIDE_FROM} on)")
    if config.preset == "paper":
        found += _of_paper(config)
    if not config.closed_form and not {"minutes", "epochs"} & set(asked):
        found.append(f"minutes {config.minutes:g}: neither minutes nor epochs were given")
    if config.closed_form and config.nested:
        shorter_codes = ", ".join(map(str, config.nested))
        found.append(f"nested {shorter_codes}: a code in closed form has them in any case")
    return found


def _of_paper(config: TrainConfig) -> list[str]:
    """What a reader of the method's paper must know of `--preset paper`."""
    paper = PAPERS.get(config.method)
    if paper is None:
        return []  # of a method that was brought along
    found = [f"preset paper, {config.method}: {one}" for one in paper.instead]
    if paper.untold:
        found.append(f"preset paper: not published, so our own values: {', '.join(paper.untold)}")
    if paper.epochs is not None:
        found.append(f"preset paper: the paper trains for {paper.epochs:,} epochs (--epochs {paper.epochs})")
    return found
