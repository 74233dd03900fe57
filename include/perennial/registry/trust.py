"""Reading a model's file without running code of its author: skops with our own list of trusted types.

Imports nothing of MLflow: the process that runs a recipe needs this, and waits for every import.
"""

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from perennial.errors import IntegrityError, first_of
from perennial.registry.skops_imports import sio

MODEL_FILE = "model.skops"

TRUSTED_TYPES = (
    # plain numbers in Cython records: the trees of scikit-learn, which skops leaves to us
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
    # chooses columns by their type
    "sklearn.compose._column_transformer.make_column_selector",
    # the type of an array, as encoders and imputers keep it
    "numpy.dtype",
    # a partial runs nothing when it is made, and the function inside it must be trusted by its own name: histogram
    # gradient boosting keeps check_array in one when it is told of categories
    "functools.partial",
    "sklearn.utils.validation.check_array",
    # a calibrated classifier is an estimator and, of each class, two numbers or an isotonic regression
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    # a spline is its knots and coefficients, and keeps the function by which it makes arrays of what it is asked
    "scipy.interpolate._bsplines.BSpline",
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
)
"""What scikit-learn's common estimators hold beyond skops' own list, and what is harmless to make.

A model that needs more names it under ``training.trusted_types`` in its ``model.yaml``.
"""


def read_model(path: Path, *, trusted_types: Iterable[str], what: str) -> Any:
    """The estimator in a skops file. Raises IntegrityError naming the types that are not trusted."""
    if not path.is_file():
        raise IntegrityError(
            f"{what} holds no {MODEL_FILE}; other formats run code when they are loaded, and are never loaded. "
            "Register it through a retrain"
        )
    trusted = [*TRUSTED_TYPES, *trusted_types]
    try:
        check_types(sio.get_untrusted_types(file=path), trusted, what=what)
        return sio.load(path, trusted=trusted)
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError, ModuleNotFoundError, AttributeError) as error:
        raise IntegrityError(f"{what}: {MODEL_FILE} is not readable: {type(error).__name__}: {error}"[:500]) from error


def check_types(found: Iterable[str], trusted: Iterable[str], *, what: str) -> None:
    """Raises IntegrityError when a type of a model is neither known to be harmless nor listed by its owner."""
    foreign = sorted(set(found) - set(trusted) - set(TRUSTED_TYPES))
    if foreign:
        raise IntegrityError(
            f"{what} holds types that are not trusted: {first_of(foreign)}. If they are harmless, list them under "
            "training.trusted_types in model.yaml; if you do not know them, do not load this model"
        )
