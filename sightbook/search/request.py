"""How a question is to be answered, as the arguments of `Library.search` say it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sightbook.catalogue.ids import ids_of
from sightbook.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Request:
    """k: answers to each question; scan_bits: the first bits so many are scanned, None: all; among: ids to choose from,
    ascending, None: all; fine: whether fine codes are gone by, None: where there are such."""

    k: int
    scan_bits: int | None = None
    among: NDArray[np.int64] | None = None
    fine: bool | None = None

    @classmethod
    def of(cls, k: int, scan_bits: int | None, among: Collection[int] | None, fine: bool | None) -> Request:
        """ConfigError for what are no ids, and for a choice of pictures by the first bits."""
        if among is not None and scan_bits is not None:
            raise ConfigError("a choice of pictures (among) is searched by whole codes: leave scan_bits out")
        return cls(k, scan_bits, None if among is None else ids_of(among, "among"), fine)
