"""Trees of scikit-learn compiled by treelite, whose ``gtil`` answers one row in a thirtieth of a millisecond."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.serving.predictors.columns import Floats, Unknown


class Trees:
    """Trees as treelite holds them; what it is pickled to is treelite's own format of them."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def __call__(self, rows: NDArray[np.float64]) -> Floats:
        """Of shape (n, width): shape (n, 1) for a regression and P(1) of two classes, else (n, number of classes)."""
        import treelite

        answers = treelite.gtil.predict(self._model, rows, nthread=1)
        return np.asarray(answers, dtype=np.float64).reshape(len(rows), -1)

    def __reduce__(self) -> Any:
        return _trees_of, (self._model.serialize_bytes(),)


def _trees_of(data: bytes) -> Trees:
    import treelite

    return Trees(treelite.Model.deserialize_bytes(data))


def compiled(estimator: Any) -> Trees:
    """The trees of a fitted estimator. Raises Unknown."""
    import treelite

    try:
        return Trees(treelite.sklearn.import_model(estimator))
    except (treelite.TreeliteError, NotImplementedError, AttributeError, ValueError, TypeError) as error:
        raise Unknown(f"treelite does not take a {type(estimator).__name__}: {error}"[:200]) from error
