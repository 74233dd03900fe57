"""``recipe.py`` and its like: found by their paths, never through ``sys.path``."""

import hashlib
import importlib.util
import inspect
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perennial.config import ModelConfig
from perennial.contracts import digest_of
from perennial.errors import TrainingError, redacted


@dataclass(frozen=True, slots=True)
class FrozenRecipe:
    """A copy of a recipe that nobody edits, where it came from, and the SHA-256 of its bytes (64 hex digits)."""

    copy: Path
    original: Path
    digest: str


def freeze_recipe(model_folder: Path, folder: Path, name: str) -> FrozenRecipe:
    """Copy a recipe of a model below ``folder``. Raises TrainingError when there is none."""
    original = (model_folder / name).resolve()
    try:
        code = original.read_bytes()
    except OSError as error:
        raise TrainingError(f"{original}: not readable: {error}") from error
    copy = folder / "recipe" / name
    copy.parent.mkdir(exist_ok=True)
    copy.write_bytes(code)
    return FrozenRecipe(copy, original, hashlib.sha256(code).hexdigest())


def freeze_recipes(model_folder: Path, folder: Path, names: Iterable[str]) -> tuple[FrozenRecipe, ...]:
    """The same of several, in their order."""
    return tuple(freeze_recipe(model_folder, folder, name) for name in names)


def digest_of_all(recipes: Iterable[FrozenRecipe]) -> str:
    """What recipes are known by together: one by its own digest, several by theirs and their names.

    >>> one, other = (FrozenRecipe(Path(name), Path(name), name * 2) for name in "ab")
    >>> digest_of_all([one]), digest_of_all([one, other]) == digest_of_all([other, one])
    ('aa', False)
    """
    digests = [(recipe.copy.name, recipe.digest) for recipe in recipes]
    return digests[0][1] if len(digests) == 1 else digest_of("recipes", *digests)


def build_estimator(path: Path, *, seed: int, params: dict[str, str | int | float | bool]) -> Any:
    """The unfitted estimator that ``build(seed=..., **params)`` of the file makes.

    Raises TrainingError when the file has no ``build`` or it returns no estimator; whatever the recipe raises passes.
    """
    estimator = _read_build(path)(seed=seed, **params)
    if not hasattr(estimator, "fit"):
        raise TrainingError(f"{path}: build returns {type(estimator).__name__}, not an unfitted estimator")
    return estimator


def takes(path: Path, names: Iterable[str]) -> set[str]:
    """Those of ``names`` that ``build`` of the file takes as keyword arguments. Raises as :func:`build_estimator`."""
    parameters = inspect.signature(_read_build(path)).parameters
    if any(known.kind is known.VAR_KEYWORD for known in parameters.values()):
        return set(names)
    return {name for name in names if name in parameters}


def params_of(config: ModelConfig, path: Path) -> dict[str, str | int | float | bool]:
    """What ``build`` of a recipe gets besides the seed: all of ``training.params``, or, where the model has several
    recipes, those that this one takes. Raises as :func:`build_estimator`.
    """
    params = config.training.params
    if len(config.training.recipes) == 1:
        return dict(params)
    taken = takes(path, params)
    return {name: value for name, value in params.items() if name in taken}


def _read_build(path: Path) -> Callable[..., Any]:
    spec = importlib.util.spec_from_file_location(f"perennial_recipe_{path.parent.name}", path)
    if spec is None or spec.loader is None:
        raise TrainingError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    build: Callable[..., Any] | None = getattr(module, "build", None)
    if not callable(build):
        raise TrainingError(f"{path}: defines no function build(*, seed, ...) that returns an unfitted estimator")
    return build


def blame(path: Path, error: BaseException, *, shown: Path | None = None) -> str:
    """The error with the recipe's file and the last line of it that was under way; the file alone when none was.

    ``shown`` is the name to show where ``path`` is only a copy.

    >>> blame(Path("recipe.py"), ValueError("no such\\nthing"))
    'recipe.py: ValueError: no such thing'
    >>> blame(Path("recipe.py"), OSError("s3://KEY:SECRET@bucket/extra.csv: denied"))
    'recipe.py: OSError: s3://***@bucket/extra.csv: denied'
    >>> from sklearn.exceptions import ConvergenceWarning
    >>> blame(Path("recipe.py"), ConvergenceWarning("max_iter was reached"))
    'recipe.py: the fit did not converge: max_iter was reached'
    """
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    if isinstance(error, SyntaxError) and error.filename == str(path):
        lines.append(error.lineno)
    name = shown or path
    where = f"{name}:{lines[-1]}" if lines else str(name)
    what = type(error).__name__
    what = "the fit did not converge" if what == "ConvergenceWarning" else what
    return redacted(f"{where}: {what}: {' '.join(str(error).split())}")[:1000]
