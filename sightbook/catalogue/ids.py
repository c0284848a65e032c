"""Ids as users hand them over: whole numbers of Python or NumPy; never truth values, which would be ids 0 and 1."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sightbook.arguments import described
from sightbook.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LARGEST = 2**63 - 1


def ids_of(given: Iterable[Any], name: str) -> NDArray[np.int64]:
    """The ids, ascending, each once. ConfigError for what are no ids."""
    import numpy as np

    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise ConfigError(
            f"{name} is {type(given).__name__}: give ids of pictures, such as `Hit.id`, in a list"
        )
    if isinstance(given, np.ndarray):
        _check_type(given.dtype, name)
        if given.dtype.kind in "iu" and given.ndim == 1 and (not len(given) or given.max() <= _LARGEST):
            return np.unique(given.astype(np.int64))
    return np.unique(np.array([id_of(each, name) for each in given], np.int64))


def id_of(given: Any, name: str) -> int:
    """One id. ConfigError when it is none."""
    import numpy as np

    if isinstance(given, np.ndarray) and given.ndim == 0:
        given = given[()]
    if isinstance(given, bool | np.bool_):
        _check_type(np.dtype(bool), name)
    if not isinstance(given, int | np.integer) or abs(int(given)) > _LARGEST:
        raise ConfigError(
            f"{name} holds {described(given)}, which is no id: ids are whole numbers, such as `Hit.id`"
        )
    return int(given)


def is_number(given: Any) -> bool:
    """Whether it is a number or truth value of Python or NumPy, so that an id is meant, rightly or not."""
    import numpy as np

    return isinstance(given, int | float | np.generic) and not isinstance(given, str | bytes)


def _check_type(dtype: np.dtype[Any], name: str) -> None:
    if dtype.kind == "b":
        raise ConfigError(
            f"{name} holds truth values (a mask), and ids are meant: give the ids for which it is true, as by "
            "`ids[mask]`"
        )
