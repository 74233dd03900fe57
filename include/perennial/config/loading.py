"""Reads model folders, and says what is wrong with one: file, key, value and what is allowed."""

from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import (
    ValidationError,
)
from pydantic_core import ErrorDetails

from perennial.config.model import ModelConfig
from perennial.config.notify.declared import HIDDEN
from perennial.errors import ConfigError

_SHOWN = 5
_MISTAKEN = ("model.yml", "model.YAML", "Model.yaml", "model.json")
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
    lines = [line for found in error.errors() for line in _lines(path, found)]
    more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return "\n".join([*lines[:_SHOWN], *more])


def _lines(path: Path, found: ErrorDetails) -> list[str]:
    """One line for a key; of the whole file one for each contradiction, which names its keys itself."""
    words = _WORDS.get(found["type"], found["msg"].removeprefix("Value error, "))
    if not found["loc"] and found["type"] == "value_error":
        return [f"{path}: {line}" for line in words.split("\n")]
    shown = str(found["input"]) if isinstance(found["input"], date) else repr(found["input"])
    unsaid = isinstance(found["input"], (dict, list)) or found["type"] == HIDDEN
    value = "" if unsaid else f" = {shown}"
    return [f"{path}: {'.'.join(_as_written(found['loc'])) or '(file)'}{value}: {words}"]


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


@lru_cache(maxsize=1024)
def _parsed(text: str) -> ModelConfig:
    """The model that a text declares: the same text is read once a process, however many DAG files ask for it."""
    return ModelConfig.model_validate(yaml.load(text, Loader=_UniqueKeys))  # noqa: S506 - a safe loader


def load_model(folder: Path) -> ModelConfig:
    """The model declared in ``folder/model.yaml``. Raises ConfigError naming file, key, value and what is allowed."""
    path = folder / "model.yaml"
    try:
        config = _parsed(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; a model folder holds model.yaml and recipe.py") from None
    except ValidationError as error:
        hides = any(found["type"] == HIDDEN for found in error.errors())  # which the error itself would show
        raise ConfigError(_problems(path, error)) from None if hides else error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date or number that can not be one
        raise ConfigError(f"{path}: not readable as YAML: {error}") from error
    if config.model != folder.name:
        raise ConfigError(f"{path}: model = {config.model!r}: must be the folder's name, {folder.name!r}")
    for name in config.training.recipes:
        if not (folder / name).is_file():
            raise ConfigError(f"{folder / name}: no such file; it builds the unfitted estimator of {config.model}")
    return config


def read_models(models_dir: Path) -> tuple[tuple[ModelConfig, ...], tuple[str, ...]]:
    """The sound models under ``models_dir``, sorted by name, and what is wrong with every other folder.

    Raises ConfigError when there is no such folder.
    """
    if not models_dir.is_dir():
        raise ConfigError(f"{models_dir}: no such folder; set PERENNIAL_MODELS_DIR or create it")
    configs, problems = [], []
    for folder in sorted(path for path in models_dir.iterdir() if path.is_dir()):
        try:
            if (folder / "model.yaml").exists():
                configs.append(load_model(folder))
            elif mistaken := [name for name in _MISTAKEN if (folder / name).exists()]:
                problems.append(f"{folder / mistaken[0]}: call it model.yaml: under this name it is no model's")
        except ConfigError as error:
            problems.append(str(error))
    return tuple(configs), tuple(problems)


def load_models(models_dir: Path) -> tuple[ModelConfig, ...]:
    """Every model under ``models_dir``, sorted by name. Raises ConfigError with the problems of all files at once."""
    configs, problems = read_models(models_dir)
    if problems:
        raise ConfigError("\n".join(problems))
    return configs
