"""Releases against the real registry and the real ledger: once, exactly what was approved, and whole after a crash."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, text

from conftest import free_port
from logs import day
from lossy import Loss, losing_files
from perennial import ledger
from perennial.bake.settlement import settle
from perennial.config import ModelConfig
from perennial.contracts import BakeState, LedgerEntry, Release, ReleaseState, Signoff, to_record
from perennial.errors import IntegrityError, RegistryUnavailable, ReleaseError, StoreUnavailable
from perennial.registry import Registry, alias_version, delete_alias, set_alias
from perennial.registry.versions import version_tags
from perennial.release.hold import acknowledge
from perennial.release.intent import completed
from perennial.release.promote import challenge, promote, withdraw
from perennial.release.reconcile import follow_bake, reconcile, repair
from perennial.release.rollback import roll_back
from perennial.store import Store, locks, schema
from releases import approval, as_order, forking, in_ledger, released, run_and_die, shared_version, signed
from servers import logged_in
from stack.environment import ADMIN

pytestmark = pytest.mark.usefixtures("as_pipeline")


@pytest.fixture
def registry(mlflow_uri: str) -> Registry:
    return Registry(mlflow_uri)


def state_of(store: Store, config: ModelConfig) -> ReleaseState:
    return ledger.release_state(store, config.model)


def kinds(store: Store, config: ModelConfig) -> list[str]:
    """The kinds of all entries but signoffs and their answers."""
    return [entry.kind for entry in ledger.entries(store, config.model) if entry.kind not in ("signoff", "review")]


def aliases(registry: Registry, config: ModelConfig) -> tuple[str | None, ...]:
    return tuple(alias_version(registry, config.model, alias) for alias in ("champion", "challenger", "stable"))


def measured(
    store: Store, config: ModelConfig, number: int, version: str, status: str, *, paired: bool = False
) -> None:
    value = {"ok": 0.9, "breached": 0.3, "unknown": None}[status]
    window = day(number)
    row = {
        "model": config.model,
        "window_start": window.start,
        "window_end": window.end,
        "name": "bake/accuracy_vs_stable" if paired else "bake/accuracy",
        "as_of": window.end,
        "version": version,
        "role": "alert",
        "status": status,
        "value": value,
        "threshold": 0.6,
    }
    with store.begin() as connection:
        connection.execute(insert(schema.signals).values(**row))


def settled(config: ModelConfig, number: int, *, store: Store, registry: Registry) -> BakeState:
    outcome = settle(config, store=store, at=day(number).end)
    if outcome == "passed":
        follow_bake(config, store=store, registry=registry)
    return outcome


def baked(
    config: ModelConfig, version: str, seen: str | None, number: int, *, store: Store, registry: Registry
) -> None:
    """Promote a version as of the end of a day and let it pass its bake in the two days after."""
    released(config, signed(config, registry, version, seen, number), store=store, registry=registry)
    for later in (number + 1, number + 2):
        measured(store, config, later, version, "ok")
        if seen is not None:
            measured(store, config, later, version, "ok", paired=True)
    assert settled(config, number + 2, store=store, registry=registry) == "passed"


@pytest.fixture
def first(wine: ModelConfig, store: Store, registry: Registry) -> str:
    """Version 1, promoted on day 6 and stable since day 8."""
    version = shared_version(wine, registry, "one")
    baked(wine, version, None, 6, store=store, registry=registry)
    return version


@pytest.fixture
def second(wine: ModelConfig, store: Store, registry: Registry, first: str) -> str:
    """Version 2, champion on probation since day 16, over version 1, which is stable."""
    version = shared_version(wine, registry, "two")
    released(wine, signed(wine, registry, version, first, 16), store=store, registry=registry)
    return version


@pytest.fixture(scope="module")
def forks() -> Iterator[Any]:
    with forking() as process:
        yield process


@pytest.fixture
def killed(
    forks: Any, wine: ModelConfig, store: Store, registry: Registry, models_dir: Path, home: Path
) -> Callable[..., None]:
    """Runs a release in a process of its own that kills itself at ``die_at``."""
    return partial(run_and_die, forks, models_dir / wine.model, store, home, registry)


def failed_bake(config: ModelConfig, store: Store, registry: Registry, version: str) -> str:
    """Let the champion fail its bake on day 17 and write the decision to roll it back; the decision's id."""
    measured(store, config, 17, version, "breached")
    assert settled(config, 17, store=store, registry=registry) == "failed"
    return decided(store, config, version)


def decided(store: Store, config: ModelConfig, champion: str | None, action: str = "rollback") -> str:
    entry = LedgerEntry(
        entry_id=f"decision-{config.model}-{champion}",
        model=config.model,
        kind="decision",
        at=day(17).end,
        actor="policy",
        reason="the bake failed",
        payload={"decision": {"action": action, "champion": champion}},
    )
    ledger.append(store, entry)
    return entry.entry_id


# --- promotion ---------------------------------------------------------------------------------------------------


def test_a_first_promotion_takes_office_and_is_one_however_often_it_runs(
    wine: ModelConfig, store: Store, registry: Registry
) -> None:
    version = shared_version(wine, registry, "one")
    signoff = signed(wine, registry, version, None)
    challenge(wine, signoff, store=store, registry=registry)
    assert aliases(registry, wine) == (None, version, None)
    made = [released(wine, signoff, store=store, registry=registry) for _ in range(2)]
    assert (
        made[0]
        == made[1]
        == Release(model=wine.model, kind="promotion", version=version, previous=None, entry_id=made[0].entry_id)
    )
    assert kinds(store, wine) == ["promotion_intent", "promotion"]
    assert aliases(registry, wine) == (version, None, None)
    assert version_tags(registry, wine.model, version)["version.release"] == "promoted"
    assert state_of(store, wine).champion_since == day(6).end
    challenge(wine, signoff, store=store, registry=registry)
    assert aliases(registry, wine) == (version, None, None)


def test_a_promotion_reads_the_history_once_and_the_state_as_its_fences(
    wine: ModelConfig, store: Store, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its alias moves, after, and before a canary's goes: who was held up must not act on what it read."""
    signoff = in_ledger(signed(wine, registry, shared_version(wine, registry, "one"), None), store)
    asked: list[str] = []

    def counted(name: str, of: Callable[..., Any], *args: Any) -> Any:
        asked.append(name)
        return of(*args)

    for name in set(ledger.__all__) - {"RELEASE_KINDS", "History", "after", "append", "append_after", "fold"}:
        monkeypatch.setattr(ledger, name, partial(counted, name, getattr(ledger, name)))
    promote(wine, signoff.signoff_id, store=store, registry=registry)
    assert asked == ["read", "release_state", "release_state", "release_state"]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"verdict": "rejected", "reviewer": "ada", "reason": "no"}, "was rejected by ada"),
    ],
)
def test_without_an_approval_of_this_version_nothing_is_promoted(
    wine: ModelConfig, store: Store, registry: Registry, answer: dict[str, Any], message: str
) -> None:
    signoff = signed(wine, registry, shared_version(wine, registry, "one"), None)
    review = replace(approval(signoff), **answer)
    with pytest.raises(ReleaseError, match=message):
        released(wine, signoff, store=store, registry=registry, review=review)
    assert kinds(store, wine) == []


def test_failed_gates_and_a_policy_that_answers_for_a_person_promote_nothing(
    wine: ModelConfig, store: Store, registry: Registry
) -> None:
    signoff = signed(wine, registry, shared_version(wine, registry, "one"), None)
    for broken, message in (
        (replace(signoff, passed=False), "did not pass its gates"),
        (replace(signoff, review="manual", config_digest="c"), "asks for a person's review"),
    ):
        with pytest.raises(ReleaseError, match=message):
            released(wine, broken, store=store, registry=registry)
    with pytest.raises(ReleaseError, match="failed its gates"):
        challenge(wine, replace(signoff, passed=False), store=store, registry=registry)
    assert aliases(registry, wine) == (None, None, None)


def test_an_approval_expires_when_the_champion_changed(
    wine: ModelConfig, store: Store, registry: Registry, first: str
) -> None:
    stale = signed(wine, registry, shared_version(wine, registry, "two"), None)
    with pytest.raises(ReleaseError, match=f"approval expired: it was given against champion none, .* is {first} now"):
        released(wine, stale, store=store, registry=registry)
    assert aliases(registry, wine) == (first, None, first)


def test_an_approval_expires_when_the_files_changed(wine: ModelConfig, store: Store, registry: Registry) -> None:
    signoff = replace(signed(wine, registry, shared_version(wine, registry, "one"), None), artifact_digest="0" * 64)
    with pytest.raises(ReleaseError, match="approval expired: its files have the digest"):
        released(wine, signoff, store=store, registry=registry)
    assert kinds(store, wine) == []


def test_an_alias_moved_by_hand_is_reported_and_left_alone(
    wine: ModelConfig, store: Store, registry: Registry, first: str
) -> None:
    other = shared_version(wine, registry, "two")
    set_alias(registry, wine.model, "champion", other)
    with pytest.raises(ReleaseError, match=r"approval expired: .*moved the alias by hand"):
        released(wine, signed(wine, registry, other, first), store=store, registry=registry)
    for _ in range(2):
        (said,) = reconcile(wine, store=store, registry=registry)
        assert said == state_of(store, wine).divergence(other)
    assert kinds(store, wine).count("integrity") == 1
    assert aliases(registry, wine) == (other, None, first)
    set_alias(registry, wine.model, "champion", first)
    assert reconcile(wine, store=store, registry=registry) == ()


def test_two_promotions_at_once_have_one_winner(wine: ModelConfig, store: Store, registry: Registry) -> None:
    signoffs = [signed(wine, registry, shared_version(wine, registry, name), None) for name in ("one", "two")]

    def attempt(signoff: Signoff) -> Release | ReleaseError:
        try:
            return released(wine, signoff, store=store, registry=registry)
        except ReleaseError as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(attempt, signoffs))
    (winner,) = [end for end in ends if isinstance(end, Release)]
    (loser,) = [end for end in ends if isinstance(end, ReleaseError)]
    assert "approval expired" in str(loser)
    assert aliases(registry, wine)[0] == winner.version == state_of(store, wine).champion
    assert kinds(store, wine) == ["promotion_intent", "promotion"]


def test_a_silent_registry_is_worth_another_try_and_leaves_nothing_behind(
    wine: ModelConfig, store: Store, registry: Registry
) -> None:
    signoff = signed(wine, registry, shared_version(wine, registry, "one"), None)
    with pytest.raises(RegistryUnavailable):
        released(wine, signoff, store=store, registry=Registry(f"http://127.0.0.1:{free_port()}"))
    assert kinds(store, wine) == []
    assert released(wine, signoff, store=store, registry=registry).version == signoff.version


@pytest.mark.parametrize("loss", ["no answer", "half of it", "503"])
def test_files_that_did_not_come_refuse_no_approval_and_abandon_no_release(
    wine: ModelConfig,
    store: Store,
    registry: Registry,
    mlflow_uri: str,
    first: str,
    loss: Loss,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A connection that is lost in the middle of a file is worth another try; that the files are gone is not."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    signoff = in_ledger(signed(wine, registry, shared_version(wine, registry, "two"), first, 16), store)
    challenge(wine, signoff, store=store, registry=registry)

    def cut_off(reached: str) -> None:
        raise KeyboardInterrupt

    with losing_files(mlflow_uri, loss) as uri:
        with pytest.raises(RegistryUnavailable, match="downloading"):
            promote(wine, signoff.signoff_id, store=store, registry=Registry(uri))
        assert aliases(registry, wine) == (first, signoff.version, first)
        with pytest.raises(KeyboardInterrupt):
            promote(wine, signoff.signoff_id, store=store, registry=registry, checkpoint=cut_off)
        with pytest.raises(RegistryUnavailable, match="downloading"):
            reconcile(wine, store=store, registry=Registry(uri))
    assert len(reconcile(wine, store=store, registry=registry)) == 1
    assert aliases(registry, wine) == (signoff.version, None, first)
    with losing_files(mlflow_uri, loss) as uri, pytest.raises(RegistryUnavailable, match="downloading"):
        roll_back(wine, store=store, registry=Registry(uri), actor="ada", reason="it errs", at=day(18).end)


def test_a_challenger_whose_review_ended_loses_its_alias_and_no_other(
    wine: ModelConfig, store: Store, registry: Registry
) -> None:
    versions = [shared_version(wine, registry, name) for name in ("one", "two")]
    challenge(wine, signed(wine, registry, versions[1], None), store=store, registry=registry)
    withdraw(wine, versions[0], store=store, registry=registry)
    assert aliases(registry, wine)[1] == versions[1]
    withdraw(wine, versions[1], store=store, registry=registry)
    assert aliases(registry, wine)[1] is None


# --- killed on the way -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("die_at", ["after_intent", "after_alias", "after_tags", "after_completion"])
def test_a_promotion_killed_at_any_step_ends_as_if_it_had_not_been(
    wine: ModelConfig, store: Store, registry: Registry, killed: Callable[..., None], die_at: str
) -> None:
    signoff = signed(wine, registry, shared_version(wine, registry, "one"), None)
    challenge(wine, signoff, store=store, registry=registry)
    order = as_order(signoff)
    killed(die_at=die_at, signoff=order)
    assert (state_of(store, wine).pending is None) == (die_at == "after_completion")
    said = reconcile(wine, store=store, registry=registry)
    assert len(said) == (die_at != "after_completion")
    assert reconcile(wine, store=store, registry=registry) == ()
    assert released(wine, signoff, store=store, registry=registry).version == signoff.version
    assert kinds(store, wine) == ["promotion_intent", "promotion"]
    assert aliases(registry, wine) == (signoff.version, None, None)
    assert state_of(store, wine).in_bake


@pytest.mark.usefixtures("second")
@pytest.mark.parametrize("die_at", ["after_intent", "after_alias", "after_tags", "after_completion"])
def test_a_rollback_killed_at_any_step_ends_as_if_it_had_not_been(
    wine: ModelConfig, store: Store, registry: Registry, killed: Callable[..., None], die_at: str
) -> None:
    before = state_of(store, wine)
    first, second = before.stable[-1], str(before.champion)
    call = {"actor": "policy", "reason": "the bake failed", "decision_id": failed_bake(wine, store, registry, second)}
    order = {**call, "at": day(17).end.isoformat()}
    killed(die_at=die_at, rollback=order)
    made = roll_back(wine, store=store, registry=registry, at=day(17).end, **call)
    assert (made.kind, made.version, made.previous) == ("rollback", first, second)
    assert kinds(store, wine)[-3:] == ["rollback_intent", "hold", "rollback"]
    assert aliases(registry, wine) == (first, None, first)
    assert len(state_of(store, wine).holds) == 1
    assert reconcile(wine, store=store, registry=registry) == ()


def test_the_next_promotion_finishes_the_one_that_was_killed_and_then_expires(
    wine: ModelConfig, store: Store, registry: Registry, killed: Callable[..., None]
) -> None:
    signoffs = [signed(wine, registry, shared_version(wine, registry, name), None) for name in ("one", "two")]
    order = as_order(signoffs[0])
    killed(die_at="after_intent", signoff=order)
    with pytest.raises(ReleaseError, match="approval expired"):
        released(wine, signoffs[1], store=store, registry=registry)
    assert aliases(registry, wine)[0] == state_of(store, wine).champion == signoffs[0].version


def test_a_promotion_whose_files_vanished_while_it_was_cut_off_is_abandoned(
    wine: ModelConfig, store: Store, registry: Registry, killed: Callable[..., None], first: str
) -> None:
    signoff = signed(wine, registry, shared_version(wine, registry, "two"), first)
    order = as_order(signoff)
    killed(die_at="after_intent", signoff=order)
    with logged_in(ADMIN):
        registry.client.delete_model_version(wine.model, signoff.version)
    (said,) = reconcile(wine, store=store, registry=registry)
    assert "abandoned the promotion" in said
    assert state_of(store, wine).pending is None
    assert aliases(registry, wine) == (first, None, first)
    with pytest.raises(ReleaseError, match="approval expired: its files can not be read"):
        released(wine, signoff, store=store, registry=registry)


def test_a_hand_in_the_middle_of_a_cut_off_promotion_is_not_overwritten(
    wine: ModelConfig, store: Store, registry: Registry, killed: Callable[..., None], first: str
) -> None:
    signoff, other = (
        signed(wine, registry, shared_version(wine, registry, "two"), first),
        shared_version(wine, registry, "3"),
    )
    order = as_order(signoff)
    killed(die_at="after_intent", signoff=order)
    set_alias(registry, wine.model, "champion", other)
    with pytest.raises(IntegrityError, match=f"moved by hand to version {other}"):
        reconcile(wine, store=store, registry=registry)
    assert aliases(registry, wine)[0] == other
    set_alias(registry, wine.model, "champion", signoff.version)
    assert len(reconcile(wine, store=store, registry=registry)) == 1
    assert state_of(store, wine).champion == signoff.version


# --- bake --------------------------------------------------------------------------------------------------------


def test_a_bake_runs_until_enough_windows_passed_and_then_makes_the_champion_stable(
    wine: ModelConfig, store: Store, registry: Registry
) -> None:
    version = shared_version(wine, registry, "one")
    assert settled(wine, 5, store=store, registry=registry) == "none"
    released(wine, signed(wine, registry, version, None, 6), store=store, registry=registry)
    measured(store, wine, 5, version, "breached")  # before it took office
    measured(store, wine, 7, version, "ok")
    measured(store, wine, 8, version, "unknown")
    assert settled(wine, 8, store=store, registry=registry) == "running"
    measured(store, wine, 9, version, "ok")
    assert settled(wine, 8, store=store, registry=registry) == "running"  # the past does not see day 9
    assert settled(wine, 9, store=store, registry=registry) == "passed"
    assert settled(wine, 9, store=store, registry=registry) == "passed"
    assert settled(wine, 10, store=store, registry=registry) == "none"
    assert kinds(store, wine).count("bake") == 1
    assert aliases(registry, wine) == (version, None, version)


def test_without_the_comparison_with_the_stable_version_a_window_is_no_pass(
    wine: ModelConfig, store: Store, registry: Registry, first: str, second: str
) -> None:
    for number in (17, 18):
        measured(store, wine, number, second, "ok")
    assert settled(wine, 18, store=store, registry=registry) == "running"
    measured(store, wine, 17, second, "breached", paired=True)
    assert settled(wine, 18, store=store, registry=registry) == "failed"
    assert settled(wine, 19, store=store, registry=registry) == "failed"
    assert state_of(store, wine).stable == (first,)
    assert aliases(registry, wine) == (second, None, first)


def test_a_stable_alias_that_a_crash_left_behind_is_moved_and_one_moved_by_hand_is_not(
    wine: ModelConfig, store: Store, registry: Registry, first: str
) -> None:
    second = shared_version(wine, registry, "two")
    baked(wine, second, first, 16, store=store, registry=registry)
    set_alias(registry, wine.model, "stable", first)
    assert reconcile(wine, store=store, registry=registry) == (
        f"{wine.model}: moved the alias stable to version {second}, which had passed its bake",
    )
    delete_alias(registry, wine.model, "stable")
    (said,) = reconcile(wine, store=store, registry=registry)
    assert "alias stable is gone" in said
    assert aliases(registry, wine) == (second, None, None)


# --- rollback ----------------------------------------------------------------------------------------------------


def rolled(config: ModelConfig, store: Store, registry: Registry, **call: Any) -> Release:
    given = {"actor": "ada", "reason": "late trains", "at": day(18).end} | call
    return roll_back(config, store=store, registry=registry, **given)


def test_an_automatic_rollback_holds_the_stretch_that_made_the_version(
    wine: ModelConfig, store: Store, registry: Registry, first: str, second: str
) -> None:
    decision_id = failed_bake(wine, store, registry, second)
    made = rolled(wine, store, registry, decision_id=decision_id)
    assert made == rolled(wine, store, registry, decision_id=decision_id)
    state = state_of(store, wine)
    assert (state.champion, state.stable, state.rolled_back) == (first, (first,), {second})
    assert not state.released_since_rollback
    (hold,) = state.holds
    assert (hold.stretch.start, hold.stretch.end) == (day(11).start, day(16).end)
    assert version_tags(registry, wine.model, second)["version.release"] == "rolled back"
    with pytest.raises(ReleaseError, match="was rolled back and is not released again"):
        released(wine, signed(wine, registry, second, first, 20), store=store, registry=registry)
    with pytest.raises(ReleaseError, match="was rolled back and is not released again"):
        challenge(wine, signed(wine, registry, second, first, 20), store=store, registry=registry)


def test_a_decision_about_another_champion_rolls_nothing_back(
    wine: ModelConfig, store: Store, registry: Registry, first: str, second: str
) -> None:
    for decision_id, message in (
        (decided(store, wine, first), f"was to roll back version {first}, and version {second} serves now"),
        (decided(store, wine, "9", "stay"), "holds no decision"),
        ("unheard of", "holds no decision"),
    ):
        with pytest.raises(ReleaseError, match=message):
            rolled(wine, store, registry, decision_id=decision_id)
    assert aliases(registry, wine) == (second, None, first)


def test_a_manual_rollback_names_its_version_once_and_holds_nothing(
    wine: ModelConfig, store: Store, registry: Registry, first: str, second: str
) -> None:
    with pytest.raises(ReleaseError, match=f"version 9 never passed a bake; versions to go back to: {first}"):
        rolled(wine, store, registry, version="9")
    made = rolled(wine, store, registry, version=first)
    assert made == rolled(wine, store, registry, version=first)
    assert kinds(store, wine).count("rollback") == 1
    assert state_of(store, wine).holds == ()
    with pytest.raises(ReleaseError, match="no version other than the champion"):
        rolled(wine, store, registry, reason="once more")


def test_where_there_is_nothing_to_go_back_to_it_says_so(wine: ModelConfig, store: Store, registry: Registry) -> None:
    with pytest.raises(ReleaseError, match="has no champion"):
        rolled(wine, store, registry)


def test_a_rollback_overwrites_a_hand_only_where_it_agrees_with_it(
    wine: ModelConfig, store: Store, registry: Registry, first: str, second: str
) -> None:
    set_alias(registry, wine.model, "champion", shared_version(wine, registry, "three"))
    with pytest.raises(ReleaseError, match=r"nothing was rolled back: .* moved the alias by hand"):
        rolled(wine, store, registry)
    set_alias(registry, wine.model, "champion", first)
    assert rolled(wine, store, registry).version == first
    assert reconcile(wine, store=store, registry=registry) == ()


def test_a_hold_is_answered_once(wine: ModelConfig, store: Store, registry: Registry, first: str, second: str) -> None:
    rolled(wine, store, registry, decision_id=failed_bake(wine, store, registry, second))
    (hold,) = state_of(store, wine).holds

    def answer(hold_id: str, *, exclude: bool) -> LedgerEntry:
        return acknowledge(
            wine.model, hold_id, store=store, actor="ada", reason="wrong labels", exclude=exclude, at=day(19).end
        )

    assert answer(hold.entry_id, exclude=True) == answer(hold.entry_id, exclude=True)
    with pytest.raises(ReleaseError, match="answered the other way by ada"):
        answer(hold.entry_id, exclude=False)
    with pytest.raises(ReleaseError, match="has no hold h9; waiting for an answer: none"):
        answer("h9", exclude=True)
    (answered,) = state_of(store, wine).holds
    assert (answered.acknowledged, answered.excluded) == (True, True)


# --- what the ledger does not say --------------------------------------------------------------------------------


def test_a_forged_approval_promotes_nothing(wine: ModelConfig, store: Store, registry: Registry) -> None:
    """Records that travel through XCom are claims: the ledger shows this version as rejected by ada."""
    signoff = signed(wine, registry, shared_version(wine, registry, "one"), None)
    challenge(wine, signoff, store=store, registry=registry)
    refused = replace(approval(signoff), verdict="rejected", reviewer="ada", reason="no")
    with pytest.raises(ReleaseError, match="was rejected by ada"):
        released(wine, signoff, store=store, registry=registry, review=refused)
    assert aliases(registry, wine) == (None, None, None)
    for unknown in ("unheard of", replace(signoff, version="77").signoff_id, signoff.review_id):
        with pytest.raises(ReleaseError, match="the ledger holds no signoff"):
            promote(wine, unknown, store=store, registry=registry)


def test_a_signoff_without_an_answer_promotes_nothing(wine: ModelConfig, store: Store, registry: Registry) -> None:
    signoff = signed(wine, registry, shared_version(wine, registry, "one"), None)
    entry = LedgerEntry(
        entry_id=signoff.signoff_id, model=wine.model, kind="signoff", at=day(6).end, actor="policy", reason="passed",
        version=signoff.version, payload={"signoff": to_record(signoff)},
    )  # fmt: skip
    ledger.append(store, entry)
    with pytest.raises(ReleaseError, match="the ledger holds no answer to its signoff"):
        promote(wine, signoff.signoff_id, store=store, registry=registry)


def test_a_second_rollback_by_hand_is_one_of_its_own(
    wine: ModelConfig, store: Store, registry: Registry, first: str, second: str
) -> None:
    """Within one window both calls have the same reason and event time; the run tells them apart."""
    for later in (17, 18):
        measured(store, wine, later, second, "ok")
        measured(store, wine, later, second, "ok", paired=True)
    assert settled(wine, 18, store=store, registry=registry) == "passed"
    third = shared_version(wine, registry, "three")
    released(wine, signed(wine, registry, third, second, 20), store=store, registry=registry)
    once = rolled(wine, store, registry, run_id="run 1")
    again = rolled(wine, store, registry, run_id="run 1")
    twice = rolled(wine, store, registry, run_id="run 2")
    assert (once.version, again, twice.version) == (second, once, first)
    assert aliases(registry, wine)[0] == first == state_of(store, wine).champion


@pytest.mark.parametrize("lost_at", ["after_intent", "fenced"])
def test_who_lost_the_lock_moves_no_alias(
    wine: ModelConfig, store: Store, registry: Registry, first: str, lost_at: str
) -> None:
    """A process is held up, its connection dies, another one finishes its promotion and rolls it back."""
    signoff = in_ledger(signed(wine, registry, shared_version(wine, registry, "two"), first, 16), store)

    def overtaken(reached: str) -> None:
        if reached != lost_at:
            return
        end_other_connections(store)
        reconcile(wine, store=store, registry=registry)
        assert state_of(store, wine).champion == signoff.version
        rolled(wine, store, registry, run_id="another")

    with pytest.raises((ReleaseError, StoreUnavailable)):
        promote(wine, signoff.signoff_id, store=store, registry=registry, checkpoint=overtaken)
    assert aliases(registry, wine)[0] == first == state_of(store, wine).champion
    assert reconcile(wine, store=store, registry=registry) == ()


def test_who_was_overtaken_and_has_the_lock_does_not_wait_for_himself(
    wine: ModelConfig, store: Store, registry: Registry, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One who lost the lock goes on, and completes the release while the one who has it finishes it for him."""
    signoff = in_ledger(signed(wine, registry, shared_version(wine, registry, "two"), first, 16), store)
    monkeypatch.setitem(locks.model_lock.__wrapped__.__kwdefaults__, "timeout_s", 2)  # type: ignore[attr-defined]

    def overtaken(reached: str) -> None:
        intent = state_of(store, wine).pending
        if reached == "fenced":
            assert intent is not None
            assert ledger.append_after(store, completed(intent), intent.entry_id)

    with pytest.raises(ReleaseError, match="another process took over"):
        promote(wine, signoff.signoff_id, store=store, registry=registry, checkpoint=overtaken)
    assert aliases(registry, wine) == (signoff.version, None, first)
    assert repair(wine, store=store, registry=registry) == ()


def test_a_release_that_its_own_process_ended_meanwhile_is_in_nobodys_way(
    wine: ModelConfig, store: Store, registry: Registry, first: str
) -> None:
    """A rollback by hand finds a promotion under way, begins to finish it, and is not red because it is finished."""
    signoff = in_ledger(signed(wine, registry, shared_version(wine, registry, "two"), first, 16), store)

    def cut_off(reached: str) -> None:
        raise KeyboardInterrupt

    def overtaken(reached: str) -> None:
        pending = state_of(store, wine).pending
        if reached == "fenced" and pending is not None and pending.kind == "promotion_intent":
            assert ledger.append_after(store, completed(pending), pending.entry_id)

    with pytest.raises(KeyboardInterrupt):
        promote(wine, signoff.signoff_id, store=store, registry=registry, checkpoint=cut_off)
    by_hand = {"actor": "ada", "reason": "it errs", "at": day(18).end}
    done = roll_back(wine, store=store, registry=registry, checkpoint=overtaken, **by_hand)
    assert (done.version, done.previous) == (first, signoff.version)
    assert state_of(store, wine).champion == first
    assert repair(wine, store=store, registry=registry) == ()


def end_other_connections(store: Store) -> None:
    """What a failover does to everyone who holds a lock."""
    end = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with store.engine.connect() as connection:
        connection.execute(end)
