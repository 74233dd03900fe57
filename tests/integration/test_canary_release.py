"""``release.strategy: canary``: shares grow on what was counted, one breach takes all back, a crash loses nothing."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from logs import day
from perennial import ledger
from perennial.config import ModelConfig
from perennial.config.release.canary import Canary
from perennial.config.release.declared import Releases
from perennial.contracts import LedgerEntry, Signoff
from perennial.contracts.tags import CANARY, CHALLENGER, CHAMPION, RELEASE_TAG, SHARE_TAG
from perennial.errors import ReleaseError
from perennial.guards.figures import LATENCY_S, ArmFigures, baseline_of
from perennial.ledger.canaries import canary_of, live_canary
from perennial.registry import Registry, set_alias
from perennial.registry.versions import alias_version, delete_alias, set_version_tags, version_tags
from perennial.release.canary.ramp import Look, expire, look
from perennial.release.promote import promote
from perennial.release.reconcile import reconcile, repair
from perennial.release.rollback import roll_back
from perennial.store import Store
from releases import in_ledger, made_stable, make_version, signed
from servers import logged_in
from stack.environment import ADMIN

pytestmark = pytest.mark.usefixtures("as_pipeline")
SHARES = [5.0, 50.0, 100.0]
ENOUGH = 4_000
EVERY, DEADLINE = timedelta(minutes=10), timedelta(hours=4)


def direct(config: ModelConfig) -> ModelConfig:
    return config.model_copy(update={"release": Releases()})


@pytest.fixture
def registry(mlflow_uri: str) -> Registry:
    return Registry(mlflow_uri)


@pytest.fixture
def config(wine: ModelConfig) -> ModelConfig:
    asked = Canary(shares=SHARES, every=EVERY, min_rows=500, deadline=DEADLINE)
    return wine.model_copy(update={"release": Releases(strategy="canary", canary=asked)})


@pytest.fixture
def candidate(config: ModelConfig, store: Store, registry: Registry) -> Signoff:
    """Version 2, approved beside champion 1."""
    for content in ("one", "two"):
        version = make_version(config, registry, content)
    made_stable(direct(config), "1", None, 0, store=store, registry=registry)
    found = in_ledger(signed(config, registry, version, "1"), store)
    set_alias(registry, config.model, CHALLENGER, version)
    return found


def counted(n_rows: int, *, errors: int = 0, beside: int | None = None) -> tuple[ArmFigures, ...]:
    """What a service counted of canary 2 and of its baseline: requests of a row, at 1 ms."""
    since = day(6).end

    def arm(name: str, version: str, n: int, n_errors: int, place: int) -> ArmFigures:
        latency = [0] * (len(LATENCY_S) + 1)
        latency[place] = n
        return ArmFigures(
            version=version,
            arm=name,
            since=since,
            until=since + timedelta(hours=1),
            requests=n,
            errors=n_errors,
            rows=n,
            rows_squared=n,
            latency=tuple(latency),
            scores=(n // 2, n - n // 2),
            missing={"magnesium": 0},
        )

    own = arm("canary", "2", n_rows, errors, 14)
    return own, arm(baseline_of("2"), "1", n_rows if beside is None else beside, 0, 14)


@pytest.fixture
def looked(config: ModelConfig, candidate: Signoff, store: Store, registry: Registry) -> Callable[..., Look]:
    def once(n_rows: int = 0, *, after: timedelta = timedelta(0), checkpoint: Any = None, **seen: Any) -> Look:
        more = {} if checkpoint is None else {"checkpoint": checkpoint}
        now = datetime.now(UTC) + after
        figures = counted(n_rows, **seen)
        return look(config, candidate.signoff_id, figures, now=now, store=store, registry=registry, **more)

    return once


def told(registry: Registry, config: ModelConfig) -> tuple[str | None, str | None]:
    """What the service reads: whom the alias names, and its share."""
    version = alias_version(registry, config.model, CANARY)
    return version, version_tags(registry, config.model, version).get(SHARE_TAG) if version else None


def entries(store: Store, config: ModelConfig) -> list[tuple[str, Any, Any]]:
    kinds = ("canary_intent", "canary")
    found = ledger.entries(store, config.model, kinds=kinds)  # type: ignore[arg-type]
    return [(item.kind, item.payload["share"], item.payload["outcome"]) for item in found]


def test_it_answers_growing_shares_is_promoted_at_the_end_and_bakes(
    config: ModelConfig, candidate: Signoff, looked: Any, store: Store, registry: Registry
) -> None:
    with pytest.raises(ReleaseError, match="has not passed as canary"):
        promote(config, candidate.signoff_id, store=store, registry=registry)
    assert alias_version(registry, config.model, CHALLENGER) == "2"
    assert looked().state == "waiting"
    assert told(registry, config) == ("2", "0.05")
    assert looked(ENOUGH).reason == "5 % of the requests for less than 0:10:00"
    assert looked(400, after=EVERY).reason == "400 rows with 5 % of the requests, 500 are asked for"
    assert looked(600, after=EVERY).state == "waiting"  # enough rows, but no guard surely holds on them
    assert told(registry, config) == ("2", "0.05")
    assert "guards hold on 4000 rows" in looked(ENOUGH, after=EVERY).reason
    assert told(registry, config) == ("2", "0.5")
    assert looked(ENOUGH + 499, after=EVERY).reason.startswith("499 rows with 50 %")
    assert looked(2 * ENOUGH, after=EVERY).state == "waiting"
    assert told(registry, config) == ("2", "1")
    passed = looked(3 * ENOUGH, after=EVERY, beside=2 * ENOUGH)
    assert passed.state == "passed"
    assert looked(0) == passed
    assert told(registry, config) == ("2", "1")
    release = promote(config, candidate.signoff_id, store=store, registry=registry)
    assert (release.version, release.previous) == ("2", "1")
    assert alias_version(registry, config.model, CHAMPION) == "2"
    assert told(registry, config) == (None, None)
    assert ledger.release_state(store, config.model).in_bake
    assert looked(0) == passed
    shares = [("canary_intent", share, None) for share in (0.05, 0.5, 1.0)] + [("canary_intent", 1.0, "passed")]
    assert entries(store, config) == [(kind, *rest) for one in shares for kind, *rest in (one, ("canary", *one[1:]))]
    assert repair(config, store=store, registry=registry) == ()


def test_one_breach_takes_all_requests_back_at_once_and_bars_the_version(
    config: ModelConfig, candidate: Signoff, looked: Any, store: Store, registry: Registry
) -> None:
    looked()
    found = looked(ENOUGH, errors=900)  # long before `every` has passed
    assert found.state == "taken_back"
    assert "canary with 5 % of the requests, was taken back: guard/error_rate" in found.reason
    assert told(registry, config) == (None, None)
    tags = version_tags(registry, config.model, "2")
    assert (tags[SHARE_TAG], tags[RELEASE_TAG]) == ("0", "rolled back")
    assert alias_version(registry, config.model, CHALLENGER) is None
    assert alias_version(registry, config.model, CHAMPION) == "1"
    assert ledger.release_state(store, config.model).rolled_back == {"2"}
    assert looked(ENOUGH, after=EVERY) == found
    with pytest.raises(ReleaseError, match="has not passed as canary"):
        promote(config, candidate.signoff_id, store=store, registry=registry)
    with pytest.raises(ReleaseError, match="was rolled back and is not released again"):
        promote(direct(config), candidate.signoff_id, store=store, registry=registry)
    assert repair(config, store=store, registry=registry) == ()


def test_too_few_rows_are_waited_for_and_then_it_is_blind_but_not_barred(
    config: ModelConfig, looked: Any, store: Store, registry: Registry
) -> None:
    looked()
    assert looked(100, after=DEADLINE - timedelta(minutes=1)).state == "waiting"
    found = looked(100, after=DEADLINE)
    assert found.state == "taken_back"
    assert "blind: 100 rows" in found.reason
    assert told(registry, config) == (None, None)
    assert ledger.release_state(store, config.model).rolled_back == frozenset()


def test_one_that_nobody_looks_at_any_more_is_taken_back_by_the_maintenance(
    config: ModelConfig, looked: Any, store: Store, registry: Registry
) -> None:
    looked()
    now = datetime.now(UTC)
    assert expire(config, now=now, store=store, registry=registry) is None
    why = expire(config, now=now + DEADLINE, store=store, registry=registry)
    assert why is not None
    assert "blind" in why
    assert told(registry, config) == (None, None)
    assert expire(config, now=now + DEADLINE, store=store, registry=registry) is None


class Killed(Exception):
    pass


CHECKPOINTS = ("after_intent", "after_alias", "after_tags", "after_completion")


def dying(where: str) -> Callable[[str], None]:
    def dies(at: str) -> None:
        if at == where:
            raise Killed

    return dies


@pytest.mark.parametrize("mended_by", [reconcile, None])
def test_killed_between_any_two_statements_it_goes_on_or_is_mended(
    config: ModelConfig, candidate: Signoff, store: Store, registry: Registry, mended_by: Any
) -> None:
    shares = [5.0, 10.0, 20.0, 50.0, 100.0]
    rules = config.release.model_copy(update={"canary": config.release.canary.model_copy(update={"shares": shares})})
    config = config.model_copy(update={"release": rules})
    here: Any = {"store": store, "registry": registry}
    for step, where in enumerate(CHECKPOINTS):
        figures, now = counted(step * ENOUGH), datetime.now(UTC) + 2 * EVERY
        with pytest.raises(Killed):
            look(config, candidate.signoff_id, figures, now=now, checkpoint=dying(where), **here)
        if mended_by is not None:
            assert bool(mended_by(config, **here)) == (where != "after_completion")
            assert mended_by(config, **here) == ()
        found = look(config, candidate.signoff_id, figures, now=now, **here)
        assert found.state == "waiting"
        assert told(registry, config) == ("2", f"{shares[step] / 100:g}")
    made = [share for kind, share, _ in entries(store, config) if kind == "canary"]
    assert made == [share / 100 for share in shares[:4]]


@pytest.mark.parametrize("where", ["after_intent", "after_tags"])
def test_killed_while_it_is_taken_back_it_is_taken_back(
    config: ModelConfig, looked: Any, store: Store, registry: Registry, where: str
) -> None:
    looked()
    with pytest.raises(Killed):
        looked(ENOUGH, errors=900, checkpoint=dying(where))
    assert len(reconcile(config, store=store, registry=registry)) == 1
    assert told(registry, config) == (None, None)
    assert version_tags(registry, config.model, "2")[RELEASE_TAG] == "rolled back"
    assert looked().state == "taken_back"
    assert entries(store, config)[-2:] == [("canary_intent", 0.0, "breached"), ("canary", 0.0, "breached")]


@pytest.mark.parametrize(("by", "gone"), [("look", "alias"), ("repair", "alias"), ("repair", "version")])
def test_taken_away_by_hand_in_mlflow_it_stays_away_and_is_not_barred(
    config: ModelConfig, candidate: Signoff, looked: Any, store: Store, registry: Registry, by: str, gone: str
) -> None:
    looked()
    with logged_in(ADMIN):
        if gone == "alias":
            delete_alias(registry, config.model, CANARY)
        else:
            registry.client.delete_model_version(config.model, "2")
    if by == "repair":
        (said,) = [found.said for found in repair(config, store=store, registry=registry)]
        assert ("deleted in MLflow" if gone == "version" else "a hand took the alias") in said
    found = looked(ENOUGH, after=EVERY)
    assert found.state == "taken_back"
    assert told(registry, config) == (None, None)
    assert entries(store, config)[-1] == ("canary", 0.0, "stopped")
    assert ledger.release_state(store, config.model).rolled_back == frozenset()
    with pytest.raises(ReleaseError, match="has not passed as canary"):
        promote(config, candidate.signoff_id, store=store, registry=registry)


def test_what_nobody_approved_answers_nothing_whatever_a_hand_wrote(
    config: ModelConfig, looked: Any, store: Store, registry: Registry
) -> None:
    set_version_tags(registry, config.model, "1", {SHARE_TAG: "0.9"})
    set_alias(registry, config.model, CANARY, "1")
    (found,) = repair(config, store=store, registry=registry)
    assert found.mended
    assert told(registry, config) == (None, None)
    looked()
    set_version_tags(registry, config.model, "2", {SHARE_TAG: "0.9"})
    (found,) = repair(config, store=store, registry=registry)
    assert told(registry, config) == ("2", "0.05")
    assert [item.payload["alias"] for item in ledger.entries(store, config.model, kinds=["integrity"])] == [CANARY] * 2


def test_a_rollback_meanwhile_ends_it_for_it_was_compared_with_another_champion(
    config: ModelConfig, candidate: Signoff, looked: Any, store: Store, registry: Registry
) -> None:
    third = in_ledger(signed(config, registry, make_version(config, registry, "three"), "1"), store)
    promote(direct(config), third.signoff_id, store=store, registry=registry)
    found = in_ledger(signed(config, registry, "2", "3", 8), store)
    here: Any = {"store": store, "registry": registry}
    assert look(config, found.signoff_id, (), now=datetime.now(UTC), **here).state == "waiting"
    assert told(registry, config) == ("2", "0.05")
    roll_back(config, store=store, registry=registry, actor="ada", reason="wrong", at=day(7).end)
    assert told(registry, config) == (None, None)
    assert live_canary(ledger.read(store, config.model)) is None
    again = look(config, found.signoff_id, counted(ENOUGH), now=datetime.now(UTC) + EVERY, **here)
    assert again.state == "taken_back"
    assert told(registry, config) == (None, None)
    assert repair(config, store=store, registry=registry) == ()


def test_one_that_passed_and_can_not_be_promoted_any_more_answers_no_more(
    config: ModelConfig, candidate: Signoff, looked: Any, store: Store, registry: Registry
) -> None:
    for number in range(4):
        looked(number * ENOUGH, after=EVERY, beside=ENOUGH)
    assert looked().state == "passed"
    set_alias(registry, config.model, CHAMPION, "2")
    with pytest.raises(ReleaseError, match="approval expired"):
        promote(config, candidate.signoff_id, store=store, registry=registry)
    assert told(registry, config) == (None, None)
    assert entries(store, config)[-1] == ("canary", 0.0, "expired")
    assert looked().state == "taken_back"


def test_two_versions_are_canary_one_after_the_other(
    config: ModelConfig, candidate: Signoff, looked: Any, store: Store, registry: Registry
) -> None:
    looked()
    other = in_ledger(signed(config, registry, make_version(config, registry, "three"), "1", 7), store)
    now = datetime.now(UTC)
    waits = look(config, other.signoff_id, (), now=now, store=store, registry=registry)
    assert waits == Look(state="waiting", reason="version 2 is canary: one after the other")
    looked(ENOUGH, errors=900)
    begun = look(config, other.signoff_id, (), now=now, store=store, registry=registry)
    assert begun.reason.startswith("version 3 answers 5 %")


def test_who_was_overtaken_writes_nothing_and_leaves_mlflow_as_the_ledger_says(
    config: ModelConfig, candidate: Signoff, looked: Any, store: Store, registry: Registry
) -> None:
    looked()
    last = ledger.read(store, config.model).last_move
    entry = LedgerEntry(
        entry_id="promotion of another",
        model=config.model,
        kind="promotion",
        at=day(8).end,
        actor="ada",
        reason="test",
        version="1",
        payload={"previous": "1", "train": {"start": day(0).start.isoformat(), "end": day(0).end.isoformat()},
                 "holdout": {"start": day(1).start.isoformat(), "end": day(1).end.isoformat()}, "intent": "x"},
    )  # fmt: skip

    def another(at: str) -> None:
        if at == "after_alias":
            ledger.append(store, entry)

    with pytest.raises(ReleaseError, match="another process acted"):
        looked(ENOUGH, after=EVERY, checkpoint=another)
    assert told(registry, config) == (None, None)
    assert ledger.read(store, config.model).last_move != last


def test_without_the_strategy_or_a_champion_nothing_is_asked(
    config: ModelConfig, candidate: Signoff, store: Store, registry: Registry
) -> None:
    now = datetime.now(UTC)
    found = look(direct(config), candidate.signoff_id, (), now=now, store=store, registry=registry)
    assert found.state == "none"
    assert told(registry, config) == (None, None)
    assert canary_of(ledger.read(store, config.model), candidate.signoff_id) is None
    assert promote(direct(config), candidate.signoff_id, store=store, registry=registry).version == "2"
