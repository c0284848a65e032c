"""How a question is to be answered, as the arguments of `Library.search` say it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from sightbook.arguments import count, flag, optional, takes
from sightbook.catalogue.ids import ids_of
from sightbook.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Options(TypedDict, total=False):
    """What every search of `Library` takes by name.

    scan_bits: scan the first bits of each code only, where the model has nested codes, and score the best of them by
    the whole code: faster in large libraries, but a picture may be missed. among: the ids to choose from, where not all
    pictures are meant; those that are not in the library are passed over. fine: None goes by fine codes, too, where the
    library keeps them: the first max(400, 2k) by code are put in the order of both together; False leaves them out.
    """

    scan_bits: int | None
    among: Collection[int] | None
    fine: bool | None


@dataclass(frozen=True, slots=True)
class Request:
    """k: answers to each question; scan_bits: the first bits so many are scanned, None: all; among: ids to choose from,
    ascending, None: all; fine: whether fine codes are gone by, None: where there are such."""

    k: int
    scan_bits: int | None = None
    among: NDArray[np.int64] | None = None
    fine: bool | None = None

    @classmethod
    @takes(k=count, scan_bits=optional(count), fine=optional(flag))
    def of(
        cls,
        k: int,
        *,
        scan_bits: int | None = None,
        among: Collection[int] | None = None,
        fine: bool | None = None,
    ) -> Request:
        """A request by `Options`. ConfigError for what are no ids, and for a choice of pictures by the first bits."""
        if among is not None and scan_bits is not None:
            raise ConfigError("a choice of pictures (among) is searched by whole codes: leave scan_bits out")
        return cls(k, scan_bits, None if among is None else ids_of(among, "among"), fine)
