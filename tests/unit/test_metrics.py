from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.calibration import calibration_curve

from perennial.config import load_model
from perennial.statistics.metrics import METRICS, compute

MODELS = Path(__file__).parents[1] / "models"
DRAWN = np.random.default_rng(7)
LABELS, SCORES = DRAWN.integers(0, 2, 200), DRAWN.random(200)
CLASSES = np.array(["a", "b", "c"], dtype=object)
NAMED, GUESSED = CLASSES[DRAWN.integers(0, 3, 200)], CLASSES[DRAWN.integers(0, 3, 200)]


def test_every_metric_of_every_task_is_computed_on_ordinary_rows() -> None:
    assert set(compute("binary", labels=LABELS, scores=SCORES)) == set(METRICS["binary"])
    assert set(compute("multiclass", labels=NAMED, scores=SCORES, predicted=GUESSED)) == set(METRICS["multiclass"])
    assert set(compute("regression", labels=SCORES, scores=SCORES[::-1])) == set(METRICS["regression"])


def test_figures_are_those_of_hand_counts() -> None:
    labels, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.5, 0.4, 0.9])
    found = compute("binary", labels=labels, scores=scores)
    assert found["roc_auc"] == 0.75
    assert found["accuracy"] == found["balanced_accuracy"] == found["f1"] == 0.5
    assert found["brier"] == pytest.approx((0.01 + 0.25 + 0.36 + 0.01) / 4)
    assert found["log_loss"] == pytest.approx(-np.log([0.9, 0.5, 0.4, 0.9]).mean())


def test_figures_are_those_of_scikit_learn() -> None:
    """Macro recall is ``balanced_accuracy``, and every micro average ``accuracy``: they have no second name."""
    found, guess = compute("binary", labels=LABELS, scores=SCORES), SCORES >= 0.5
    assert found == pytest.approx(
        {
            "roc_auc": metrics.roc_auc_score(LABELS, SCORES),
            "pr_auc": metrics.average_precision_score(LABELS, SCORES),
            "accuracy": metrics.accuracy_score(LABELS, guess),
            "balanced_accuracy": metrics.balanced_accuracy_score(LABELS, guess),
            "precision": metrics.precision_score(LABELS, guess),
            "recall": metrics.recall_score(LABELS, guess),
            "f1": metrics.f1_score(LABELS, guess),
            "log_loss": metrics.log_loss(LABELS, SCORES),
            "brier": metrics.brier_score_loss(LABELS, SCORES),
            "ece": by_bin(LABELS, SCORES),
        }
    )
    found, names = compute("multiclass", labels=NAMED, scores=SCORES, predicted=GUESSED), NAMED.astype(str)
    assert found == pytest.approx(
        {
            "accuracy": metrics.f1_score(names, GUESSED.astype(str), average="micro"),
            "balanced_accuracy": metrics.recall_score(names, GUESSED.astype(str), average="macro"),
            "precision_macro": metrics.precision_score(names, GUESSED.astype(str), average="macro"),
            "f1_macro": metrics.f1_score(names, GUESSED.astype(str), average="macro"),
            "f1_weighted": metrics.f1_score(names, GUESSED.astype(str), average="weighted"),
            "ece": by_bin(NAMED == GUESSED, SCORES),
        }
    )
    labels, residuals = SCORES, SCORES - SCORES[::-1]
    assert compute("regression", labels=labels, scores=SCORES[::-1]) == pytest.approx(
        {
            "r2": metrics.r2_score(labels, SCORES[::-1]),
            "rmse": metrics.root_mean_squared_error(labels, SCORES[::-1]),
            "mae": metrics.mean_absolute_error(labels, SCORES[::-1]),
            "mape": metrics.mean_absolute_percentage_error(labels, SCORES[::-1]),
            "median_absolute_error": metrics.median_absolute_error(labels, SCORES[::-1]),
            "bias": abs(residuals.mean()),
            "residual_q10": np.quantile(residuals, 0.1),
            "residual_q90": np.quantile(residuals, 0.9),
        }
    )


def by_bin(outcomes: np.ndarray, scores: np.ndarray) -> float:
    """The expected calibration error from the curve of scikit-learn, bin by bin."""
    frequency, mean = calibration_curve(outcomes, scores, n_bins=10)
    sizes = np.histogram(scores, bins=np.linspace(0, 1, 11))[0]
    return float((np.abs(frequency - mean) * sizes[sizes > 0]).sum() / len(scores))


def test_a_label_of_zero_leaves_no_percentage_error() -> None:
    assert "mape" not in compute("regression", labels=np.array([0.0, 1.0]), scores=np.array([0.5, 1.0]))


@pytest.mark.parametrize("bad", [np.nan, np.inf, None])
def test_one_missing_value_leaves_no_metric(bad: float | None) -> None:
    scores = SCORES.astype(object)
    scores[3] = bad
    assert compute("binary", labels=LABELS, scores=scores) == {}
    assert compute("regression", labels=SCORES, scores=scores) == {}
    assert compute("regression", labels=scores, scores=SCORES) == {}
    guessed = GUESSED.copy()
    guessed[3] = None
    assert compute("multiclass", labels=NAMED, scores=SCORES, predicted=guessed) == {}


@pytest.mark.parametrize("n_rows", [0, 1])
def test_fewer_than_two_rows_have_no_metric(n_rows: int) -> None:
    assert compute("binary", labels=LABELS[:n_rows], scores=SCORES[:n_rows]) == {}


def test_one_class_has_no_metric_that_compares_classes() -> None:
    found = compute("binary", labels=np.ones(50), scores=SCORES[:50])
    assert set(found) == {"accuracy", "log_loss", "brier", "ece"}
    found = compute("multiclass", labels=np.array(["a"] * 50, object), scores=SCORES[:50], predicted=GUESSED[:50])
    assert set(found) == {"accuracy", "ece"}


def test_scores_that_are_no_probabilities_have_no_log_loss() -> None:
    assert set(compute("binary", labels=LABELS, scores=SCORES * 9)) == set(METRICS["binary"]) - {
        "log_loss",
        "brier",
        "ece",
    }


def test_a_label_out_of_the_declared_classes_leaves_no_metric() -> None:
    assert compute("multiclass", labels=NAMED, scores=SCORES, predicted=GUESSED, classes=["a", "b"]) == {}
    assert compute("binary", labels=LABELS + 1, scores=SCORES) == {}


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="200 labels for 3"):
        compute("binary", labels=LABELS, scores=SCORES[:3])
    with pytest.raises(ValueError, match="give predicted"):
        compute("multiclass", labels=NAMED, scores=SCORES)
    with pytest.raises(ValueError, match="ranking"):
        compute("ranking", labels=LABELS, scores=SCORES)


STRAIGHT = compute("binary", labels=LABELS[:40], scores=SCORES[:40])


@settings(max_examples=20)
@given(st.permutations(range(40)))
def test_row_order_never_matters(order: list[int]) -> None:
    assert compute("binary", labels=LABELS[order], scores=SCORES[order]) == pytest.approx(STRAIGHT, abs=1e-12)


def test_a_loss_is_positive_when_worse_whichever_way_the_metric_points() -> None:
    diabetes, wine = load_model(MODELS / "diabetes_progress"), load_model(MODELS / "wine_cultivar")
    assert diabetes.metric("rmse").loss(60.0, 50.0) == 10.0
    assert diabetes.metric("r2").loss(0.25, 0.5) == 0.25
    assert wine.metric("accuracy").loss(1.0, 0.75) == -0.25
    with pytest.raises(KeyError):
        wine.metric("rmse").loss(1.0, 1.0)
