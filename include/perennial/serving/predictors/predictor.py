"""What answers: a version's pipeline, or its arrays and compiled trees where those are proven to say the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from perennial.config import ModelConfig
from perennial.errors import IntegrityError
from perennial.registry.scoring import own_threshold, score
from perennial.serving.predictors.columns import Block, Columns, Floats, Unknown, blocks_of, matrix
from perennial.serving.predictors.samples import ARROW, sample
from perennial.serving.predictors.trees import Trees, compiled

Words = Sequence[str] | None
Answers = tuple[list[float], Words]
"""Scores, and the predicted classes as text for multiclass."""
N_COMPARED, N_ALONE = 400, 20


@dataclass(frozen=True, slots=True)
class Pipelined:
    """The pipeline as it was fitted, asked as every part of the house asks it (``perennial.registry.score``)."""

    config: ModelConfig
    model: Any

    def __call__(self, columns: Columns) -> Answers:
        """The answers for n rows. Raises IntegrityError for a model that raises, or answers NaN."""
        scores, predicted = score(self.config, self.model, table_of(self.config, columns))
        return scores.tolist(), None if predicted is None else predicted.tolist()


@dataclass(frozen=True, slots=True)
class Arrayed:
    """The same from arrays. ``answer`` takes the matrix: compiled trees, or the last step of the pipeline."""

    task: Literal["binary", "multiclass", "regression"]
    classes: tuple[str, ...]
    blocks: tuple[Block, ...]
    answer: Any

    def __call__(self, columns: Columns) -> Answers:
        """The answers for n rows. Raises IntegrityError where one is NaN or infinite."""
        found: Floats = self.answer(matrix(self.blocks, columns))
        if not np.isfinite(found).all():
            raise IntegrityError("the model answers NaN or infinity")
        if self.task == "regression":
            return found.reshape(-1).tolist(), None
        if self.task == "binary":
            return found[:, -1].tolist(), None
        best = found.argmax(axis=1)
        return found.max(axis=1).tolist(), [self.classes[place] for place in best]


@dataclass(frozen=True, slots=True)
class Last:
    """The last step of a pipeline, asked without a frame."""

    estimator: Any
    is_regression: bool

    def __call__(self, rows: Floats) -> Floats:
        """Values, or a probability for each class."""
        ask = self.estimator.predict if self.is_regression else self.estimator.predict_proba
        return np.asarray(ask(rows), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Built:
    """A predictor, its kind (``trees``, ``arrays`` or ``pipeline``), and why it is nothing faster; empty for trees.

    ``threshold`` is from which score on a binary version predicts the positive class; None where it was told none.
    """

    predictor: Pipelined | Arrayed
    kind: Literal["trees", "arrays", "pipeline"]
    why: str
    threshold: float | None = None

    def words(self, config: ModelConfig, scores: Sequence[float], predicted: Words) -> Words:
        """The predicted classes as the log has them, by the version's own threshold if any; None for a regression."""
        if config.task != "binary":
            return predicted
        threshold = config.label.decision_threshold if self.threshold is None else self.threshold
        return ["1" if score >= threshold else "0" for score in scores]


def build(config: ModelConfig, model: Any, *, seed: int = 0) -> Built:
    """The fastest predictor that answers as the pipeline does, within ``signoff.max_parity_gap`` on made-up rows.

    Raises IntegrityError when the version itself does not fit ``model.yaml``, or can not answer such rows.
    """
    slow = Pipelined(config, model)
    columns = sample(config, N_COMPARED, seed=seed)
    expected = slow(columns)
    reasons: list[str] = []
    threshold = own_threshold(model) if config.task == "binary" else None
    kinds: tuple[Literal["trees", "arrays"], ...] = ("trees", "arrays")
    for kind in kinds:
        try:
            fast = _arrayed(config, model, with_trees=kind == "trees")
            if gap := _gap(config, fast, columns, expected):
                raise Unknown(gap)
            return Built(fast, kind, "; ".join(reasons), threshold)
        except Unknown as error:
            reasons.append(f"{kind}: {error}")
        except Exception as error:  # what is only a shortcut must not keep a version from serving
            reasons.append(f"{kind}: {type(error).__name__}: {error}"[:300])
    return Built(slow, "pipeline", "; ".join(reasons), threshold)


def _arrayed(config: ModelConfig, model: Any, *, with_trees: bool) -> Arrayed:
    from sklearn.frozen import FrozenEstimator
    from sklearn.pipeline import Pipeline

    if isinstance(frozen := getattr(model, "estimator_", None), FrozenEstimator):
        model = frozen.estimator  # under a threshold, which changes no score
    if type(model) is not Pipeline or len(model.steps) != 2:  # noqa: PLR2004 - columns, and what answers
        raise Unknown(f"a {type(model).__name__} of another form than columns, model")
    (_, transformer), (_, last) = model.steps
    blocks = blocks_of(config, transformer)
    is_regression = config.task == "regression"
    answer: Trees | Last = compiled(last) if with_trees else Last(last, is_regression)
    classes = () if is_regression else tuple(str(name) for name in last.classes_)
    return Arrayed(config.task, classes, blocks, answer)


def _gap(config: ModelConfig, fast: Arrayed, columns: Columns, expected: Answers) -> str:
    """In what the answers differ, all rows at once and one by one; empty when in nothing that counts."""
    scores, predicted = expected
    tried = [(fast(columns), scores, predicted)]
    for place in range(N_ALONE):
        alone = fast([values[place : place + 1] for values in columns])
        tried.append((alone, scores[place : place + 1], None if predicted is None else predicted[place : place + 1]))
    for (found, classes), wanted, named in tried:
        largest = float(np.abs(np.subtract(found, wanted)).max())
        if not largest <= config.signoff.max_parity_gap * max(1.0, float(np.abs(wanted).max())):
            return f"its answers differ by up to {largest:.3g}"
        if (classes is None) != (named is None) or (classes is not None and list(classes) != list(named or ())):
            return "it predicts other classes"
    return ""


def table_of(config: ModelConfig, columns: Columns) -> pa.Table:
    """The columns with their types in the store."""
    return pa.table(
        {
            name: pa.array(values, type=ARROW[spec.type])
            for (name, spec), values in zip(config.features.items(), columns, strict=True)
        }
    )


def import_what_answers() -> None:
    """Before requests come: an import in the thread that takes a version over would hold them up."""
    for name in ("pandas", "sklearn.compose", "sklearn.ensemble", "sklearn.linear_model", "treelite"):
        import_module(name)
