"""The loss of a step: the terms that the method's function makes of a batch of two views, checked, and their sum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sightbook.errors import ConfigError, SightbookError
from sightbook.learn.methods.batch import Given, ViewBatch
from sightbook.learn.methods.registry import find

Terms = dict[str, Tensor]


def terms_of(batch: ViewBatch, given: Given[Any]) -> Terms:
    """The terms of the method's loss, each a scalar with its weight in it: their sum is the loss.

    ConfigError when a method that was brought along fails, or returns anything else.
    """
    method = find(given.method)
    try:
        found = method.function()(batch, given)
    except SightbookError:
        raise
    except Exception as error:
        if method.built_in:
            raise
        raise ConfigError(
            f"method {given.method!r} of {method.origin} failed ({type(error).__name__}: {error}): correct it; "
            "SIGHTBOOK_DEBUG=1 shows where"
        ) from error
    terms = {given.method: found} if isinstance(found, Tensor) else found
    if isinstance(terms, Mapping) and not terms:
        raise ConfigError(f"every term of method {given.method} has weight 0: nothing would be learned")
    if not isinstance(terms, Mapping) or not all(map(_scalar, terms.values())):
        raise ConfigError(
            f"method {given.method!r} of {method.origin} returned {_describe(terms)}: it must return a scalar "
            "tensor, or one for the name of each term"
        )
    return {str(name): value.to(batch.x) for name, value in terms.items()}


def total(terms: Mapping[str, Tensor]) -> Tensor:
    """The loss: the sum of its terms, in their order."""
    first, *others = terms.values()
    for each in others:
        first = first + each
    return first


def mean_of(parts: list[Terms]) -> Terms:
    """Term by term the mean over parts of a code (a term that a part lacks is 0 there): its total is that of theirs."""
    if len(parts) == 1:
        return parts[0]
    names = dict.fromkeys(name for part in parts for name in part)
    return {
        name: torch.stack([part[name] for part in parts if name in part]).sum() / len(parts) for name in names
    }


def _scalar(value: object) -> bool:
    return isinstance(value, Tensor) and value.ndim == 0


def _describe(found: object) -> str:
    if isinstance(found, Mapping):
        return ", ".join(f"{name}: {_describe(value)}" for name, value in found.items())
    if isinstance(found, Tensor):
        return f"a tensor of shape {tuple(found.shape)}"
    return "nothing" if found is None else f"a {type(found).__name__}"
