"""Trees of scikit-learn compiled by treelite, whose ``gtil`` answers one row in a thirtieth of a millisecond."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.serving.predictors.columns import Floats, Unknown


class Trees:
    """Trees as treelite holds them; what it is pickled to is treelite's own format of them.

    The softmax of boosted trees is ours: that of ``gtil`` 4.8 is right to 5e-8 only.
    """

    def __init__(self, model: Any, *, softmax: bool) -> None:
        self._model, self._softmax = model, softmax

    def __call__(self, rows: NDArray[np.float64]) -> Floats:
        """Of shape (n, width): shape (n, 1) for a regression and P(1) of two classes, else (n, number of classes)."""
        import treelite

        found = treelite.gtil.predict(self._model, rows, nthread=1, pred_margin=self._softmax)
        answers = np.asarray(found, dtype=np.float64).reshape(len(rows), -1)
        if self._softmax:
            answers = np.exp(answers - answers.max(axis=1, keepdims=True))
            answers /= answers.sum(axis=1, keepdims=True)
        return answers

    def __reduce__(self) -> Any:
        return _trees_of, (self._model.serialize_bytes(), self._softmax)


def _trees_of(data: bytes, softmax: bool) -> Trees:
    import treelite

    return Trees(treelite.Model.deserialize_bytes(data), softmax=softmax)


def compiled(estimator: Any) -> Trees:
    """The trees of a fitted estimator. Raises Unknown."""
    import treelite
    from sklearn.ensemble import HistGradientBoostingClassifier

    softmax = type(estimator) is HistGradientBoostingClassifier and len(estimator.classes_) > 2  # noqa: PLR2004
    try:
        return Trees(treelite.sklearn.import_model(estimator), softmax=softmax)
    except (treelite.TreeliteError, NotImplementedError, AttributeError, ValueError, TypeError) as error:
        raise Unknown(f"treelite does not take a {type(estimator).__name__}: {error}"[:200]) from error
