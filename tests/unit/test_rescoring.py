"""Whether served answers are the version's own, and lean on the features that they leaned on."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from logs import day
from monitored import log_of, reference_of, rows_of
from perennial.config import load_model
from perennial.contracts import Signal, Subject
from perennial.errors import IntegrityError, RegistryUnavailable
from perennial.monitoring.served.attribution import attribution_signals, occlusion
from perennial.monitoring.served.rescoring import skew_of_scores, skew_signals, some_of
from perennial.statistics.comparing.ranking import ndcg

MODELS = Path(__file__).parents[1] / "models"
WINE, DIABETES = load_model(MODELS / "wine_cultivar"), load_model(MODELS / "diabetes_progress")
SUBJECT = Subject(model="diabetes_progress", window=day(0), as_of=day(0).end, version="1")


def by_bmi(rows: pa.Table) -> tuple[NDArray[np.float64], None]:
    """A version that answers by the body mass index, and a little by the blood pressure."""
    return 150 + 900 * rows["bmi"].to_numpy() + 200 * rows["bp"].to_numpy(), None


def by_pressure(rows: pa.Table) -> tuple[NDArray[np.float64], None]:
    return 150 + 900 * rows["bp"].to_numpy() + 200 * rows["bmi"].to_numpy(), None


def served(answer: Any = by_bmi, *, n_rows: int = 400) -> pa.Table:
    rows = rows_of(DIABETES, log_of(DIABETES, 0, n_rows=n_rows))
    return rows.set_column(rows.schema.get_field_index("score"), "score", pa.array(answer(rows)[0]))


def scored_again(rows: pa.Table, answer: Any = by_bmi) -> Signal:
    return skew_of_scores(DIABETES, SUBJECT, rows, answer=answer)


def test_answers_of_the_version_are_no_skew_up_to_rounding() -> None:
    found = scored_again(served(lambda rows: (by_bmi(rows)[0] * (1 + 1e-9), None)))
    assert (found.status, found.value, found.role) == ("ok", 0.0, "alert")


def test_features_prepared_otherwise_are_seen_and_measured() -> None:
    """The serving system divides by a thousand what the recipe was fitted on as it is."""
    rows = served(lambda rows: by_bmi(rows.set_column(2, "bmi", pa.array(rows["bmi"].to_numpy() / 1000))))
    found = scored_again(rows)
    assert (found.status, found.value) == ("breached", 1.0)
    assert found.detail.startswith("400 of 400 rows scored again are apart, by 1.")


def test_rows_apart_in_every_block_breach_and_a_few_of_one_block_decide_nothing() -> None:
    scores = by_bmi(served())[0]
    scores[::10] += 1
    assert scored_again(served(lambda _: (scores, None))).status == "breached"
    scores[:] = by_bmi(served())[0]
    scores[5:9] += 1
    assert scored_again(served(lambda _: (scores, None))).status == "undecided"


def test_a_missing_logged_score_is_apart() -> None:
    rows = served()
    bad = rows.set_column(rows.schema.get_field_index("score"), "score", pa.nulls(400, pa.float64()))
    assert (scored_again(bad).status, scored_again(bad).value) == ("breached", 1.0)


def test_another_class_with_the_same_score_is_skew() -> None:
    rows = rows_of(WINE, log_of(WINE, 0))
    scores, names = rows["score"].to_numpy(), rows["predicted"].to_numpy(zero_copy_only=False).astype(str)
    same = skew_of_scores(WINE, SUBJECT, rows, answer=lambda _: (scores, names))
    other = skew_of_scores(WINE, SUBJECT, rows, answer=lambda _: (scores, np.roll(names, 1)))
    assert (same.status, other.status) == ("ok", "breached")


def raising(error: Exception) -> Any:
    def answer(_: pa.Table) -> Any:
        raise error

    return answer


def test_a_version_that_does_not_answer_is_unknown_and_an_outage_is_raised() -> None:
    found = scored_again(served(), raising(IntegrityError("no feature x")))
    assert (found.status, found.detail) == (
        "unknown", "version 1 could not score the rows: IntegrityError: no feature x",
    )  # fmt: skip
    with pytest.raises(RegistryUnavailable):
        scored_again(served(), raising(RegistryUnavailable("down")))
    assert {signal.status for signal in skew_signals(DIABETES, SUBJECT, served(), model="gone")} == {"unknown"}
    assert scored_again(served().slice(0, 0)).status == "unknown"


class Fitted:
    """An estimator that was fitted on other features, in another order."""

    feature_names_in_ = np.array(["bmi", "age", *list(DIABETES.features)[3:], "weight"])

    predict = None


def test_features_that_came_went_or_moved_are_counted_and_named() -> None:
    scores, schema = skew_signals(DIABETES, SUBJECT, served(), model=Fitted())
    assert scores.status == "unknown"
    assert (schema.name, schema.status, schema.value) == ("skew/schema", "breached", 4.0)
    assert schema.detail == "no longer declared: weight; not fitted on: sex; in another place: age, bmi"


def attributed(rows: pa.Table, answer: Any = by_bmi, reference: pa.Table | None = None) -> Signal:
    known = reference_of(DIABETES) if reference is None else reference
    (found,) = attribution_signals(DIABETES, SUBJECT, rows, reference=known, answer=answer)
    return found


def test_the_same_features_matter_on_the_same_kind_of_rows() -> None:
    found = attributed(served())
    assert (found.status, found.value) == ("ok", 1.0)
    assert found.detail.startswith("first bmi, bp, ")


def test_a_feature_that_became_constant_matters_no_more() -> None:
    rows = served()
    stuck = rows.set_column(rows.schema.get_field_index("bmi"), "bmi", pa.array(np.full(400, 0.01)))
    found = attributed(stuck)
    assert found.status == "breached"
    assert found.detail.startswith("first bp, ")


def test_occlusion_leaves_what_is_not_used_at_zero() -> None:
    moved = occlusion(DIABETES, served(), answer=by_bmi).mean(axis=0)
    used = {name for name, value in zip(DIABETES.features, moved, strict=True) if value > 0}
    assert used == {"bmi", "bp"}


@pytest.mark.parametrize("answer", ["gone", raising(IntegrityError("no"))])
def test_attribution_without_answers_is_unknown(answer: Any) -> None:
    assert attributed(served(), answer).status == "unknown"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.lists(st.floats(0, 1), min_size=12, max_size=12))
def test_ndcg_is_one_for_the_same_ranking_and_never_more(before: list[float], now: list[float]) -> None:
    gains = np.array(before)
    same, other = ndcg(gains, gains), ndcg(np.array(now[: len(before)]), gains)
    if gains.sum() > 0:
        assert same == pytest.approx(1.0)
        assert other is not None
        assert 0 <= other <= 1 + 1e-12
    else:
        assert same is None


def test_some_rows_come_from_all_over_them() -> None:
    rows = pa.table({"place": list(range(1000))})
    drawn = some_of(DIABETES, rows, 100)["place"].to_pylist()
    assert drawn == sorted(drawn) == some_of(DIABETES, rows, 100)["place"].to_pylist()
    assert np.mean(drawn) == pytest.approx(500, abs=100)
