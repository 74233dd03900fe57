"""``recipe.py``: found by its path, never through ``sys.path``."""

import hashlib
import importlib.util
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perennial.errors import TrainingError

RECIPE = "recipe.py"


@dataclass(frozen=True, slots=True)
class FrozenRecipe:
    """A copy of a recipe that nobody edits, where it came from, and the SHA-256 of its bytes (64 hex digits)."""

    copy: Path
    original: Path
    digest: str


def freeze_recipe(model_folder: Path, folder: Path) -> FrozenRecipe:
    """Copy the recipe of a model below ``folder``. Raises TrainingError when there is none."""
    original = (model_folder / RECIPE).resolve()
    try:
        code = original.read_bytes()
    except OSError as error:
        raise TrainingError(f"{original}: not readable: {error}") from error
    copy = folder / "recipe" / RECIPE
    copy.parent.mkdir()
    copy.write_bytes(code)
    return FrozenRecipe(copy, original, hashlib.sha256(code).hexdigest())


def build_estimator(path: Path, *, seed: int, params: dict[str, str | int | float | bool]) -> Any:
    """The unfitted estimator that ``build(seed=..., **params)`` of the file makes.

    Raises TrainingError when the file has no ``build`` or it returns no estimator; whatever the recipe raises passes.
    """
    spec = importlib.util.spec_from_file_location(f"perennial_recipe_{path.parent.name}", path)
    if spec is None or spec.loader is None:
        raise TrainingError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    build = getattr(module, "build", None)
    if not callable(build):
        raise TrainingError(f"{path}: defines no function build(*, seed, ...) that returns an unfitted estimator")
    estimator = build(seed=seed, **params)
    if not hasattr(estimator, "fit"):
        raise TrainingError(f"{path}: build returns {type(estimator).__name__}, not an unfitted estimator")
    return estimator


def blame(path: Path, error: BaseException, *, shown: Path | None = None) -> str:
    """The error with the recipe's file and the last line of it that was under way; the file alone when none was.

    ``shown`` is the name to show where ``path`` is only a copy.

    >>> blame(Path("recipe.py"), ValueError("no such\\nthing"))
    'recipe.py: ValueError: no such thing'
    """
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    if isinstance(error, SyntaxError) and error.filename == str(path):
        lines.append(error.lineno)
    name = shown or path
    where = f"{name}:{lines[-1]}" if lines else str(name)
    return f"{where}: {type(error).__name__}: {' '.join(str(error).split())}"[:1000]
