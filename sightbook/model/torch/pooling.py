"""One vector from the last hidden state of a vision model: (B, T, F) tokens or (B, F, H, W) map → features (B, F)."""

from __future__ import annotations

from torch import Tensor

from sightbook.errors import ConfigError

_POWER, _LEAST = 3.0, 1e-6


def pool(hidden: Tensor, how: str, leading: int) -> Tensor:
    """hidden (B, T, F) or (B, F, H, W) → (B, F).

    mean, rms and gem look at patches or places only, not at the `leading` tokens. gem is the generalized mean
    (mean of x³)^⅓ over positive parts (Radenović, Tolias, Chum 2018): between mean and maximum; rms the one of squares.
    """
    if how == "class":
        return hidden[:, 0]
    places, over = (hidden[:, leading:], (1,)) if hidden.ndim == 3 else (hidden, (2, 3))
    if how == "mean":
        return places.mean(over)
    if how == "rms":
        return places.square().mean(over).clamp(min=_LEAST**2).sqrt()
    return places.clamp(min=_LEAST).pow(_POWER).mean(over).pow(1.0 / _POWER)


def check(how: str) -> str:
    """A pooling as config.json tells it; older models say map or tokens, which is the mean of all there is."""
    if how not in ("class", "mean", "rms", "gem", "map", "tokens"):
        raise ConfigError(f"pooling {how!r} is unknown: update sightbook, or train again")
    return "mean" if how in ("map", "tokens") else how
