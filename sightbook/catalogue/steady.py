"""A question to the catalogue whose answer is of one committed state, however many statements it takes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

if TYPE_CHECKING:
    from sightbook.catalogue.catalogue import Catalogue

_T = TypeVar("_T")
_P = ParamSpec("_P")


def steady(
    question: Callable[Concatenate[Catalogue, _P], _T],
) -> Callable[Concatenate[Catalogue, _P], _T]:
    """`question`, asked inside `Catalogue.steadily`."""

    @functools.wraps(question)
    def read(catalogue: Catalogue, /, *arguments: _P.args, **options: _P.kwargs) -> _T:
        return catalogue.steadily(lambda: question(catalogue, *arguments, **options))

    return read
