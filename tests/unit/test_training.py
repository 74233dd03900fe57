from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from conftest import TEST_MODELS
from logs import day
from perennial.config import ModelConfig, load_model
from perennial.errors import IntegrityError, TrainingError
from perennial.evidence.answers import Answers
from perennial.evidence.stretches import MOST_STRIDES, holdout_ends
from perennial.registry.scoring import features_frame, score
from perennial.registry.trust import check_types
from perennial.registry.versions import folder_digest
from perennial.training import importance
from perennial.training.drawn.plots import figures
from perennial.training.fit import signature
from perennial.training.fitting.folds import fold_answers, summed_up
from perennial.training.fitting.process import _plain
from perennial.training.fitting.recipe import blame, build_estimator
from perennial.training.importance import feature_importance
from perennial.training.rows import labels_of, pick
from published import tumour_rows


@pytest.fixture(scope="module")
def tumour() -> ModelConfig:
    return load_model(TEST_MODELS / "tumour_malignant")


def arrow_rows(n_rows: int, seed: int = 1) -> pa.Table:
    frame = tumour_rows(n_rows, seed)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    times = pa.array([day(0).start + timedelta(seconds=i) for i in range(n_rows)], pa.timestamp("us", "UTC"))
    return table.append_column("event_time", times)


def fitted(config: ModelConfig, table: pa.Table) -> object:
    path = TEST_MODELS / config.model / "recipe.py"
    model = build_estimator(path, seed=1, params=config.training.params)
    return model.fit(features_frame(config, table), labels_of(config, table))


def test_features_come_as_float64_and_as_text_without_nulls(tumour: ModelConfig) -> None:
    table = pa.table(
        {
            "screened": pa.array([True, None, False]),
            "clinic": pa.array(["east", None, "north"]),
            "n_visits": pa.array([1, None, 3], pa.int64()),
            **{name: pa.array([0.5, None, 1.0]) for name in ("mean_radius", "mean_texture", "mean_smoothness")},
        }
    )
    frame = features_frame(tumour, table)
    assert list(frame.columns) == list(tumour.features)
    assert frame["screened"].tolist() == ["true", "(missing)", "false"]
    assert frame["clinic"].tolist() == ["east", "(missing)", "north"]
    assert frame["n_visits"].dtype == np.float64
    assert np.isnan(frame["n_visits"][1])
    assert {str(frame[name].dtype) for name in tumour.categories} == {"str"}


def test_a_column_of_nothing_but_nulls_has_the_same_types(tumour: ModelConfig) -> None:
    full = features_frame(tumour, arrow_rows(5))
    empty = features_frame(tumour, pa.table({name: pa.nulls(3) for name in tumour.features}))
    assert empty.dtypes.tolist() == full.dtypes.tolist()
    assert features_frame(tumour, arrow_rows(5).slice(0, 0)).dtypes.tolist() == full.dtypes.tolist()


def test_a_row_scores_the_same_alone_and_among_others(tumour: ModelConfig) -> None:
    table = arrow_rows(300)
    model = fitted(tumour, table)
    together, _ = score(tumour, model, table)
    alone = np.concatenate([score(tumour, model, table.slice(i, 1))[0] for i in range(40)])
    assert np.array_equal(together[:40], alone)


def test_missing_feature_columns_are_refused_by_name(tumour: ModelConfig) -> None:
    with pytest.raises(IntegrityError, match="mean_radius"):
        features_frame(tumour, arrow_rows(5).drop_columns(["mean_radius"]))


def test_a_model_fitted_before_a_feature_was_added_still_scores(tumour: ModelConfig) -> None:
    table = arrow_rows(200)
    older = tumour.model_copy(update={"features": {k: v for k, v in tumour.features.items() if k != "n_visits"}})
    model = fitted(older, table)
    assert np.array_equal(score(tumour, model, table)[0], score(older, model, table)[0])
    with pytest.raises(IntegrityError, match="needs n_visits"):
        score(older, fitted(tumour, table), table)


def test_a_model_of_other_classes_is_refused(tumour: ModelConfig) -> None:
    table = arrow_rows(200)
    other = table.set_column(table.column_names.index("label"), "label", pa.array(np.arange(200.0) % 2 + 1))
    with pytest.raises(IntegrityError, match=r"knows the classes \['1', '2'\]"):
        score(tumour, fitted(tumour, other), table)


def test_answers_that_are_nan_are_refused() -> None:
    class Blank:
        def predict(self, _: object) -> list[float]:
            return [float("nan")]

    config = load_model(TEST_MODELS / "diabetes_progress")
    table = pa.table({name: pa.array(["one"] if name == "sex" else [0.0]) for name in config.features})
    with pytest.raises(IntegrityError, match="1 of 1 answers of the model are NaN"):
        score(config, Blank(), table)


def test_folds_lie_after_what_was_fitted_for_them_and_one_class_pasts_are_left_out(tumour: ModelConfig) -> None:
    table = arrow_rows(300).sort_by("label")

    def build() -> object:
        return build_estimator(TEST_MODELS / "tumour_malignant" / "recipe.py", seed=1, params={"max_iter": 5})

    def cross_validated(rows: pa.Table) -> dict[str, float]:
        return summed_up(tumour, list(fold_answers(tumour, build, rows, 3)))

    assert cross_validated(arrow_rows(300))["cv_folds"] == 3
    sorted_by_label = cross_validated(table)
    assert sorted_by_label["cv_folds"] < 3
    assert all(np.isfinite(value) for value in sorted_by_label.values())


def test_the_configuration_survives_its_way_to_the_worker() -> None:
    for folder in sorted(TEST_MODELS.iterdir()):
        config = load_model(folder)
        assert ModelConfig.model_validate(_plain(config)) == config


def test_a_holdout_ends_where_labels_are_due_and_walks_back_by_their_delay(tumour: ModelConfig) -> None:
    ends = list(holdout_ends(tumour, day(9).end))
    assert ends[0] == day(9).end - tumour.label.delay
    assert {a - b for a, b in pairwise(ends)} == {tumour.label.delay}
    assert ends[-1] <= day(9).end - tumour.label.max_wait - tumour.training.holdout


def test_a_short_delay_walks_back_as_far_in_bounded_steps(tumour: ModelConfig) -> None:
    quick = tumour.model_copy(update={"label": tumour.label.model_copy(update={"delay": timedelta(minutes=1)})})
    ends = list(holdout_ends(quick, day(9).end, further=timedelta(days=20)))
    assert ends[0] == day(9).end - timedelta(minutes=1)
    assert len(ends) == MOST_STRIDES
    assert ends[-1] < day(9).end - tumour.label.max_wait - timedelta(days=20)


def test_a_sample_is_bounded_ascending_and_the_same_again() -> None:
    found = pick(1000, 50, seed=3)
    assert len(found) == 50
    assert np.array_equal(found, pick(1000, 50, seed=3))
    assert np.all(np.diff(found) > 0)
    assert pick(10, 50, seed=3).tolist() == list(range(10))


def test_the_digest_of_a_folder_depends_on_names_and_bytes(tmp_path: Path) -> None:
    def digest(**files: str) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        return folder_digest(folder)

    base = digest(a="1", b="2")
    assert base == digest(b="2", a="1")
    assert len({base, digest(a="2", b="1"), digest(a="12", b=""), digest(a="1"), digest(a="1", c="2")}) == 5


def test_types_beyond_both_lists_are_refused_by_name() -> None:
    check_types(["sklearn.tree._tree.Tree", "mine.Own"], ["mine.Own"], what="m")
    with pytest.raises(IntegrityError, match=r"not trusted: os\.system.*training\.trusted_types"):
        check_types(["os.system", "mine.Own"], ["mine.Own"], what="m")


def test_an_error_of_a_recipe_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "recipe.py"
    path.write_text("def build(*, seed):\n    raise ValueError('no')\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no") as caught:
        build_estimator(path, seed=1, params={})
    assert blame(path, caught.value) == f"{path}:2: ValueError: no"


def test_importance_is_a_distribution_or_unknown(tumour: ModelConfig) -> None:
    table = arrow_rows(300)
    shares = feature_importance(tumour, fitted(tumour, table), table)
    assert shares is not None
    assert sum(shares.values()) == pytest.approx(1)
    assert min(shares.values()) >= 0
    assert max(shares, key=shares.__getitem__) == "mean_radius"
    one_class = table.filter(pa.compute.equal(table.column("label"), 1.0))
    assert feature_importance(tumour, fitted(tumour, table), one_class) is None


def test_a_model_that_uses_nothing_gives_every_feature_the_same_weight(tumour: ModelConfig) -> None:
    from sklearn.dummy import DummyClassifier

    table = arrow_rows(100)
    blind = DummyClassifier().fit(features_frame(tumour, table), labels_of(tumour, table))
    shares = feature_importance(tumour, blind, table)
    assert shares == {name: pytest.approx(1 / 6) for name in tumour.features}


@pytest.mark.parametrize(
    ("labels", "drawn"),
    [
        ([0, 1, 1], {"confusion.png", "roc.png", "precision_recall.png", "calibration.png"}),
        ([1, 1, 1], {"confusion.png"}),
        ([], set()),
    ],
)
def test_what_can_not_be_drawn_is_left_out(tumour: ModelConfig, labels: list[int], drawn: set[str]) -> None:
    n_rows = len(labels)
    answers = Answers(
        times=np.zeros(n_rows, "datetime64[us]"),
        labels=np.array(labels),
        scores=np.linspace(0.1, 0.9, n_rows),
        predicted=None,
    )
    assert set(figures(tumour, answers)) == drawn


def test_the_signature_takes_nulls_in_every_number(tumour: ModelConfig) -> None:
    columns = {column["name"]: column["type"] for column in signature(tumour).inputs.to_dict()}
    assert columns["n_visits"] == "double"
    assert columns["screened"] == "string"


@pytest.mark.parametrize("body", ["raise SystemExit(3)", "1 / 0", "yes no"])
def test_whatever_a_recipe_does_is_blamed_on_its_second_line(tmp_path: Path, body: str) -> None:
    path = tmp_path / "recipe.py"
    path.write_text(f"def build(*, seed):\n    {body}\n", encoding="utf-8")
    with pytest.raises((SystemExit, ZeroDivisionError, SyntaxError)) as caught:
        build_estimator(path, seed=1, params={})
    assert blame(path, caught.value).startswith(f"{path}:2: ")


def test_a_recipe_without_build_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recipe.py").write_text("x = 1\n", encoding="utf-8")
    with pytest.raises(TrainingError, match="defines no function build"):
        build_estimator(tmp_path / "recipe.py", seed=1, params={})


def test_importance_is_the_same_by_any_number_of_threads(tumour: ModelConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    table = arrow_rows(300)
    model = fitted(tumour, table)
    found = []
    for threads in (1, 2):
        monkeypatch.setattr(importance, "THREADS", threads)
        found.append(importance.feature_importance(tumour, model, table))
    assert found[0] == found[1]
