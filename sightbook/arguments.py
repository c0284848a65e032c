"""What public functions are given, checked in one place: a mistake is a ConfigError that says what, where, what to do.

`@takes(k=count, source=paths)` above a function looks at the arguments that a call gives, before the function begins,
and hands on what they stand for: a generator of paths as a list, an integer of NumPy as an int. A check is a function
of (value, name of the argument). Calls with too few, too many or unknown arguments stay Python's TypeError.
"""

from __future__ import annotations

import errno
import functools
import inspect
import math
import operator
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from sightbook.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

P = ParamSpec("P")
R = TypeVar("R")
Check = Callable[[Any, str], Any]


def takes(**checks: Check) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """The function with these checks on its arguments. What a call leaves out is not looked at."""

    def wrap(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)
        assert checks.keys() <= signature.parameters.keys(), f"{function} has no such arguments"

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            given = signature.bind(*args, **kwargs)
            for name, value in given.arguments.items():
                if name in checks:
                    given.arguments[name] = checks[name](value, name)
            return function(*given.args, **given.kwargs)

        return call

    return wrap


def optional(check: Check) -> Check:
    """The same check, and None, which stands for the default."""
    return lambda value, name: None if value is None else check(value, name)


def model_like(value: Any, name: str) -> Any:
    """A `sightbook.Model`, as it is, or the path of one."""
    from sightbook import Model

    if isinstance(value, Model):
        return value
    if not isinstance(value, str | os.PathLike):
        raise ConfigError(f"{name} is {described(value)}: give a sightbook.Model, or the folder of one")
    return path_like(value, name)


def described(value: object) -> str:
    """A wrong argument in a few words: its kind, and itself where it is short."""
    kind = type(value).__name__
    if value is None or isinstance(value, bool):
        return str(value)
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return (
            f"an array of shape {tuple(value.shape)} and type {value.dtype}"
            if value.shape
            else f"{value} ({kind})"
        )
    if isinstance(value, int | float | complex | str | bytes):
        told = repr(value)
        return f"{told if len(told) <= 40 else told[:37] + '…'} ({kind})"
    return f"a {kind}"


def path_like(value: Any, name: str) -> str:
    """A path, text or os.PathLike, as text. Whether anything is there is for the function to see."""
    found = _path(value, name)
    if not found:
        raise ConfigError(f"{name} is an empty path: name a file or folder (. is the current one)")
    return found


def _path(value: Any, name: str) -> str:
    if not isinstance(value, str | os.PathLike):
        hint = ", os.fsdecode makes one of bytes" if isinstance(value, bytes | bytearray) else ""
        raise ConfigError(f"{name} is {described(value)}: give a path, as text or pathlib.Path{hint}")
    found = os.fspath(value)
    if not isinstance(found, str):
        raise ConfigError(f"{name} is a path of bytes: give it as text (os.fsdecode)")
    try:
        os.lstat(found)
    except UnicodeEncodeError:
        raise ConfigError(
            f"{name} is {described(found)}, which is no name of a file: check the path"
        ) from None
    except ValueError:
        raise ConfigError(
            f"{name} holds a character 0, which no name of a file has: check the path"
        ) from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise ConfigError(f"{name} is longer than the file system allows: {described(found)}") from None
    return str(found)


def paths(value: Any, name: str) -> list[str]:
    """One path or any number of them (a list, a generator, an array of texts) as a list. Sources: an empty one has a
    sentence of its own."""
    if isinstance(value, str | os.PathLike):
        return [_path(value, name)]
    return [_path(each, f"{name}[{i}]") for i, each in enumerate(_several(value, name, "a path"))]


def texts(value: Any, name: str) -> list[str]:
    """One text or any number of them as a list."""
    if isinstance(value, str):
        return [str(value)]
    return [text(each, f"{name}[{i}]") for i, each in enumerate(_several(value, name, "a text"))]


def _several(value: Any, name: str, what: str) -> list[Any]:
    single = isinstance(value, bytes | bytearray | memoryview | Mapping) or hasattr(value, "read")
    if single or not isinstance(value, Iterable) or getattr(value, "shape", None) == ():
        raise ConfigError(f"{name} is {described(value)}: give {what}, or a list of such")
    return list(value)


def text(value: Any, name: str) -> str:
    """A text."""
    if not isinstance(value, str):
        raise ConfigError(f"{name} is {described(value)}: give a text")
    return str(value)


def whole(value: Any, name: str, least: int | None = None) -> int:
    """A whole number, of Python or NumPy, from `least` on. True and False are none."""
    asked = "a whole number" if least is None else f"a whole number, {least} or more"
    single = getattr(value, "shape", ()) == () and getattr(getattr(value, "dtype", None), "kind", "i") in "iu"
    try:
        if isinstance(value, bool) or not single:
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise ConfigError(f"{name} is {described(value)}: give {asked}") from None
    if least is not None and number < least:
        raise ConfigError(f"{name} is {number}: give {asked}")
    if abs(number) > 2**63 - 1:
        raise ConfigError(f"{name} is {described(number)}: this is more than a number of 64 bits holds")
    return number


def count(value: Any, name: str) -> int:
    """A whole number of 1 or more."""
    return whole(value, name, 1)


def number(value: Any, name: str) -> float:
    """A finite number."""
    plain = getattr(value, "shape", ()) == () and not isinstance(value, bool | str | bytes)
    try:
        if not plain or getattr(getattr(value, "dtype", None), "kind", "f") not in "fiu":
            raise TypeError
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(f"{name} is {described(value)}: give a number") from None
    if not math.isfinite(found):
        raise ConfigError(f"{name} is {found}: give a finite number")
    return found


def flag(value: Any, name: str) -> bool:
    """True or False, of Python or NumPy."""
    if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    raise ConfigError(f"{name} is {described(value)}: give True or False")


def mapping(value: Any, name: str) -> Mapping[str, Any]:
    """A mapping whose keys are texts."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ConfigError(
            f"{name} is {described(value)}: give a dict with names as keys, for example {{'tau': 0.2}}"
        )
    return value


def function(value: Any, name: str) -> Any:
    """Anything that can be called."""
    if not callable(value):
        raise ConfigError(f"{name} is {described(value)}: give a function of one event (sightbook.progress)")
    return value


def array(value: Any, name: str, shape: tuple[int | str, ...], kinds: str = "fiu") -> NDArray[Any]:
    """An array, or nested lists of one, of that shape, a letter standing for any length; kinds: those of its dtype, f
    floats, i and u integers."""
    import numpy as np

    asked = (
        f"give an array ({', '.join(map(str, shape))}) of {'numbers' if 'f' in kinds else 'whole numbers'}"
    )
    try:
        found = np.asarray(value)
    except Exception:  # lists of different lengths; whatever a foreign __array__ raises
        raise ConfigError(f"{name} is {described(value)} that makes no array: {asked}") from None
    fits = len(found.shape) == len(shape) and all(
        isinstance(wanted, str) or wanted == length for wanted, length in zip(shape, found.shape, strict=True)
    )
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ConfigError(
            f"{name} holds values that are masked: leave those rows out, or fill them in (`filled`)"
        )
    if not fits or found.dtype.kind not in kinds:
        raise ConfigError(f"{name} is {described(found if found.dtype.kind in 'fiub' else value)}: {asked}")
    return found


def as_rows(value: Any) -> Any:
    """One vector (F,), an array or a list of numbers, as (1, F); anything else as it is."""
    import numpy as np

    try:
        found = np.asanyarray(value)  # a mask stays
    except Exception:  # whoever looks at it next says what it is
        return value
    return found[None] if found.ndim == 1 and found.dtype.kind in "fiu" else found


def finite(values: NDArray[Any], name: str) -> NDArray[Any]:
    """Numbers as float32. ConfigError where one is not finite."""
    import numpy as np

    found = np.asarray(values, np.float32)
    if not np.isfinite(found).all():
        raise ConfigError(f"{name} holds numbers that are not finite (NaN or infinite): leave those rows out")
    return found
