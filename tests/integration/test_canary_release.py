"""``release.strategy: canary``: shares grow on what was counted, one breach takes all back, a crash loses nothing."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import canaries
from canaries import ENOUGH, EVERY, SHARES
from logs import day
from perennial import ledger
from perennial.config import ModelConfig, load_model
from perennial.config.release.canary import Canary
from perennial.config.release.declared import Releases
from perennial.contracts import LedgerEntry, Signoff
from perennial.contracts.tags import CANARY, CHALLENGER, CHAMPION, RELEASE_TAG, SHARE_TAG
from perennial.errors import ReleaseError
from perennial.guards.figures import ArmFigures
from perennial.ledger.canaries import canary_of, live_canary
from perennial.registry import Registry, set_alias
from perennial.registry.versions import alias_version, delete_alias, set_version_tags, version_tags
from perennial.release.canary.ramp import Look, expire, look
from perennial.release.promote import promote
from perennial.release.reconcile import reconcile, repair
from perennial.release.rollback import roll_back
from perennial.serving.following.cache import Cache
from perennial.serving.following.messages import Looked
from perennial.serving.following.watching import Watch
from perennial.store import Store
from releases import (
    as_order,
    forking,
    in_ledger,
    made_stable,
    make_version,
    run_and_die,
    shared_version,
    signed,
)
from servers import logged_in
from stack.environment import ADMIN

pytestmark = pytest.mark.usefixtures("as_pipeline")
DEADLINE = timedelta(hours=4)


def direct(config: ModelConfig) -> ModelConfig:
    return config.model_copy(update={"release": Releases()})


@pytest.fixture
def registry(mlflow_uri: str) -> Registry:
    return Registry(mlflow_uri)


@pytest.fixture
def config(wine: ModelConfig) -> ModelConfig:
    asked = Canary(shares=list(SHARES), every=EVERY, min_rows=500, deadline=DEADLINE)
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


def counted(n_rows: int, **seen: Any) -> tuple[ArmFigures, ...]:
    """What a service counted of canary 2 and of its baseline."""
    return canaries.counted("2", "1", n_rows, **seen)


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


@dataclass(frozen=True, slots=True)
class Site:
    """A model that a process of its own reads from its folder; versions go from half of the requests to all."""

    config: ModelConfig
    store: Store
    registry: Registry
    cache: Cache
    killed: Callable[..., None]

    @property
    def there(self) -> dict[str, Any]:
        return {"store": self.store, "registry": self.registry}

    def approved(self, seen: str, number: int) -> Signoff:
        version = shared_version(self.config, self.registry, "another")
        return in_ledger(signed(self.config, self.registry, version, seen, number), self.store)

    def look(self, signoff: Signoff, n_rows: int, *, die_at: str | None = None, errors: int = 0) -> None:
        seen = {"version": signoff.version, "champion": signoff.champion_seen, "n_rows": n_rows, "errors": errors}
        now = datetime.now(UTC) + 2 * EVERY
        if die_at is not None:
            self.killed(die_at=die_at, look=signoff.signoff_id, seen=seen, now=now.isoformat())
        else:
            look(self.config, signoff.signoff_id, canaries.counted(**seen), now=now, **self.there)

    def agree(self, champion: str, canary: tuple[str | None, float]) -> None:
        """Once repaired, ledger and aliases have one champion and one canary, and a service hears of the same two."""
        repair(self.config, **self.there)
        assert repair(self.config, **self.there) == ()
        history = ledger.read(self.store, self.config.model)
        live = live_canary(history)
        assert (history.state.champion, history.state.pending) == (champion, None)
        assert ((live.version, live.share) if live else (None, 0.0)) == canary
        assert alias_version(self.registry, self.config.model, CHAMPION) == champion
        for alias, version, share in ((CHAMPION, champion, 0.0), (CANARY, *canary)):
            heard = Watch(self.config, self.registry, self.cache, alias=alias, current=version).look()
            assert [(one.champion, one.share) for one in heard if isinstance(one, Looked)] == [(version, share)]


@pytest.fixture
def halves(
    wine: ModelConfig, models_dir: Path, store: Store, home: Path, registry: Registry, tmp_path: Path
) -> Iterator[Site]:
    folder = models_dir / wine.model
    declared = (folder / "model.yaml").read_text(encoding="utf-8")
    rules = "release: {strategy: canary, canary: {shares: [50, 100], every: 10min}}\n"
    (folder / "model.yaml").write_text(f"{declared}{rules}", encoding="utf-8")
    with forking() as process:
        killed = partial(run_and_die, process, folder, store, home, registry)
        yield Site(load_model(folder), store, registry, Cache(tmp_path / "cache"), killed)


def test_a_process_killed_at_any_statement_of_a_canary_leaves_one_champion_that_all_agree_on(halves: Site) -> None:
    """SIGKILL at each statement of its begin, of its growth, of its end by harm, of its passing and its promotion."""
    champion = shared_version(halves.config, halves.registry, "first")
    made_stable(direct(halves.config), champion, None, 0, **halves.there)
    for number, where in enumerate(CHECKPOINTS):
        bad = halves.approved(champion, 10 + 20 * number)
        halves.look(bad, 0, die_at=where)
        halves.agree(champion, (bad.version, 0.5))
        halves.look(bad, ENOUGH, die_at=where)
        halves.agree(champion, (bad.version, 1.0))
        halves.look(bad, 2 * ENOUGH, errors=ENOUGH // 2, die_at=where)
        halves.agree(champion, (None, 0.0))
        assert bad.version in ledger.release_state(halves.store, halves.config.model).rolled_back
        good = halves.approved(champion, 20 + 20 * number)
        halves.look(good, 0)
        halves.look(good, ENOUGH)
        halves.look(good, 2 * ENOUGH, die_at=where)
        halves.agree(champion, (good.version, 1.0))
        halves.killed(die_at=where, signoff=as_order(good))
        champion = good.version
        halves.agree(champion, (None, 0.0))
    written = Counter(kind for kind, *_ in entries(halves.store, halves.config))
    assert written == {"canary_intent": 6 * len(CHECKPOINTS), "canary": 6 * len(CHECKPOINTS)}, "nothing twice"
    assert len(ledger.entries(halves.store, halves.config.model, kinds=["promotion"])) == 1 + len(CHECKPOINTS)


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


@pytest.mark.parametrize("gone", ["alias", "version"])
def test_one_that_passed_and_was_taken_away_by_hand_is_not_put_back_and_not_promoted(
    config: ModelConfig, candidate: Signoff, looked: Any, store: Store, registry: Registry, gone: str
) -> None:
    for number in range(4):
        looked(number * ENOUGH, after=EVERY, beside=ENOUGH)
    with logged_in(ADMIN):
        if gone == "alias":
            delete_alias(registry, config.model, CANARY)
        else:
            registry.client.delete_model_version(config.model, "2")
    (found,) = repair(config, store=store, registry=registry)
    assert ("deleted in MLflow" if gone == "version" else "a hand took the alias") in found.said
    assert repair(config, store=store, registry=registry) == ()
    assert told(registry, config) == (None, None)
    assert entries(store, config)[-1] == ("canary", 0.0, "stopped")
    with pytest.raises(ReleaseError, match="has not passed as canary"):
        promote(config, candidate.signoff_id, store=store, registry=registry)


def test_one_that_was_deleted_while_it_was_cut_off_is_ended_by_one_repair(
    config: ModelConfig, looked: Any, store: Store, registry: Registry
) -> None:
    with pytest.raises(Killed):
        looked(checkpoint=dying("after_intent"))
    with logged_in(ADMIN):
        registry.client.delete_model_version(config.model, "2")
    found = repair(config, store=store, registry=registry)
    assert ["cut off" in one.said for one in found] == [True, False]
    assert "deleted in MLflow" in found[1].said
    assert repair(config, store=store, registry=registry) == ()


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
