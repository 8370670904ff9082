"""From TOML to a TrainConfig and back. What is not understood is named, never passed over."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from model_store.affectsrnet.config import AffectSRNetConfig
from training.config.faces import DataConfig
from training.config.run import TrainConfig
from training.config.tasks import LandmarkTaskConfig
from training.errors import ConfigError

Section = TypeVar("Section")


def load_config(path: Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read a run's TOML file and apply ``section.key=value`` overrides (values in TOML syntax).

    Raises:
        ConfigError: the file cannot be read, or a key or value is not understood.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read config {path}: {error}") from error
    for override in overrides:
        _apply_override(document, override)
    return parse_config(document)


def parse_config(document: Mapping[str, object]) -> TrainConfig:
    """Build a TrainConfig from parsed TOML; the inverse of :func:`config_document`.

    Raises:
        ConfigError: an unknown or missing key, or a value of the wrong kind.
    """
    return parse_section(TrainConfig, _with_moved_keys(document), where="config")


def parse_section(cls: type[Section], document: Mapping[str, object], *, where: str) -> Section:
    """Build a frozen dataclass from a parsed TOML section; ``where`` is what errors call it.

    Raises:
        ConfigError: an unknown or missing key, or a value of the wrong kind.
    """
    parsed = _build(cls, document, where=where)
    assert isinstance(parsed, cls)
    return parsed


def config_document(config: TrainConfig) -> dict[str, object]:
    """Return the configuration as plain values, for checkpoints and manifests."""
    document = asdict(config)
    if not isinstance(config.task, LandmarkTaskConfig):
        document["task"]["network"]["architecture"] = config.task.network.architecture
    return document


def _apply_override(document: dict[str, object], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator:
        raise ConfigError(f"override {override!r} is not of the form section.key=value")
    try:
        value: object = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *sections, name = key.strip().split(".")
    node = document
    for section in sections:
        child = node.setdefault(section, {})
        if not isinstance(child, dict):
            raise ConfigError(f"override {override!r}: {section} is no section")
        node = child
    node[name] = value


def _with_moved_keys(document: Mapping[str, object]) -> Mapping[str, object]:
    """Move task.pixel_loss, which was the only term once, to where terms are now."""
    task = document.get("task")
    if not isinstance(task, Mapping) or "pixel_loss" not in task or "loss" in task:
        return document
    rest = {key: value for key, value in task.items() if key != "pixel_loss"}
    return {**document, "task": {**rest, "loss": {"pixel": task["pixel_loss"]}}}


def _build(cls: type, document: object, *, where: str) -> object:
    if not isinstance(document, Mapping):
        raise ConfigError(f"{where} is {document!r}; it must be a section")
    known = {f.name: f for f in fields(cls)}
    unknown = sorted(set(document) - set(known))
    if unknown:
        raise ConfigError(f"{where}: unknown key {', '.join(unknown)}; known: {', '.join(known)}")
    missing = [
        name
        for name, f in known.items()
        if name not in document and f.default is MISSING and f.default_factory is MISSING
    ]
    if missing:
        raise ConfigError(f"{where}: missing key {', '.join(missing)}")
    hints = get_type_hints(cls)
    values = {
        name: _convert(hints[name], value, where=f"{where}.{name}")
        for name, value in document.items()
    }
    try:
        built: object = cls(**values)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error
    return built


def _convert(hint: object, value: object, *, where: str) -> object:
    origin = get_origin(hint)
    if origin in (Union, UnionType) and NoneType in get_args(hint):
        inner, *_ = (kind for kind in get_args(hint) if kind is not NoneType)
        return None if value is None else _convert(inner, value, where=where)
    if origin in (Union, UnionType):
        return _build_one_of(get_args(hint), value, where=where)
    if isinstance(hint, type) and is_dataclass(hint):
        return _build(hint, value, where=where)
    if origin is Literal:
        if value not in get_args(hint):
            raise ConfigError(f"{where} is {value!r}; it must be one of {get_args(hint)}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where} is {value!r}; it must be a list")
        inner = get_args(hint)[0]
        return tuple(_convert(inner, item, where=where) for item in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(hint, type) or type(value) is not hint:
        expected = getattr(hint, "__name__", str(hint))
        raise ConfigError(f"{where} is {value!r}; it must be a {expected}")
    return value


def _build_one_of(classes: Sequence[type], section: object, *, where: str) -> object:
    """Build the class that a section names: by its kind, a network by its architecture."""
    if not isinstance(section, Mapping):
        raise ConfigError(f"{where} is {section!r}; it must be a section")
    key = "architecture" if all(hasattr(cls, "architecture") for cls in classes) else "kind"
    known = {getattr(cls, key): cls for cls in classes}
    # Configurations from before there was a choice do not say which.
    implied = (getattr(cls, key) for cls in classes if cls in (AffectSRNetConfig, DataConfig))
    name = section.get(key, next(implied, None))
    if name not in known:
        raise ConfigError(f"{where}.{key} is {name!r}; it must be one of {', '.join(known)}")
    values = {k: v for k, v in section.items() if k != key}
    return _build(known[name], values, where=where)
