"""A threshold that is tuned on folds, kept in the version, and used wherever its predicted class counts."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import skops.io as sio
from sklearn.metrics import accuracy_score, f1_score

from conftest import TEST_MODELS
from logs import day
from perennial.bake.measuring import bake_signals
from perennial.config import ModelConfig, load_model
from perennial.config.training.threshold import deciding_by as config_by
from perennial.contracts import LedgerEntry, Subject, Window, to_record
from perennial.evidence.answers import Answers
from perennial.evidence.maturity import Coverage
from perennial.ledger.fold import fold
from perennial.registry.scoring import own_threshold, score
from perennial.registry.trust import read_model
from perennial.training.fitting.threshold import deciding_by, tuned_threshold
from perennial.training.fitting.worker import fit_recipe
from published import tumour_rows

SCIKIT = {"f1": lambda truth, said: f1_score(truth, said, zero_division=0), "accuracy": accuracy_score}


def told(metric: str, declared: float = 0.5) -> ModelConfig:
    config = config_by(load_model(TEST_MODELS / "tumour_malignant"), declared)
    return config.model_copy(update={"training": config.training.model_copy(update={"tune_threshold": metric})})


def fold_of(seed: int, n_rows: int = 150) -> Answers:
    rng = np.random.default_rng(seed)
    labels = (rng.random(n_rows) < 0.15).astype(np.int64)
    return Answers(labels=labels, scores=np.clip(rng.normal(0.2 + 0.2 * labels, 0.1), 0, 1).round(2))


@pytest.mark.parametrize("metric", SCIKIT)
def test_no_threshold_does_better_over_the_folds_by_scikit_learns_own_figures(metric: str) -> None:
    folds = [fold_of(seed) for seed in range(3)]
    found = tuned_threshold(told(metric), folds)

    def mean(threshold: float) -> float:
        return float(np.mean([SCIKIT[metric](fold.labels, fold.scores >= threshold) for fold in folds]))

    every = np.unique(np.concatenate([fold.scores for fold in folds]))
    assert mean(found) == pytest.approx(max(mean(threshold) for threshold in every))
    assert mean(found) > mean(0.5)


def test_of_equal_thresholds_the_nearest_to_the_declared_one_holds() -> None:
    fold = Answers(labels=np.array([0, 0, 1, 1]), scores=np.array([0.1, 0.2, 0.6, 0.7]))
    assert tuned_threshold(told("f1", declared=0.4), [fold]) == 0.4
    assert tuned_threshold(told("f1", declared=0.65), [fold]) == 0.6
    twice = Answers(labels=np.array([1, 0, 1]), scores=np.array([0.3, 0.5, 0.6]))  # as good from 0.3 as from 0.6 on
    assert tuned_threshold(told("accuracy", declared=0.62), [twice]) == 0.6


def test_the_version_answers_by_it_and_is_kept_and_loaded_without_a_word_of_trust(tmp_path: Path) -> None:
    config = told("f1")
    table = pa.Table.from_pandas(tumour_rows(200, 1), preserve_index=False)
    model = fit_recipe(config, TEST_MODELS / config.model / "recipe.py", table)
    sio.dump(deciding_by(model, 0.2), tmp_path / "model.skops")
    loaded = read_model(tmp_path / "model.skops", trusted_types=[], what="the model")
    assert (own_threshold(model), own_threshold(loaded)) == (None, 0.2)
    assert np.array_equal(score(config, loaded, table)[0], score(config, model, table)[0])


def test_figures_are_made_by_the_threshold_of_the_answers_and_rows_of_them_keep_it() -> None:
    config = told("f1")
    answers = Answers(labels=np.array([0, 1, 1]), scores=np.array([0.1, 0.3, 0.6]), threshold=0.3)
    assert answers.metrics(config)["f1"] == 1.0
    assert replace(answers, threshold=None).metrics(config)["f1"] == pytest.approx(2 / 3)
    assert answers.rows(np.array([True, True, True])).metrics(config)["accuracy"] == 1.0


def test_the_ledger_says_by_which_threshold_a_version_decides_and_one_of_before_by_the_declared() -> None:
    def promotion(version: str, **payload: object) -> LedgerEntry:
        stretches = {"train": to_record(day(0)), "holdout": to_record(day(1))}
        return LedgerEntry(
            entry_id=version, model="m", kind="promotion", at=day(2).end, actor="a", reason="", version=version,
            payload={**stretches, **payload},
        )  # fmt: skip

    state = fold("m", [promotion("1"), promotion("2", threshold=None), promotion("3", threshold=0.2)])
    assert [state.threshold_of(version, 0.5) for version in ("1", "2", "3", "4", None)] == [0.5, 0.5, 0.2, 0.5, 0.5]


def test_in_a_bake_each_version_is_judged_by_its_own() -> None:
    config = told("f1", declared=0.2)
    config = config.model_copy(update={"bake": config.bake.model_copy(update={"metric": "accuracy", "bound": 0.4})})
    n_rows, window = 200, Window(start=day(0).start, end=day(0).end)
    labels = np.arange(n_rows) % 2
    times = [window.start + (window.end - window.start) * number / n_rows for number in range(n_rows)]
    rows = pa.table(
        {
            "event_time": pa.array(times, pa.timestamp("us", "UTC")),
            "label": labels.astype(float),
            "score": np.where(labels == 1, 0.3, 0.1),
            "predicted": pa.nulls(n_rows, pa.string()),
        }
    )
    coverage = Coverage(
        window=window, n_rows=n_rows, n_labelled=n_rows, n_by_champion=n_rows, n_by_champion_labelled=n_rows
    )
    theirs = np.where(labels == 1, 0.9, 0.4)
    deficits = [
        list(
            bake_signals(
                config,
                Subject.of_run(config.model, window, "2"),
                coverage,
                rows,
                stable="1",
                stable_threshold=threshold,
                answer=lambda *_: (theirs, None),
            )
        )
        for threshold in (0.5, 0.2)
    ]
    assert [signal.value for signal in deficits[0]] == [1.0, 0.0]
    assert [signal.value for signal in deficits[1]] == [1.0, -0.5]
