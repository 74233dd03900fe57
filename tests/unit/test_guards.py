"""What the figures of a version say beside others: each guard on both sides of its bound, and what nobody sees."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canaries import figures_of
from perennial.config.release.guards import Guards
from perennial.contracts import Signal
from perennial.guards.apart import distance, latency_ratio, rise
from perennial.guards.figures import LATENCY_S, ArmFigures, score_edges
from perennial.guards.judging import judge

AT = datetime(2026, 11, 1, tzinfo=UTC)
EDGES = score_edges("binary")


def arm(
    version: str = "3", n: int = 4000, *, errors: int = 0, slow: float = 1.0, shift: float = 0.0, gone: int = 0
) -> ArmFigures:
    """Figures of ``n`` requests of one row each: scores of a normal log odds, answers in about 20 ms."""
    drawn = np.random.default_rng(7)
    scores = 1 / (1 + np.exp(-drawn.normal(-1 + shift, 1, n)))
    took = 0.02 * slow * np.exp(drawn.normal(0, 0.3, n))
    return figures_of(
        version,
        "champion",
        n,
        since=AT,
        errors=errors,
        latency=tuple(np.bincount(np.searchsorted(LATENCY_S, took), minlength=len(LATENCY_S) + 1).tolist()),
        scores=tuple(np.bincount(np.searchsorted(EDGES, scores), minlength=len(EDGES) + 1).tolist()),
        missing={"temp": gone, "wind": 0},
    )


def said(own: ArmFigures, *beside: ArmFigures, bounds: Guards | None = None) -> dict[str, Signal]:
    """The signals by the last part of their names."""
    return {signal.name.removeprefix("guard/"): signal for signal in judge(own, beside, bounds or Guards(), model="m")}


BEFORE = arm("2")


def test_the_same_figures_are_ok_and_tell_their_interval() -> None:
    found = said(arm(), BEFORE)
    assert {name: signal.status for name, signal in found.items()} == {
        "error_rate": "ok",
        "latency_median": "ok",
        "latency_p99": "ok",
        "score": "ok",
        "missing/temp": "ok",
        "missing/wind": "ok",
    }
    for signal in found.values():
        assert signal.interval is not None
        assert signal.interval.low <= signal.value <= signal.interval.high <= signal.threshold
        assert signal.version == "3"
        assert signal.window.end == signal.as_of == AT + timedelta(hours=1)


@pytest.mark.parametrize(
    ("own", "name", "bound", "wide"),
    [
        (arm(errors=200), "error_rate", "max_error_rise", 0.2),
        (arm(slow=3.5), "latency_p99", "max_latency_ratio", 9.0),
        (arm(slow=3.5), "latency_median", "max_latency_ratio", 9.0),
        (arm(shift=1.5), "score", "max_score_distance", 0.9),
        (arm(gone=900), "missing/temp", "max_missing_rise", 0.5),
    ],
)
def test_each_guard_is_breached_beyond_its_own_bound_and_by_nothing_else(
    own: ArmFigures, name: str, bound: str, wide: float
) -> None:
    found = said(own, BEFORE)
    assert found[name].status == "breached"
    kind = name.removesuffix("_p99").removesuffix("_median")
    assert all(key.startswith(kind) for key, signal in found.items() if signal.status == "breached")
    assert said(own, BEFORE, bounds=Guards(**{bound: wide}))[name].status == "ok"
    assert name not in said(own, BEFORE, bounds=Guards(**{bound: None}))


def test_a_few_requests_could_not_have_shown_it() -> None:
    few = arm(n=40, errors=1, gone=5)
    found = said(few, BEFORE)
    assert {found[name].status for name in ("error_rate", "score", "missing/temp")} == {"undecided"}
    assert found["latency_p99"].status == "undecided"
    assert "reaches beyond" in found["latency_p99"].detail


def test_without_anything_to_compare_with_nothing_is_ok_but_errors() -> None:
    found = said(arm())
    assert found["error_rate"].status == "ok"
    assert {signal.status for name, signal in found.items() if name != "error_rate"} == {"unknown"}
    assert said(arm(errors=200))["error_rate"].status == "breached"


def test_a_version_that_was_asked_nothing_is_unknown_in_all() -> None:
    nothing = ArmFigures(version="3", arm="champion", since=AT, until=AT + timedelta(hours=1))
    assert {signal.status for signal in said(nothing, BEFORE).values()} == {"unknown"}


def test_scores_like_those_of_the_holdout_are_no_breach_though_the_version_before_had_others() -> None:
    """A version that learnt another season is near its own holdout, one in another season near the one before."""
    own, holdout = arm(shift=1.5), replace(arm(shift=1.5), arm="holdout", requests=0)
    assert said(own, BEFORE, holdout)["score"].status == "ok"
    assert said(own, BEFORE, replace(arm(), arm="holdout", requests=0))["score"].status == "breached"
    assert said(own, arm("2", shift=1.5), replace(arm(), arm="holdout"))["score"].status == "ok"


def test_short_answers_may_take_longer() -> None:
    fast = arm("2", slow=0.01)
    assert said(arm(slow=0.035), fast)["latency_p99"].status == "ok"
    assert said(arm(slow=0.035), fast, bounds=Guards(min_latency_ms=0.0))["latency_p99"].status == "breached"


def test_rows_of_one_request_are_one_word() -> None:
    """4,000 rows of four requests are no evidence, as they are of 4,000 requests."""
    own = replace(arm(shift=1.5, gone=900), requests=4, rows_squared=4 * 1000**2)
    found = said(own, BEFORE)
    assert found["score"].status == found["missing/temp"].status == "undecided"


def test_many_features_share_the_error_of_one() -> None:
    one, many = arm(), replace(arm(), missing={f"x{place}": 0 for place in range(50)})
    assert said(many, BEFORE)["missing/x1"].interval.confidence > said(one, BEFORE)["missing/wind"].interval.confidence


def test_intervals_cover_what_they_say() -> None:
    """Of 400 draws of two equal arms no interval at 99 % leaves more than 4 % out."""
    drawn = np.random.default_rng(1)
    outside = {"rise": 0, "distance": 0, "ratio": 0}
    p = np.full(8, 1 / 8)
    for _ in range(400):
        hits = drawn.binomial(800, 0.02, 2)
        found = rise((int(hits[0]), 800), (int(hits[1]), 800), 0.99).interval
        outside["rise"] += not found.low <= 0 <= found.high
        one, two = (tuple(drawn.multinomial(500, p).tolist()) for _ in range(2))
        outside["distance"] += distance(one, two, (500, 500), 0.99).interval.low > 0
        fast, slow = (
            tuple(np.bincount(np.searchsorted(LATENCY_S, drawn.exponential(0.02, 900)), minlength=81).tolist())
            for _ in range(2)
        )
        found = latency_ratio(fast, slow, 0.9, 0.99).interval
        outside["ratio"] += not found.low <= 1 <= found.high
    assert max(outside.values()) <= 16, outside


counts = st.integers(0, 1000)
figures = st.builds(
    lambda requests, errors, latency, scores, missing: ArmFigures(
        version="3", arm="champion", since=AT, until=AT, requests=requests, errors=errors,
        latency=tuple(latency), scores=tuple(scores), missing=missing,
    ),
    counts, counts,
    st.lists(counts, min_size=3, max_size=3), st.lists(counts, min_size=2, max_size=2),
    st.dictionaries(st.sampled_from("ab"), counts),
)  # fmt: skip


@settings(max_examples=50)
@given(figures, figures, figures)
def test_merging_has_no_order_and_a_difference_takes_it_back(a: ArmFigures, b: ArmFigures, c: ArmFigures) -> None:
    assert a.merge(b).merge(c) == a.merge(b.merge(c))
    assert a.merge(b) == b.merge(a)
    back = a.merge(b).difference(b)
    assert (back.requests, back.latency, back.scores) == (a.requests, a.latency, a.scores)
    assert {name: n for name, n in back.missing.items() if n} == {name: n for name, n in a.missing.items() if n}
