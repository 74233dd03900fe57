"""The laws of the fold: what any history of releases, in any order, can and can not make true."""

from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from branches import reached, reaches
from logs import day
from perennial.contracts import LedgerEntry, LedgerKind, ReleaseState, RetrainRequest, Window, from_record, to_record
from perennial.errors import IntegrityError
from perennial.ledger import RELEASE_KINDS, fold

STRETCH = to_record(Window(start=day(0).start, end=day(4).start))
HOLDOUT = to_record(Window(start=day(4).start, end=day(6).start))


def entry(kind: LedgerKind, number: int, version: str | None = "1", **payload: Any) -> LedgerEntry:
    return LedgerEntry(
        entry_id=f"e{number}",
        model="m",
        kind=kind,
        at=day(number).end,
        actor="test",
        reason="because",
        version=version,
        payload=payload,
    )


def promoted(number: int, version: str, previous: str | None, intent: str = "none") -> LedgerEntry:
    fitted = {"train": STRETCH, "holdout": HOLDOUT}
    return entry("promotion", number, version, previous=previous, artifact_digest="d", intent=intent, **fitted)


def baked(number: int, version: str, outcome: str = "passed") -> LedgerEntry:
    return entry("bake", number, version, outcome=outcome)


def rolled_back(number: int, version: str, previous: str) -> LedgerEntry:
    return entry("rollback", number, version, previous=previous, intent="none")


def test_nobody_serves_before_the_first_promotion() -> None:
    assert fold("m", []) == ReleaseState(model="m")


def test_a_promotion_takes_office_on_probation() -> None:
    state = fold("m", [promoted(1, "1", None)])
    assert (state.champion, state.in_bake, state.stable, state.champion_since) == ("1", True, (), day(1).end)
    assert state.lineages["1"].train.end == state.lineages["1"].holdout.start


def test_every_fit_counts_once_for_what_it_cost_and_one_of_which_nothing_was_kept_for_nothing() -> None:
    def judged(number: int, run: str, **cost: float) -> LedgerEntry:
        return entry("signoff", number, evaluation={"mlflow_run_id": run, **cost})

    again = [judged(1, "r1", fit_cpu_s=12.5), judged(2, "r1", fit_cpu_s=12.5)]
    state = fold("m", [*again, judged(3, "r2"), judged(4, "r3", fit_cpu_s=0.0), judged(5, "r4", fit_cpu_s=3.0)])
    assert state.fits == {"r1": (day(1).end, 12.5), "r4": (day(5).end, 3.0)}


def test_a_passed_bake_makes_the_champion_stable_and_a_failed_one_does_not() -> None:
    passed = fold("m", [promoted(1, "1", None), baked(2, "1")])
    assert (passed.in_bake, passed.bake_failed, passed.stable) == (False, False, ("1",))
    failed = fold("m", [promoted(1, "1", None), baked(2, "1", "failed")])
    assert (failed.in_bake, failed.bake_failed, failed.stable) == (False, True, ())


def test_a_bake_of_a_version_that_does_not_serve_changes_nothing() -> None:
    history = [promoted(1, "1", None), baked(2, "1"), promoted(3, "2", "1")]
    assert fold("m", [*history, baked(4, "1", "failed")]) == fold("m", history)
    back = [*history, rolled_back(5, "1", "2")]
    assert fold("m", [*back, baked(6, "2")]) == fold("m", back)


def test_a_promotion_over_a_failed_bake_starts_afresh() -> None:
    state = fold("m", [promoted(1, "1", None), baked(2, "1", "failed"), promoted(3, "2", "1")])
    assert (state.champion, state.in_bake, state.bake_failed) == ("2", True, False)


def test_a_version_someone_went_back_to_is_the_one_trusted_last() -> None:
    history = []
    for number in (1, 2, 3):
        history += [promoted(number * 2, str(number), None), baked(number * 2 + 1, str(number))]
    state = fold("m", [*history, rolled_back(9, "1", "3")])
    assert (state.champion, state.stable, state.rolled_back) == ("1", ("2", "1"), {"3"})
    assert not state.released_since_rollback
    assert fold("m", [*history, rolled_back(9, "1", "3"), promoted(10, "4", "1")]).released_since_rollback


def test_an_intent_is_pending_until_its_own_completion_or_abandonment() -> None:
    intent = entry("promotion_intent", 1, "1", previous=None, train=STRETCH, holdout=HOLDOUT)
    assert fold("m", [intent]).pending == intent
    assert fold("m", [intent, promoted(2, "1", None, intent="e1")]).pending is None
    assert fold("m", [intent, promoted(2, "7", None, intent="another")]).pending == intent
    assert fold("m", [intent, entry("integrity", 2, "1", abandons="e1")]).pending is None
    assert fold("m", [intent, entry("integrity", 2, "1", alias="champion")]).pending == intent


def requested(number: int) -> LedgerEntry:
    request = RetrainRequest(model="m", run_id=f"r{number}", as_of=day(number).end, cause="c", requested_by="policy")
    return entry("retrain_request", number, None, **to_record(request))


def outcome_of(number: int, ended: str) -> LedgerEntry:
    return entry("retrain_outcome", number, None, **requested(number).payload, ended=ended)


def test_requests_count_by_their_event_time_whatever_the_order_they_came_in() -> None:
    late, early = requested(9), requested(3)
    one, other = fold("m", [late, early]), fold("m", [early, late])
    assert one.request_times == other.request_times == (day(3).end, day(9).end)
    assert one.last_request_at == other.last_request_at == day(9).end


def test_a_request_is_open_until_its_outcome_and_gives_its_budget_back_when_it_made_nothing() -> None:
    asked = [requested(3), requested(4)]
    assert [request.as_of for request in fold("m", asked).open_requests] == [day(3).end, day(4).end]
    for ended, times in (("failed", 1), ("overtaken", 1), ("promoted", 2), ("refused", 2), ("rejected", 2)):
        state = fold("m", [*asked, outcome_of(3, ended), outcome_of(3, ended)])
        assert [request.as_of for request in state.open_requests] == [day(4).end], ended
        assert len(state.request_times) == times, ended
        assert state.last_request_at == day(4).end


def test_a_hold_waits_until_it_is_answered() -> None:
    hold = entry("hold", 1, "2", stretch=STRETCH)
    answer = entry("acknowledgement", 2, None, hold="e1", exclude=True)
    assert [(h.acknowledged, h.excluded) for h in fold("m", [hold]).holds] == [(False, False)]
    assert [(h.acknowledged, h.excluded) for h in fold("m", [hold, answer]).holds] == [(True, True)]
    other = entry("acknowledgement", 2, None, hold="e7", exclude=True)
    assert fold("m", [hold, other]) == fold("m", [hold])


def test_a_release_without_a_version_is_refused() -> None:
    with pytest.raises(IntegrityError, match=r"e1 \(promotion\) of m names no version"):
        fold("m", [replace(promoted(1, "1", None), version=None)])


# --- laws over lawful histories ------------------------------------------------------------------------------------


@st.composite
def histories(draw: st.DrawFn) -> list[LedgerEntry]:
    """What the release code can write: promotions of new and of trusted versions, bakes, rollbacks to the trusted."""
    history: list[LedgerEntry] = []
    fresh = 1
    for number in range(1, draw(st.integers(0, 14)) + 1):
        state = fold("m", history)
        possible = ["promotion", "retrain_request", "hold"]
        trusted = [version for version in state.stable if version != state.champion]
        possible += ["bake"] * 6 * state.in_bake + ["rollback"] * 6 * bool(trusted)
        kind = draw(st.sampled_from(possible))
        if kind == "promotion":
            version = draw(st.sampled_from([str(fresh), str(fresh), *trusted]))
            history.append(promoted(number, version, state.champion))
            fresh += version == str(fresh)
        elif kind == "bake":
            history.append(baked(number, str(state.champion), draw(st.sampled_from(["passed", "failed"]))))
        elif kind == "rollback":
            history.append(rolled_back(number, draw(st.sampled_from(trusted)), str(state.champion)))
        elif kind == "hold":
            history.append(entry("hold", number, "1", stretch=STRETCH))
        else:
            history.append(requested(number))
    return history


@reaches(rolled_back=0.01, trusted=0.05)
@given(histories())
def test_the_champion_and_the_trusted_were_never_rolled_back(history: list[LedgerEntry]) -> None:
    state = fold("m", history)
    reached("rolled_back", bool(state.rolled_back))
    reached("trusted", bool(state.stable))
    assert state.champion not in state.rolled_back
    assert not set(state.stable) & state.rolled_back
    assert len(set(state.stable)) == len(state.stable)
    assert {state.champion, *state.stable} - {None} <= set(state.lineages)


@reaches(passed=0.1, failed=0.1)
@given(histories())
def test_only_a_passed_bake_makes_a_version_trusted(history: list[LedgerEntry]) -> None:
    passed = {item.version for item in history if item.kind == "bake" and item.payload["outcome"] == "passed"}
    reached("passed", bool(passed))
    reached("failed", any(item.kind == "bake" and item.version not in passed for item in history))
    assert set(fold("m", history).stable) <= passed


@reaches(outside=0.02)
@given(histories())
def test_outside_a_bake_the_champion_is_the_one_trusted_last(history: list[LedgerEntry]) -> None:
    state = fold("m", history)
    assert not (state.in_bake and state.bake_failed)
    if reached("outside", bool(state.champion) and not state.in_bake and not state.bake_failed):
        assert state.stable[-1] == state.champion


@given(histories(), st.data())
def test_a_history_folds_the_same_in_one_go_or_after_what_does_not_concern_it(
    history: list[LedgerEntry], data: st.DataObject
) -> None:
    other = [kind for kind in get_args(LedgerKind) if kind not in RELEASE_KINDS]
    noise = entry(data.draw(st.sampled_from(other)), 60)
    position = data.draw(st.integers(0, len(history)))
    assert fold("m", [*history[:position], noise, *history[position:]]) == fold("m", history)


@given(histories())
def test_the_state_survives_its_record(history: list[LedgerEntry]) -> None:
    state = fold("m", history)
    assert from_record(ReleaseState, to_record(state)) == state


@reaches(agrees=0.01, apart=0.1)
@given(histories(), st.none() | st.integers(1, 3).map(str))
def test_an_alias_agrees_with_the_ledger_exactly_when_it_names_the_champion(
    history: list[LedgerEntry], alias: str | None
) -> None:
    state = fold("m", history)
    reached("agrees" if alias == state.champion is not None else "apart")
    assert (state.divergence(alias) is None) == (alias == state.champion)


def test_where_the_champion_was_deleted_nobody_is_told_to_set_the_alias_back_to_it() -> None:
    state = ReleaseState(model="m", champion="3", stable=("2", "3"), gone=frozenset({"3"}))
    told = str(state.divergence("1"))
    assert "was deleted in MLflow" in told
    assert "set it back" not in told
    assert "delete the alias, which someone set to version 1 by hand, and then roll back to version 2" in told
    assert "delete the alias" not in str(state.divergence(None))
