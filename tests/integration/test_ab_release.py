"""``release.strategy: ab``: labels of both arms decide, once or at every look; guards end it at once, as a canary."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from arms_served import served
from canaries import ENOUGH, counted
from logs import day
from perennial import ledger
from perennial.config import ModelConfig
from perennial.config.release.ab import AB
from perennial.config.release.declared import Releases
from perennial.contracts import Signoff, Window
from perennial.contracts.tags import CANARY, CHALLENGER, CHAMPION, SHARE_TAG
from perennial.errors import ReleaseError
from perennial.evidence.answers import blocks_in
from perennial.evidence.deliveries.arms import CHALLENGED, answered_windows, read_arms, size_arms
from perennial.ledger.canaries import canary_of
from perennial.registry import Registry, set_alias
from perennial.registry.versions import alias_version, version_tags
from perennial.release.canary.ramp import Look, expire, look
from perennial.release.promote import promote
from perennial.release.reconcile import repair
from perennial.store import Store
from releases import in_ledger, made_stable, shared_version, signed

pytestmark = pytest.mark.usefixtures("as_pipeline")
N_ROWS = 400
DEADLINE = timedelta(days=9)


@pytest.fixture
def registry(mlflow_uri: str) -> Registry:
    return Registry(mlflow_uri)


@pytest.fixture
def config(wine: ModelConfig) -> ModelConfig:
    return with_rules(wine, test="fixed")


def with_rules(config: ModelConfig, **asked: Any) -> ModelConfig:
    rules = AB(**{"windows": 2, "deadline": DEADLINE, **asked})
    return config.model_copy(update={"release": Releases(strategy="ab", ab=rules)})


@pytest.fixture
def candidate(wine: ModelConfig, store: Store, registry: Registry) -> Signoff:
    """Version 2, approved beside champion 1 as of the end of day 2."""
    for content in ("one", "two"):
        version = shared_version(wine, registry, content)
    made_stable(wine, "1", None, 0, store=store, registry=registry)
    found = in_ledger(signed(wine, registry, version, "1", 2), store)
    set_alias(registry, wine.model, CHALLENGER, version)
    return found


@pytest.fixture
def looked(candidate: Signoff, store: Store, registry: Registry) -> Callable[..., Look]:
    def once(config: ModelConfig, n_rows: int = ENOUGH, *, after: timedelta = timedelta(0), **seen: Any) -> Look:
        more = {"checkpoint": seen.pop("checkpoint")} if "checkpoint" in seen else {}
        figures, now = counted("2", "1", n_rows, **seen), datetime.now(UTC) + after
        return look(config, candidate.signoff_id, figures, now=now, store=store, registry=registry, **more)

    return once


def told(registry: Registry, config: ModelConfig) -> tuple[str | None, str | None]:
    version = alias_version(registry, config.model, CANARY)
    return version, version_tags(registry, config.model, version).get(SHARE_TAG) if version else None


def test_it_answers_its_share_until_the_horizon_and_is_promoted_where_it_is_surely_better(
    config: ModelConfig, candidate: Signoff, looked: Any, store: Store, registry: Registry
) -> None:
    assert looked(config, 0).reason == "version 2 answers 50 % of the requests: approved"
    assert told(registry, config) == ("2", "0.5")
    with pytest.raises(ReleaseError, match="has not passed as challenger in an A/B"):
        promote(config, candidate.signoff_id, store=store, registry=registry)
    assert looked(config).reason == "0 of 2 windows have their labels"
    served(store, config, 3, n_wrong=0)
    assert looked(config).reason == "1 of 2 windows have their labels", "it is looked at once, however good it is"
    served(store, config, 4, n_wrong=0)
    waits = looked(config, 600)
    assert (waits.state, "guard/" in waits.reason) == ("waiting", True), "what guards could not see is no pass"
    passed = looked(config)
    assert passed.state == "passed"
    assert passed.reason.startswith("version 2 has passed as challenger in an A/B: accuracy better by 0.")
    assert "on 400 rows than the champion on 399, after 2 of 2 windows; " in passed.reason
    assert looked(config, 0) == passed
    assert promote(config, candidate.signoff_id, store=store, registry=registry).version == "2"
    assert alias_version(registry, config.model, CHAMPION) == "2"
    assert told(registry, config) == (None, None)
    assert ledger.release_state(store, config.model).in_bake
    found = canary_of(ledger.read(store, config.model), candidate.signoff_id)
    assert found is not None
    assert (found.strategy, found.intent.payload["strategy"]) == ("ab", "ab")
    assert repair(config, store=store, registry=registry) == ()


@pytest.mark.parametrize("where", ["after_intent", "after_tags"])
def test_without_a_difference_at_the_horizon_it_is_taken_back_and_not_barred_wherever_it_is_cut_off(
    config: ModelConfig, candidate: Signoff, looked: Any, store: Store, registry: Registry, where: str
) -> None:
    looked(config, 0)
    for number in (3, 4, 5):
        served(store, config, number, n_wrong=2 if number < 5 else 0)

    def dies(at: str) -> None:
        if at == where:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        looked(config, checkpoint=dies)
    assert repair(config, store=store, registry=registry)
    found = looked(config)
    assert found.state == "taken_back"
    assert found.reason.startswith(
        "version 2, challenger in an A/B with 50 % of the requests, was taken back: accuracy"
    )
    assert found.reason.endswith("after 2 of 2 windows: not surely better by more than 0 at the horizon")
    assert told(registry, config) == (None, None)
    assert alias_version(registry, config.model, CHALLENGER) is None
    assert ledger.release_state(store, config.model).rolled_back == frozenset()
    with pytest.raises(ReleaseError, match="has not passed as challenger in an A/B"):
        promote(config, candidate.signoff_id, store=store, registry=registry)
    assert repair(config, store=store, registry=registry) == ()


@pytest.mark.parametrize(("n_wrong", "state"), [(0, "passed"), (12, "taken_back"), (2, "waiting")])
def test_sequentially_it_ends_as_soon_as_it_is_sure(
    wine: ModelConfig, looked: Any, store: Store, registry: Registry, n_wrong: int, state: str
) -> None:
    config = with_rules(wine, test="sequential", windows=3)
    looked(config, 0)
    for number in (3, 4):
        served(store, config, number, n_wrong=n_wrong)
    found = looked(config)
    assert found.state == state
    assert ("after 2 of 3 windows: surely worse" in found.reason) == (state == "taken_back")
    assert "after 2 of 3 windows" in found.reason
    assert ledger.release_state(store, config.model).rolled_back == frozenset()


def test_a_breach_of_a_guard_ends_it_at_once_and_bars_the_version(
    config: ModelConfig, looked: Any, store: Store, registry: Registry
) -> None:
    looked(config, 0)
    found = looked(config, errors=900)
    assert (found.state, "guard/error_rate" in found.reason) == ("taken_back", True)
    assert ledger.release_state(store, config.model).rolled_back == {"2"}


def test_past_its_deadline_it_is_blind_and_taken_back_by_the_maintenance(
    config: ModelConfig, looked: Any, store: Store, registry: Registry
) -> None:
    looked(config, 0)
    now = datetime.now(UTC)
    assert expire(config, now=now + DEADLINE - timedelta(minutes=1), store=store, registry=registry) is None
    why = expire(config, now=now + DEADLINE + timedelta(minutes=1), store=store, registry=registry)
    assert why is not None
    assert "blind: it has not come to its end within release.ab.deadline, 9 days" in why
    assert told(registry, config) == (None, None)


def test_only_what_both_answered_at_the_same_time_is_compared(
    config: ModelConfig, candidate: Signoff, store: Store
) -> None:
    for number, since in ((3, N_ROWS), (4, N_ROWS // 2 + 1), (5, N_ROWS)):
        served(store, config, number, n_wrong=0, since=since)
    given: Any = {"as_of": day(5).end, "champion": "1", "challenger": "2", "store": store}
    assert answered_windows(config, candidate.as_of, **given) == (day(4),)
    rows = read_arms(config, (day(4), day(5)), **given)
    is_new, times = rows[CHALLENGED].to_numpy(zero_copy_only=False), rows["event_time"].to_numpy()
    assert is_new.sum() == N_ROWS // 4
    assert times[~is_new].min() >= times[is_new].min(), "not what was served before it answered"
    assert abs((~is_new).sum() - N_ROWS // 4) <= 1, "nor after it did"
    assert read_arms(config, (day(4),), excluded=(day(4),), **given).num_rows == 0
    later = Window(start=day(4).start + timedelta(hours=18), end=day(4).end)
    half = read_arms(config, (day(4),), excluded=(later,), **given)
    assert 0 < half.num_rows < rows.num_rows


@pytest.mark.parametrize(
    ("test", "missing", "told_of", "why"),
    [
        ("fixed", {"n_lost": 10}, r"2\d\d rows that were answered", "The log loses rows of one of them"),
        ("sequential", {"n_unknown": 10}, r"2\d\d rows with labels", "Labels of one of them stay away"),
    ],
)
def test_arms_that_are_not_as_large_as_declared_end_it_after_the_first_window_before_a_label_is_compared(
    wine: ModelConfig, looked: Any, store: Store, registry: Registry, test: str, missing: Any, told_of: str, why: str
) -> None:
    config = with_rules(wine, test=test, windows=3)
    looked(config, 0)
    served(store, config, 3, n_wrong=0, **missing)
    unasked = with_rules(wine, test="fixed", windows=3, sample_ratio_alpha=None)
    assert looked(unasked).reason == "1 of 3 windows have their labels"
    found = looked(config)
    assert found.state == "taken_back"
    figures = rf"was taken back: sample ratio: version 2 has 35\.\d+ % \(2\d\.\d+ to 4\d\.\d+\) of the {told_of}, and "
    assert re.search(figures + r"50 % was declared \(release.ab.share\), after 1 of 3 windows\. " + why, found.reason)
    assert "accuracy" not in found.reason
    assert told(registry, config) == (None, None)
    assert ledger.release_state(store, config.model).rolled_back == frozenset(), "it did no harm"


def test_rows_of_both_arms_are_counted_by_the_blocks_in_which_they_are_compared(
    wine: ModelConfig, candidate: Signoff, store: Store
) -> None:
    served(store, wine, 3, n_wrong=0, since=101)
    served(store, wine, 4, n_wrong=0, n_unknown=20)
    later = Window(start=day(3).start + timedelta(hours=18), end=day(3).end)
    given: Any = {"as_of": day(5).end, "champion": "1", "challenger": "2", "excluded": (later,), "store": store}
    for block_by in (None, "magnesium"):
        uncertainty = wine.signals.uncertainty.model_copy(update={"block_by": block_by})
        config = wine.model_copy(update={"signals": wine.signals.model_copy(update={"uncertainty": uncertainty})})
        answered, labelled = size_arms(config, (day(3), day(4)), **given)
        compared = read_arms(config, (day(3), day(4)), **given)
        blocks, is_new = blocks_in(config, compared), compared[CHALLENGED].to_numpy(zero_copy_only=False)
        assert blocks is not None
        assert labelled.n_both.tolist() == np.bincount(blocks).tolist()
        assert labelled.n_new.tolist() == np.bincount(blocks, weights=is_new).tolist()
        assert answered.n_new.sum() == is_new.sum() + N_ROWS // 2, "with those of day 4, whose labels stay away"
        assert (answered.n_both - answered.n_new).sum() == (~is_new).sum() + N_ROWS // 2
