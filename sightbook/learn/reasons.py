"""What training chose by itself, and why: one sentence each, for those who ask before they train."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sightbook.config import TrainConfig
from sightbook.model.builtin import BUILTIN
from sightbook.presets import WIDE_FROM


def reasons(
    config: TrainConfig,
    asked: Mapping[str, Any],
    *,
    preset: str | None,
    backbone: str | None,
    shorter: int,
    pictures: int,
) -> list[str]:
    """asked: the user's own settings; preset, backbone: as the command named them; shorter: median shorter side of the
    pictures in pixels; pictures: how many there are."""
    section = asked.get("backbone")
    named = isinstance(section, Mapping) and {"kind", "name"} & set(section)
    network = config.backbone.name or config.backbone.kind
    found = []
    if preset is None and "preset" not in asked and not config.closed_form:
        found.append(f"preset {config.preset}: the shorter side of the pictures is {shorter} pixels (median)")
    if backbone == "auto":
        why = (
            "what --backbone auto found"
            if config.backbone.name
            else "--backbone auto found no pretrained one"
        )
        found.append(f"backbone {network}: {why}")
    elif backbone is None and not named:
        found.append(f"backbone {network}: none was named")
    if config.backbone.name and "size" not in asked:
        whose = "the built-in network" if network == BUILTIN else "the backbone"
        found.append(f"size {config.size}: what {whose} was made for")
    if "method" not in asked:
        why = (
            "nothing of the backbone is trained"
            if config.closed_form
            else "the default where a network learns"
        )
        found.append(f"method {config.method}: {why}")
    elif config.closed_form and not (isinstance(section, Mapping) and "train" in section):
        found.append(f"backbone.train head: method {config.method} trains nothing of the backbone")
    frozen = config.backbone.train == "head" and not config.closed_form
    if frozen and not {"K", "M"} & set(asked) and config.quantizer == "kmeans":
        enough = "enough" if config.K == 256 else "too few"
        found.append(
            f"K {config.K}: {pictures:,} pictures are {enough} for 256 codewords (from {WIDE_FROM} on)"
        )
    if not config.closed_form and not {"minutes", "epochs"} & set(asked):
        found.append(f"minutes {config.minutes:g}: neither minutes nor epochs were given")
    if config.closed_form and config.nested:
        shorter_codes = ", ".join(map(str, config.nested))
        found.append(f"nested {shorter_codes}: a code in closed form has them in any case")
    return found
