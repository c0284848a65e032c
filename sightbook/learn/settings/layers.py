"""Settings before they are checked: plain nested mappings, from YAML files and `key=value`, laid over each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from sightbook.errors import ConfigError

Settings = Mapping[str, Any]
# Settings that hold settings.
SECTIONS = ("backbone", "features", "optimizer", "views", "terms")


def parse_setting(text: str) -> dict[str, Any]:
    """`views.crop_min=0.3` → {'views': {'crop_min': 0.3}}; the value is read as YAML."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {text!r} is not of the form key=value, for example --set tau=0.2")
    try:
        parsed = yaml.safe_load(value)
    except (yaml.YAMLError, ValueError):
        raise ConfigError(
            f"--set {text!r}: the value cannot be read, write it as in YAML, for example 0.2 or frozen"
        ) from None
    return parse_path(key.strip(), parsed)


def parse_path(key: str, value: Any) -> dict[str, Any]:
    """('views.hue', 0.1) → {'views': {'hue': 0.1}}."""
    for part in reversed(key.split(".")):
        value = {part: value}
    result: dict[str, Any] = value
    return result


def read_file(path: Path) -> dict[str, Any]:
    """A YAML file of settings, as `--config` takes it."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}): give the path of a YAML file") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that is none, text that is not UTF-8
        raise ConfigError(f"{path} is not YAML ({str(error).splitlines()[0]}): correct it") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must hold settings as key: value lines")
    try:
        check_sections(content)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    return content


def check_sections(settings: Settings) -> None:
    """ConfigError for a word where a section belongs, and for a name that is no text (YAML reads `on:` as a truth
    value): what is chosen by the settings goes by their names."""
    for name in SECTIONS:
        if not isinstance(settings.get(name, {}), Mapping):
            raise ConfigError(not_a_section(name))
    for key in (key for section in (settings, *map(settings.get, SECTIONS)) for key in section or ()):
        if not isinstance(key, str):
            raise ConfigError(
                f"{key!r} is not a setting: their names are texts, see docs/commands.md for the list"
            )


def not_a_section(name: str) -> str:
    """What to do where a section was given a value."""
    network = ", or --backbone vit, resnet or a pretrained one" if name == "backbone" else ""
    return f"{name} is a section of settings: write {name}.NAME=VALUE{network}"


def merge(*layers: Settings) -> dict[str, Any]:
    """Nested mappings laid over each other, later ones win; the inputs stay as they are."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            below = result.get(key)
            if isinstance(value, Mapping):
                result[key] = merge(below if isinstance(below, Mapping) else {}, value)
            else:
                result[key] = value
    return result
