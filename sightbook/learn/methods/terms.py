"""The terms of a method as somebody gave them: names, types and ranges, by the annotations of its own class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Annotated, Any, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

# What most terms are.
Weight = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Temperature = Annotated[float, Field(gt=0)]

# How pydantic calls a fault, up to the first _, and what a value of that type is to people.
_KINDS = {
    "float": "a number",
    "finite": "a number",
    "int": "a whole number",
    "bool": "true or false",
    "string": "a word",
}
_FINITE = ConfigDict(allow_inf_nan=False)


def fill(own: Any, given: Mapping[str, Any], method: str) -> Any:
    """The terms `own` of a method with the values that were given. ValueError names each that is wrong.

    Models of earlier versions name every method's terms; those of other methods are null there.
    """
    names = list(asdict(own))
    foreign = sorted(name for name, value in given.items() if name not in names and value is not None)
    if foreign:
        listed = ", ".join(f"terms.{name}" for name in foreign)
        only = f"it has terms.{', terms.'.join(sorted(names))}" if names else "it has no terms"
        raise ValueError(f"{listed} would do nothing in method {method}: {only}")
    types = get_type_hints(type(own), include_extras=True)
    faults, found = [], {}
    for name in names:
        if name in given:
            try:
                found[name] = _read(given[name], types[name], getattr(own, name))
            except ValueError as error:
                faults.append(f"terms.{name} must be {error}")
    if faults:
        raise ValueError("; ".join(faults))
    return replace(own, **found)


def _read(value: Any, annotation: Any, default: Any) -> Any:
    """The value as its annotation has it. ValueError says what it must be."""
    if isinstance(value, bool) and type(default) in (int, float):
        raise ValueError(f"{_KINDS[type(default).__name__]}, not {value!r}")
    try:
        return TypeAdapter(annotation, config=_FINITE).validate_python(value)
    except ValidationError as error:
        fault = error.errors()[0]
    kind = _KINDS.get(fault["type"].split("_")[0])
    raise ValueError(f"{kind}, not {value!r}" if kind else fault["msg"].removeprefix("Input should be "))
