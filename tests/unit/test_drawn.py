"""What is drawn of a candidate: attributions that add up whatever the recipe, and a curve within its budget."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import TEST_MODELS
from logs import day
from perennial.config import ModelConfig, load_model
from perennial.errors import IntegrityError
from perennial.registry.scoring import features_frame, score, score_class
from perennial.training.drawn import attributions as drawn
from perennial.training.drawn.attributions import attributions
from perennial.training.drawn.learning import SHARES, Point, learning_curve
from perennial.training.drawn.plots import figures, learning_figure
from perennial.training.fitting.curve import curve_of
from perennial.training.fitting.recipe import build_estimator
from perennial.training.rows import labels_of
from published import tumour_rows

TUMOUR = load_model(TEST_MODELS / "tumour_malignant")


def rows_of(n_rows: int, seed: int = 1) -> pa.Table:
    table = pa.Table.from_pandas(tumour_rows(n_rows, seed), preserve_index=False)
    return table.append_column("event_time", pa.array([day(0).start] * n_rows, pa.timestamp("us", "UTC")))


def build(config: ModelConfig = TUMOUR) -> object:
    return build_estimator(TEST_MODELS / config.model / "recipe.py", seed=1, params={"max_iter": 5})


@pytest.fixture(scope="module")
def model() -> object:
    """Histogram gradient boosting over numbers and categories, which SHAP explains wrongly."""
    table = rows_of(300)
    return build().fit(features_frame(TUMOUR, table), labels_of(TUMOUR, table))


def test_the_parts_of_an_answer_lead_from_the_mean_of_other_rows_to_it(
    model: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawn, "MOST_ROWS", 8)
    monkeypatch.setattr(drawn, "MOST_OTHERS", 10)  # as many as there are walks: each begins at each of them
    others = rows_of(10, seed=3)
    found = attributions(TUMOUR, model, rows_of(8, seed=2), others)
    assert found is not None
    answers, base = score(TUMOUR, model, rows_of(8, seed=2))[0], score(TUMOUR, model, others)[0].mean()
    assert found.parts.shape == (8, len(TUMOUR.features))
    assert np.allclose(found.parts.sum(axis=1), answers - base)
    assert found.error > 0
    assert set(found.heaviest) == set(TUMOUR.features)
    again = attributions(TUMOUR, model, rows_of(8, seed=2), others)
    assert again is not None
    assert np.array_equal(again.parts, found.parts)


def test_what_the_model_does_not_look_at_adds_nothing_and_what_it_looks_at_alone_adds_all() -> None:
    class Radius:
        classes_ = np.array([0, 1])

        def predict_proba(self, frame):
            chance = self.seen(frame["mean_radius"]) / 100
            return np.stack([1 - chance, chance], axis=1)

        def seen(self, radius):
            return radius.fillna(10).to_numpy()

    class NoMissing(Radius):
        def seen(self, radius):
            return radius.to_numpy()

    assert attributions(TUMOUR, NoMissing(), rows_of(20), rows_of(20, seed=2)) is None, "it answers NaN"
    found = attributions(TUMOUR, Radius(), rows_of(20), rows_of(20, seed=2))
    assert found is not None
    place = list(TUMOUR.features).index("mean_radius")
    assert np.allclose(np.delete(found.parts, place, axis=1), 0, atol=1e-12)
    assert found.heaviest[0] == "mean_radius"
    assert np.abs(found.parts[:, place]).max() > 0


def test_a_model_that_answers_otherwise_each_time_is_not_explained_and_no_rows_explain_nothing(model: object) -> None:
    class Moody:
        classes_, seen = np.array([0, 1]), np.random.default_rng(1)

        def predict_proba(self, frame):
            chance = self.seen.uniform(size=len(frame))
            return np.stack([1 - chance, chance], axis=1)

    assert attributions(TUMOUR, Moody(), rows_of(3), rows_of(3)) is None
    assert attributions(TUMOUR, model, rows_of(3).slice(0, 0), rows_of(3)) is None
    assert attributions(TUMOUR, model, rows_of(3), rows_of(3).slice(0, 0)) is None


def test_of_a_multiclass_model_each_row_has_the_chance_of_a_class_of_its_own() -> None:
    class Cellar:
        classes_ = np.array(["barolo", "grignolino", "barbera"])

        def predict_proba(self, frame):
            return np.tile([0.5, 0.3, 0.2], (len(frame), 1))

    wine = load_model(TEST_MODELS / "wine_cultivar")
    frame = features_frame(wine, pa.table({name: pa.nulls(2) for name in wine.features}))
    assert score_class(wine, Cellar(), frame, np.array(["barbera", "barolo"])).tolist() == [0.2, 0.5]
    assert score_class(wine, Cellar(), frame, "grignolino").tolist() == [0.3, 0.3]
    with pytest.raises(IntegrityError, match="not 'merlot'"):
        score_class(wine, Cellar(), frame, np.array(["barolo", "merlot"]))


def test_the_picture_has_a_point_for_every_row_and_feature_the_heaviest_on_top(model: object) -> None:
    from perennial.evidence.answers import Answers

    table = rows_of(12, seed=2)
    found = attributions(TUMOUR, model, table, rows_of(10, seed=3))
    answers = Answers(labels=labels_of(TUMOUR, table), scores=score(TUMOUR, model, table)[0])
    axes = figures(TUMOUR, answers, None, found)["attributions.png"].axes[0]
    assert sum(len(points.get_offsets()) for points in axes.collections) == 12 * len(TUMOUR.features)
    assert found is not None
    assert axes.get_yticklabels()[-1].get_text() == found.heaviest[0]


class Bill:
    """A clock that a fit on n rows moves by ``cost(n)``."""

    def __init__(self, cost) -> None:
        self.cost, self.now, self.tried = cost, 0.0, []

    def fit(self, n_rows: int) -> tuple[float, float]:
        self.now += self.cost(n_rows)
        self.tried.append(n_rows)
        return 0.9, 0.5 + n_rows / 1e6

    def clock(self) -> float:
        return self.now


@given(n_rows=st.integers(160, 100_000), budget_s=st.floats(0, 500), per_row=st.floats(1e-4, 0.01))
def test_a_curve_keeps_its_budget_and_uses_it(n_rows: int, budget_s: float, per_row: float) -> None:
    bill = Bill(lambda n: n * per_row)
    points = learning_curve(n_rows, bill.fit, budget_s=budget_s, clock=bill.clock)
    first = n_rows * SHARES[0] * per_row
    assert bill.now <= max(budget_s, first) * 1.05 + 2 * per_row
    assert points == () or len(points) == len(bill.tried) > 1
    assert [point.n_rows for point in points] == sorted({point.n_rows for point in points})
    if budget_s > 2.1 * n_rows * per_row:
        assert points[-1].n_rows == n_rows


def test_no_budget_is_no_fit_and_a_fit_that_raises_is_no_point() -> None:
    bill = Bill(lambda _: 1.0)
    assert learning_curve(1600, bill.fit, budget_s=0.0, clock=bill.clock) == ()
    assert bill.tried == []

    def stumbles(n_rows: int) -> tuple[float, float]:
        bill.fit(n_rows)
        if n_rows == 200:
            raise ValueError("one class")
        return 0.9, 0.5

    assert [one.n_rows for one in learning_curve(1600, stumbles, budget_s=99, clock=bill.clock)] == [
        100, 400, 800, 1600,
    ]  # fmt: skip


def test_the_worker_fits_on_the_newest_rows_before_those_that_it_judges_by() -> None:
    table = rows_of(320)
    place = table.column_names.index("mean_radius")
    numbered = table.set_column(place, "mean_radius", pa.array(np.arange(320.0)))
    fitted_on: list[tuple[float, float]] = []

    class Witness:
        def fit(self, frame, labels):
            fitted_on.append((frame["mean_radius"].min(), frame["mean_radius"].max()))
            return build().fit(frame, labels)

    curve_of(TUMOUR, Witness, numbered, 1e9)
    assert fitted_on == [(240.0 - n_rows, 239.0) for n_rows in (15, 30, 60, 120, 240)]


def test_a_curve_has_a_point_for_each_share_with_both_its_figures() -> None:
    table = rows_of(320)
    found = curve_of(TUMOUR, build, table, 1e9)
    assert [n_rows for n_rows, _, _ in found] == [15, 30, 60, 120, 240]
    assert all(0 <= value <= 1 for _, *both in found for value in both)
    assert curve_of(TUMOUR, build, table, 0.0) == []
    figure = learning_figure(TUMOUR, tuple(Point(n_rows=n, known=known, unseen=seen) for n, known, seen in found))
    assert [len(line.get_xdata()) for line in figure.axes[0].lines] == [5, 5]
