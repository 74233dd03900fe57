"""Reads model folders, and says what is wrong with one: file, key, value and what is allowed."""

from datetime import date
from pathlib import Path
from typing import Any

import yaml
from pydantic import (
    ValidationError,
)

from perennial.config.model import ModelConfig
from perennial.errors import ConfigError

_SHOWN = 5
_WORDS = {
    "missing": "is required",
    "extra_forbidden": "no such key; docs/reference/model-yaml.md has them all",
    "timezone_aware": "carries no time zone; write it as 2013-01-01T00:00:00Z",
    "union_tag_not_found": "give its kind (files or table), or the type of a feature (float, int, category or bool)",
    "string_type": "must be text; put it in quotes, as yes, no and numbers need them in YAML",
    "float_type": "must be a number, without quotes; write 1e-9 as 1.0e-9, since YAML takes the former for text",
    "model_type": "must be a mapping of keys to values",
    "dict_type": "must be a mapping of keys to values",
}
"""What to do, where pydantic's own words are about its types and not about the file."""


def _as_written(location: tuple[int | str, ...]) -> list[str]:
    """The parts of a key as they stand in the file: without the kind or type that chose the record."""
    chosen = 2 if location[:1] in (("sources",), ("features",)) and location[2:3] != ("[key]",) else None
    return [str(part) for index, part in enumerate(location) if index != chosen and part != "[key]"]


def _problems(path: Path, error: ValidationError) -> str:
    lines = []
    for found in error.errors()[:_SHOWN]:
        key = ".".join(_as_written(found["loc"])) or "(file)"
        told = str(found["input"]) if isinstance(found["input"], date) else repr(found["input"])
        value = "" if isinstance(found["input"], (dict, list)) else f" = {told}"
        lines.append(f"{path}: {key}{value}: {_WORDS.get(found['type'], found['msg'].removeprefix('Value error, '))}")
    if error.error_count() > _SHOWN:
        lines.append(f"and {error.error_count() - _SHOWN} more")
    return "\n".join(lines)


class _UniqueKeys(yaml.CSafeLoader):
    """The safe loader, refusing a key that stands twice in one mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of ``node``. Raises yaml.constructor.ConstructorError on a repeated key."""
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key is a plain word", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} stands twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def load_model(folder: Path) -> ModelConfig:
    """The model declared in ``folder/model.yaml``. Raises ConfigError naming file, key, value and what is allowed."""
    path = folder / "model.yaml"
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)  # noqa: S506 - a safe loader
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; a model folder holds model.yaml and recipe.py") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date or number that can not be one
        raise ConfigError(f"{path}: not readable as YAML: {error}") from error
    try:
        config = ModelConfig.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(_problems(path, error)) from error
    if config.model != folder.name:
        raise ConfigError(f"{path}: model = {config.model!r}: must be the folder's name, {folder.name!r}")
    if not (folder / "recipe.py").is_file():
        raise ConfigError(f"{folder / 'recipe.py'}: no such file; it builds the unfitted estimator of {config.model}")
    return config


def load_models(models_dir: Path) -> tuple[ModelConfig, ...]:
    """Every model under ``models_dir``, sorted by name. Raises ConfigError with the problems of all files at once."""
    if not models_dir.is_dir():
        raise ConfigError(f"{models_dir}: no such folder; set PERENNIAL_MODELS_DIR or create it")
    configs, problems = [], []
    for folder in sorted(path.parent for path in models_dir.glob("*/model.yaml")):
        try:
            configs.append(load_model(folder))
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return tuple(configs)
