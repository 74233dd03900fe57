"""The laws of the policy, and every rule of it with its reason."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from branches import reached, reaches
from logs import day
from perennial.config import ModelConfig, load_model
from perennial.config.rules import Breaches, QuietPeriod
from perennial.contracts import (
    Action,
    Hold,
    Lineage,
    ReleaseState,
    Signal,
    SignalRole,
    SignalStatus,
    Window,
    from_record,
    to_record,
)
from perennial.contracts import Decision as DecisionRecord
from perennial.decision.facts import Facts
from perennial.decision.policy import decide
from perennial.decision.sequence import breached_often
from perennial.evidence.stretches import TrainingRows

BASE = load_model(Path(__file__).parents[1] / "models" / "wine_cultivar")
NOW = day(40)
GAIN = "gain/accuracy"


def policy(**settings: Any) -> ModelConfig:
    return BASE.model_copy(update={"policy": BASE.policy.model_copy(update=settings)})


def k_of_n(k: int, n: int) -> ModelConfig:
    return policy(breaches=BASE.policy.breaches.model_copy(update={"k": k, "n": n}))


def patient_bake(config: ModelConfig = BASE) -> ModelConfig:
    """A bake that may last as long as the calendar."""
    return config.model_copy(update={"bake": config.bake.model_copy(update={"deadline": timedelta(days=999)})})


def fit_until(number: int) -> Lineage:
    """Trained on the four days before day ``number``, judged on that day and the next."""
    return Lineage(
        train=Window(start=day(number - 4).start, end=day(number).start),
        holdout=Window(start=day(number).start, end=day(number + 1).end),
    )


BAKED = ReleaseState(
    model=BASE.model,
    champion="2",
    champion_since=day(30).start,
    lineages={"1": fit_until(10), "2": fit_until(28)},
    stable=("1", "2"),
)
BAKING = replace(BAKED, in_bake=True, stable=("1",))
FAILED = replace(BAKED, bake_failed=True, stable=("1",))
NEW = ReleaseState(model=BASE.model)


def signal(
    number: int = 40,
    status: SignalStatus = "breached",
    *,
    name: str = "performance/accuracy",
    role: SignalRole = "retrain",
    version: str = "2",
) -> Signal:
    value = {"breached": 0.61, "ok": 0.9, "undecided": 0.69, "unknown": None}[status]
    return Signal(
        model=BASE.model,
        window=day(number),
        as_of=day(number).end,
        name=name,
        role=role,
        status=status,
        value=value,
        threshold=0.7,
        version=version,
        detail="" if value else "no labels",
    )


def facts(state: ReleaseState = BAKED, *signals: Signal, **other: Any) -> Facts:
    rows = TrainingRows(
        n_new=other.pop("n_new", 500), n_train=other.pop("n_train", 0), n_holdout=other.pop("n_holdout", 0)
    )
    known = {"champion_alias": state.champion, "batch_ids": ("p", "l"), "rows": rows}
    return Facts(window=NOW, state=state, signals=signals, **(known | other))


def reasons(config: ModelConfig, known: Facts) -> str:
    return "; ".join(decide(config, known).reasons)


def gain(number: int = 40, status: SignalStatus = "breached") -> Signal:
    found = signal(number, status, name=GAIN)
    return replace(found, threshold=0.02, detail="a model fitted just before would have gained 0.61 accuracy")


# --- each rule ---------------------------------------------------------------------------------------------------


def test_a_halted_batch_decides_nothing_else_even_when_the_bake_failed() -> None:
    made = decide(BASE, facts(FAILED, signal(), halted="the predictions of 7 rows were not published: no column hue"))
    assert made.action == "halt"
    assert made.reasons == ("the predictions of 7 rows were not published: no column hue",)
    assert made.retrain_run_id is None


def test_an_alias_moved_by_hand_halts_and_says_what_to_do() -> None:
    made = decide(BASE, facts(BAKED, signal(), champion_alias="7"))
    assert made.action == "halt"
    assert "champion is on version 7, the ledger's champion is version 2" in made.reasons[0]
    assert "set it back to version 2 in MLflow" in made.reasons[0]


def test_a_halt_is_decided_anew_once_its_cause_is_mended() -> None:
    halted, mended = facts(BAKED, champion_alias="7"), facts(BAKED)
    assert decide(BASE, halted).decision_id != decide(BASE, mended).decision_id
    assert decide(BASE, halted).decision_id == decide(BASE, halted).decision_id


def test_a_failed_bake_rolls_back_to_the_version_trusted_last() -> None:
    made = decide(BASE, facts(FAILED, signal(name="bake/accuracy", role="alert")))
    assert (made.action, made.bake) == ("rollback", "failed")
    assert made.reasons == (
        "version 2 failed its bake (bake/accuracy 0.61 against 0.7 from 2024-02-10); version 1 passed its own",
    )


def test_a_retrain_that_is_worth_its_price_is_asked_for_whatever_k_of_n_says() -> None:
    made = decide(k_of_n(3, 3), facts(BAKED, gain()))
    assert made.action == "retrain"
    assert made.reasons == ("a model fitted just before would have gained 0.61 accuracy; price 0.02",)


@pytest.mark.parametrize("newest", ["ok", "undecided"])
def test_only_the_newest_sum_of_gains_counts(newest: SignalStatus) -> None:
    assert decide(k_of_n(1, 3), facts(BAKED, gain(39), gain(40, newest))).action == "stay"
    assert decide(k_of_n(1, 3), facts(BAKED, gain(39), gain(40, "unknown"))).action == "retrain"


def test_a_gain_that_a_retrain_was_asked_for_is_not_asked_for_again() -> None:
    asked = replace(BAKED, last_request_at=day(39).end, request_times=(day(39).end,))
    known = facts(asked, gain(39), n_new=500)
    config = policy(cooldown=timedelta(0), breaches=k_of_n(1, 3).policy.breaches)
    assert decide(config, known).action == "stay"
    assert decide(config, replace(known, signals=(gain(39), gain(40)))).action == "retrain"
    failed = replace(asked, request_times=())
    assert decide(config, replace(known, state=failed)).action == "retrain", "a request that failed was no answer"


def test_a_refused_candidate_answers_for_the_age_of_its_champion_for_as_long() -> None:
    config = policy(max_age=timedelta(days=12), cooldown=timedelta(0))
    refused = replace(BAKED, request_times=(day(33).end,), last_request_at=day(33).end)
    assert decide(config, facts(refused)).action == "stay"
    config = policy(max_age=timedelta(days=6), cooldown=timedelta(0))
    assert decide(config, facts(refused)).action == "retrain"
    made_it = replace(BAKED, request_times=(BAKED.champion_since or NOW.end,))
    assert decide(policy(max_age=timedelta(days=12)), facts(made_it)).action == "retrain"


def test_an_undecided_signal_is_named_and_counts_for_nothing() -> None:
    made = decide(k_of_n(1, 1), facts(BAKED, signal(status="undecided")))
    assert (made.action, made.undecided, made.breached, made.unknown) == ("stay", ("performance/accuracy",), (), ())


def test_a_first_champion_that_fails_its_bake_is_not_stuck() -> None:
    alone = replace(FAILED, stable=())
    made = decide(BASE, facts(alone))
    assert made.action == "retrain"
    assert "fell below its bound in its bake, but there is no stable version to go back to" in made.reasons[0]
    waiting = replace(alone, last_request_at=NOW.start, request_times=(NOW.start,))
    still = decide(policy(cooldown=timedelta(days=3)), facts(waiting))
    assert still.action == "stay"
    assert any("no stable version to go back to" in reason for reason in still.reasons)
    assert any(reason.startswith("cooldown") for reason in still.reasons)


def test_without_a_champion_it_waits_for_enough_labelled_rows() -> None:
    few = facts(NEW, n_train=99, n_holdout=60)
    assert decide(BASE, few).action == "stay"
    assert "99 labelled rows to train on (100 needed) and 60 later ones to judge by (50 needed)" in reasons(BASE, few)
    enough = facts(NEW, n_train=100, n_holdout=50)
    assert decide(BASE, enough).action == "retrain"
    assert decide(BASE, facts(NEW, n_train=100, n_holdout=49)).action == "stay"


def test_a_first_training_is_not_requested_again_within_the_cooldown() -> None:
    asked = replace(NEW, last_request_at=NOW.start, request_times=(NOW.start,))
    made = decide(policy(cooldown=timedelta(days=2)), facts(asked, n_train=500, n_holdout=500))
    assert made.action == "stay"
    assert made.reasons[1] == "cooldown: the last retrain was requested as of 2024-02-10, less than 2d ago"


def test_no_retrain_during_a_bake() -> None:
    made = decide(patient_bake(), facts(BAKING, signal()))
    assert (made.action, made.bake) == ("stay", "running")
    assert made.reasons == ("version 2 is in its bake since 2024-01-31: no retrain until it ends",)


def test_a_breach_in_enough_windows_retrains_and_shows_its_figures() -> None:
    made = decide(k_of_n(2, 3), facts(BAKED, signal(38), signal(39, "ok"), signal(40)))
    assert made.action == "retrain"
    assert made.retrain_run_id == f"retrain__{made.decision_id}"
    assert made.reasons == (
        "performance/accuracy breached in 2 of its last 3 windows (policy: 2 of 3), the newest included: "
        "performance/accuracy 0.61 against 0.7 from 2024-02-10",
    )
    assert made.breached == ("performance/accuracy",)


def test_one_label_less_than_needed_is_too_little_news_and_as_many_as_needed_are_enough() -> None:
    needed = BASE.signoff.min_holdout_rows + 10
    config = policy(min_new_labels=needed)
    actions = {n_new: decide(config, facts(BAKED, signal(), n_new=n_new)) for n_new in (needed - 1, needed)}
    assert [made.action for made in actions.values()] == ["stay", "retrain"]
    assert f"too little news: {needed - 1} labels" in "; ".join(actions[needed - 1].reasons)


def test_a_late_signal_is_judged_in_its_own_newest_window() -> None:
    drift = [signal(n, "ok", name="drift/hue", role="watch") for n in (39, 40)]
    late = facts(BAKED, signal(36), signal(37), *drift, waiting=tuple(day(n) for n in (38, 39, 40)))
    assert decide(k_of_n(2, 2), late).action == "retrain"


def test_scheduled_windows_take_their_place_whatever_became_of_them() -> None:
    """Windows 38 and 39 were halted, not measured, or served by another version."""
    assert decide(k_of_n(2, 3), facts(BAKED, signal(37), signal(40))).action == "stay"
    assert decide(k_of_n(2, 4), facts(BAKED, signal(37), signal(40))).action == "retrain"
    assert decide(k_of_n(1, 2), facts(BAKED, signal(39))).action == "retrain", "what is missing is no pass"
    another = [signal(n, "ok", version="1") for n in (38, 39)]
    assert decide(k_of_n(2, 3), facts(BAKED, signal(37), *another, signal(40))).action == "stay"


def test_a_breach_from_before_a_rollback_asks_for_nothing_long_after() -> None:
    back = replace(BAKED, champion="2", champion_since=day(36).end, last_rollback_at=day(36).end)
    old = [signal(n) for n in (31, 32, 33)]
    assert decide(k_of_n(2, 3), facts(back, *old)).action == "stay"
    assert decide(k_of_n(2, 3), facts(back, *old, waiting=(day(40),))).action == "stay"


def test_a_run_by_hand_over_other_bounds_brings_no_second_breach() -> None:
    half = Window(start=day(40).start, end=day(40).start + timedelta(hours=12))
    assert decide(k_of_n(2, 3), facts(BAKED, signal(40), replace(signal(40), window=half))).action == "stay"
    well = replace(signal(40, "ok"), window=half)
    assert decide(k_of_n(1, 1), facts(BAKED, well, signal(40))).action == "retrain"


def test_an_excluded_stretch_drops_out_of_the_sequence() -> None:
    hold = Hold(entry_id="h", stretch=Window(start=day(38).start, end=day(39).end), reason="w", acknowledged=True)
    history = (signal(36), signal(37), signal(38, "ok"), signal(39, "ok"), signal(40))
    kept, left_out = (replace(BAKED, holds=(replace(hold, excluded=out),)) for out in (False, True))
    assert decide(k_of_n(3, 3), facts(kept, *history)).action == "stay"
    assert decide(k_of_n(3, 3), facts(left_out, *history)).action == "retrain"
    assert decide(k_of_n(1, 2), facts(left_out, signal(38), signal(39))).action == "stay"


def test_by_cron_the_windows_seen_are_counted() -> None:
    schedule = BASE.schedule.model_copy(update={"every": None, "cron": "0 0 * * 1"})
    weekly = k_of_n(2, 2).model_copy(update={"schedule": schedule})
    weeks = (day(26), day(33), day(40))
    assert decide(weekly, facts(BAKED, signal(33), signal(40), seen=weeks)).action == "retrain"
    assert decide(weekly, facts(BAKED, signal(26), signal(40), seen=weeks)).action == "stay"


def test_only_retrain_signals_of_the_present_champion_ask_for_a_retrain() -> None:
    for other in (
        signal(role="alert"),
        signal(role="watch"),
        signal(version="1"),
        signal(name="bake/accuracy"),
        signal(name="bake/accuracy_vs_stable"),
    ):
        assert decide(BASE, facts(BAKED, other)).action == "stay"


def test_an_aged_champion_is_retrained_and_its_age_is_that_of_its_data() -> None:
    config = policy(max_age=timedelta(days=12))
    assert decide(config, facts(BAKED)).action == "retrain"
    assert "version 2 was fitted on data up to 13d ago, more than 12d" in reasons(config, facts(BAKED))
    back = replace(BAKED, champion="1", champion_since=day(39).end, stable=("1",))
    assert decide(config, facts(back)).action == "retrain"
    assert decide(policy(max_age=timedelta(days=13)), facts(BAKED)).action == "stay"


def test_everything_that_speaks_against_a_retrain_is_listed() -> None:
    hold = Hold(entry_id="h1", stretch=Window(start=day(33).start, end=day(35).start), reason="wrong labels")
    state = replace(
        BAKED, holds=(hold,), last_request_at=day(39).end, request_times=tuple(day(n).end for n in (30, 32, 34, 36, 39))
    )
    made = decide(policy(cooldown=timedelta(days=2)), facts(state, signal(), n_new=3))
    assert made.action == "stay"
    assert [reason.split(":")[0] for reason in made.reasons] == [
        "wanted",
        "held",
        "cooldown",
        "budget",
        "too little news",
    ]
    assert "wrong labels" in made.reasons[1]
    assert "hold h1" in made.reasons[1]
    assert "5 retrains requested within 30d, 5 allowed" in made.reasons[3]
    assert "3 labels since the champion's holdout, 30 needed" in made.reasons[4]


def test_a_hold_lets_go_when_it_is_acknowledged_or_past() -> None:
    hold = Hold(entry_id="h1", stretch=Window(start=day(33).start, end=day(35).start), reason="wrong labels")
    past = replace(hold, stretch=Window(start=day(10).start, end=day(30).start))
    for holds in ((replace(hold, acknowledged=True),), (past,)):
        assert decide(BASE, facts(replace(BAKED, holds=holds), signal())).action == "retrain"


def test_an_acknowledged_window_is_decided_anew_once() -> None:
    hold = Hold(entry_id="h1", stretch=Window(start=day(33).start, end=day(35).start), reason="wrong labels")
    old = replace(hold, entry_id="h0", stretch=Window(start=day(1).start, end=day(3).start), acknowledged=True)
    holds = [(), (hold,), (replace(hold, acknowledged=True),), (replace(hold, acknowledged=True, excluded=True),)]
    ids = [decide(BASE, facts(replace(BAKED, holds=one), signal())).decision_id for one in holds]
    assert ids[0] == ids[1], "a hold that waits for its answer is no news about the window"
    assert len(set(ids)) == 3
    assert decide(BASE, facts(replace(BAKED, holds=(old,)), signal())).decision_id == ids[0], "it does not touch it"


def test_an_old_window_is_recorded_and_never_acted_on() -> None:
    for known in (facts(BAKED, signal()), facts(FAILED), facts(NEW, n_train=500, n_holdout=500)):
        assert decide(BASE, known).action in ("retrain", "rollback")
        assert decide(BASE, replace(known, newest_decided=NOW.end)).action in ("retrain", "rollback")
        old = decide(BASE, replace(known, newest_decided=day(41).end))
        assert old.action == "stay"
        assert "a later window, up to 2024-02-12, was decided already" in old.reasons[0]
    assert decide(BASE, facts(BAKED, halted="broken", newest_decided=day(41).end)).action == "halt"


def test_a_cooldown_ends_when_it_is_over_to_the_second() -> None:
    asked = replace(BAKED, last_request_at=NOW.end - timedelta(days=2), request_times=(NOW.end - timedelta(days=2),))
    assert decide(policy(cooldown=timedelta(days=2)), facts(asked, signal())).action == "retrain"
    assert decide(policy(cooldown=timedelta(days=2, seconds=1)), facts(asked, signal())).action == "stay"


def test_a_request_for_a_later_window_blocks_a_backfilled_one() -> None:
    later = replace(BAKED, last_request_at=day(90).end, request_times=(day(90).end,))
    assert decide(BASE, facts(later, signal())).action == "stay"


def test_nothing_measured_is_said_and_is_not_a_pass() -> None:
    assert "no signal of version 2 that could ask for a retrain is measured yet" in reasons(BASE, facts(BAKED))
    made = decide(BASE, facts(BAKED, signal(status="unknown")))
    assert made.unknown == ("performance/accuracy",)
    assert "not known: performance/accuracy" in made.reasons[0]


def test_a_window_without_evidence_is_blind_in_every_state_that_would_stay_or_retrain() -> None:
    for state in (BAKED, BAKING, NEW, replace(FAILED, stable=())):
        made = decide(patient_bake(), facts(state, signal(), blind="nothing is measured since day 30"))
        assert (made.action, made.reasons[0]) == ("blind", "nothing is measured since day 30")
        assert made.retrain_run_id is None
    assert decide(BASE, facts(FAILED, blind="nothing is measured")).action == "rollback"
    assert decide(BASE, facts(NEW, blind="nothing is measured", n_train=100, n_holdout=50)).action == "retrain"
    assert decide(BASE, facts(BAKED, blind="nothing is measured", halted="broken schema")).action == "halt"


def test_a_blind_window_is_decided_anew_once_it_can_be_seen() -> None:
    blind = facts(BAKED, blind="nothing is measured since day 30")
    ids = {decide(BASE, known).decision_id for known in (blind, facts(BAKED), facts(BAKED, blind="something else"))}
    assert len(ids) == 3
    assert decide(BASE, blind).decision_id == decide(BASE, blind).decision_id


def test_a_bake_without_evidence_is_blind_at_its_deadline_and_names_the_exits() -> None:
    due = BASE.bake_ends_by(day(30).start)
    assert due == day(30).start + timedelta(hours=1) + 2 * timedelta(days=1) + timedelta(days=3)
    unmeasured = signal(34, "unknown", name="bake/accuracy_vs_stable", role="alert")
    long = BASE.model_copy(update={"bake": BASE.bake.model_copy(update={"deadline": NOW.end - day(30).start})})
    made = decide(long, facts(BAKING, unmeasured))
    assert (made.action, made.bake) == ("blind", "blind")
    assert "neither passed nor failed by its deadline" in made.reasons[0]
    assert "not known: bake/accuracy_vs_stable of 2024-02-04: no labels" in made.reasons[0]
    assert "perennial rollback wine_cultivar" in made.reasons[-1]
    assert "review: manual" in made.reasons[-1]
    longer = long.bake.model_copy(update={"deadline": NOW.end - day(30).start + timedelta(seconds=1)})
    waiting = decide(BASE.model_copy(update={"bake": longer}), facts(BAKING, unmeasured))
    assert (waiting.action, waiting.bake) == ("stay", "running")
    alone = decide(long, facts(replace(BAKING, stable=())))
    assert "rollback" not in alone.reasons[-1], "there is nothing to go back to"


def test_a_champion_known_to_disappoint_that_can_not_be_replaced_is_never_a_stay_for_ever() -> None:
    alone = replace(FAILED, stable=())
    made = decide(BASE, facts(alone, n_new=0))
    assert made.action == "blind"
    assert any(reason.startswith("too little news") for reason in made.reasons)
    assert "let a person decide" in made.reasons[-1]
    asked = replace(alone, last_request_at=NOW.start, request_times=(NOW.start,))
    patient = policy(cooldown=timedelta(days=3))
    assert decide(patient, facts(asked, n_new=0)).action == "stay", "a retrain was asked for a moment ago"


def test_a_breach_of_the_role_halt_is_red_whatever_else_is_wanted_but_a_rollback() -> None:
    broken = signal(role="halt", name="quality/null_increase/hue")
    made = decide(BASE, facts(BAKED, broken, signal()))
    assert made.action == "halt"
    assert "quality/null_increase/hue 0.61 against 0.7 from 2024-02-10, and its role is halt: mend" in made.reasons[0]
    assert "wine_cultivar__retrain with review: manual" in made.reasons[0]
    assert decide(BASE, facts(BAKING, broken)).action == "halt"
    assert decide(BASE, facts(FAILED, broken)).action == "rollback", "going back to what was trusted is always allowed"
    for harmless in (replace(broken, status="ok"), replace(broken, status="undecided"), replace(broken, role="alert")):
        assert decide(BASE, facts(BAKED, harmless)).action == "stay"
    earlier = replace(broken, window=day(39), as_of=day(39).end)
    assert decide(BASE, facts(BAKED, earlier)).action == "stay", "that window had its own halt"


def test_a_quiet_period_holds_a_retrain_back_from_its_start_to_before_its_end_and_says_so() -> None:
    def quiet(start: datetime, end: datetime) -> ModelConfig:
        return policy(quiet=[QuietPeriod(start=start, end=end, reason="harvest")])

    during = decide(quiet(NOW.end, day(50).end), facts(BAKED, signal()))
    assert during.action == "stay"
    assert "quiet: harvest, 2024-02-11 to 2024-02-21: the policy asks for no retrain" in during.reasons
    assert decide(quiet(day(20).end, NOW.end), facts(BAKED, signal())).action == "retrain"
    assert decide(quiet(NOW.end, day(50).end), facts(FAILED)).action == "rollback"
    first = facts(NEW, n_train=100, n_holdout=50)
    assert (decide(BASE, first).action, decide(quiet(NOW.end, day(50).end), first).action) == ("retrain", "stay")


def test_cpu_seconds_of_fits_are_a_budget_of_their_own() -> None:
    budget = BASE.policy.budget.model_copy(update={"cpu_s": 100.0})
    long_ago, lately = NOW.end - budget.per, NOW.end - timedelta(days=9)
    spent = replace(BAKED, fits={"a": (long_ago, 900.0), "b": (lately, 60.0), "c": (lately, 40.0)})
    made = decide(policy(budget=budget), facts(spent, signal()))
    assert made.action == "stay"
    assert "budget: fits took 100 CPU seconds within 30d, 100 allowed" in made.reasons
    assert decide(BASE, facts(spent, signal())).action == "retrain", "no such budget was given"
    cheaper = replace(spent, fits={**spent.fits, "c": (lately, 39.9)})
    assert decide(policy(budget=budget), facts(cheaper, signal())).action == "retrain"


def test_with_hysteresis_a_breach_lasts_until_the_figure_is_surely_back() -> None:
    history = [signal(38), signal(39, "undecided"), signal(40, "undecided")]
    loose, sticky = k_of_n(2, 3), policy(breaches=Breaches(k=2, n=3, sticky=True))
    assert decide(loose, facts(BAKED, *history)).action == "stay"
    assert decide(sticky, facts(BAKED, *history)).action == "retrain"
    assert "breached in 3 of its last 3 windows" in reasons(sticky, facts(BAKED, *history))
    back = [signal(38), signal(39, "ok"), signal(40, "undecided")]
    assert decide(sticky, facts(BAKED, *back)).action == "stay"


# --- laws --------------------------------------------------------------------------------------------------------

statuses: st.SearchStrategy[SignalStatus] = st.sampled_from(get_args(SignalStatus))
moments: st.SearchStrategy[datetime] = st.integers(0, 60).map(lambda number: day(number).end)
versions = st.sampled_from(["1", "2", "3", "4"])
roles: st.SearchStrategy[SignalRole] = st.sampled_from(get_args(SignalRole))
windows = st.tuples(st.integers(0, 45), st.integers(1, 20)).map(
    lambda pair: Window(start=day(pair[0]).start, end=day(pair[0] + pair[1]).start)
)


@st.composite
def states(draw: st.DrawFn) -> ReleaseState:
    champion = draw(st.none() | versions)
    times = tuple(sorted(draw(st.lists(moments, max_size=6))))
    in_bake, failed = draw(st.sampled_from([(False, False), (True, False), (False, True)]))
    holds = [
        Hold(entry_id=f"h{i}", stretch=stretch, reason="why", acknowledged=draw(st.booleans()))
        for i, stretch in enumerate(draw(st.lists(windows, max_size=2)))
    ]
    return ReleaseState(
        model=BASE.model,
        champion=champion,
        champion_since=draw(moments) if champion else None,
        lineages={version: fit_until(draw(st.integers(4, 39))) for version in ("1", "2", "3", "4")},
        in_bake=bool(champion) and in_bake,
        bake_failed=bool(champion) and failed,
        stable=tuple(draw(st.lists(versions, unique=True, max_size=4))),
        rolled_back=draw(st.frozensets(versions)),
        holds=tuple(holds),
        last_request_at=times[-1] if times else None,
        request_times=times,
    )


@st.composite
def histories(draw: st.DrawFn, choices: st.SearchStrategy[SignalStatus] = statuses) -> list[Signal]:
    found = []
    for name in draw(st.lists(st.sampled_from(["performance/accuracy", "drift/weighted_share", GAIN]), unique=True)):
        numbers = draw(st.lists(st.integers(30, 40), unique=True, max_size=6))
        found += [
            signal(
                n, draw(choices), name=name, role=draw(st.sampled_from(get_args(SignalRole))), version=draw(versions)
            )
            for n in numbers
        ]
    return found


@st.composite
def situations(draw: st.DrawFn, **fixed: Any) -> Facts:
    state = draw(states())
    counts = st.integers(0, 200)
    known = {
        "champion_alias": draw(st.sampled_from([state.champion, state.champion, "9", None])),
        "batch_ids": ("p", "l"),
        "halted": draw(st.sampled_from([None, None, "broken schema"])),
        "blind": draw(st.sampled_from([None, None, "nothing is measured"])),
        "signals": tuple(draw(histories())),
        "rows": TrainingRows(n_new=draw(counts), n_train=draw(counts), n_holdout=draw(counts)),
    }
    return Facts(window=NOW, state=state, **(known | fixed))


configs = st.tuples(st.integers(1, 4), st.integers(0, 3)).map(lambda pair: k_of_n(pair[0], pair[0] + pair[1]))


@st.composite
def retrains(draw: st.DrawFn) -> tuple[ModelConfig, Facts]:
    """Situations in which a retrain is decided: breached windows up to the newest, and nothing that speaks against it.

    What a law of retraining is about is drawn here, not hoped for: Hypothesis gives up when too few examples get there.
    """
    config = draw(configs)
    breaches = config.policy.breaches
    champion = draw(versions)
    quiet = config.policy.cooldown
    times = sorted(NOW.end - quiet - timedelta(hours=draw(st.integers(0, 900))) for _ in range(draw(st.integers(0, 4))))
    state = replace(
        draw(states()),
        champion=champion,
        champion_since=day(20).end,
        in_bake=False,
        bake_failed=False,
        holds=(),
        last_request_at=times[-1] if times else None,
        request_times=tuple(times),
    )
    n_breached = draw(st.integers(breaches.k, breaches.n))
    own = [signal(40 - n, version=champion) for n in range(n_breached)]
    others = [found for found in draw(histories()) if found.name != "performance/accuracy"]
    known = facts(state, *own, *others, n_new=draw(st.integers(config.policy.min_new_labels, 500)))
    assume(decide(config, known).action == "retrain")
    return config, known


@st.composite
def rollbacks(draw: st.DrawFn) -> tuple[ModelConfig, Facts]:
    """Situations in which a champion failed its bake and one version is trusted, another one not any more."""
    champion, trusted, gone = draw(st.permutations(["1", "2", "3", "4"]))[:3]
    stable = tuple(draw(st.permutations([champion, trusted, gone])))
    state = replace(
        draw(states()), champion=champion, champion_since=day(30).end, in_bake=False, bake_failed=True, stable=stable
    )
    known = facts(replace(state, rolled_back=frozenset({gone})), *draw(histories()))
    return draw(configs), known


@st.composite
def blinds(draw: st.DrawFn) -> tuple[ModelConfig, Facts]:
    """Situations that nothing is measured in, and that nothing halts."""
    known = draw(situations(halted=None, blind="nothing is measured"))
    return draw(configs), replace(known, champion_alias=known.state.champion)


@st.composite
def unhealed(draw: st.DrawFn) -> tuple[ModelConfig, Facts]:
    """A bake past its deadline, or one that failed with nothing to go back to and too little news for a retrain."""
    champion, in_bake = draw(versions), draw(st.booleans())
    state = replace(
        draw(states()), champion=champion, champion_since=day(20).end, in_bake=in_bake, bake_failed=not in_bake,
        stable=(champion,), last_request_at=None, request_times=(),
    )  # fmt: skip
    known = draw(situations(halted=None, blind=None))
    return draw(configs), replace(known, state=state, champion_alias=champion, rows=replace(known.rows, n_new=0))


anything = st.one_of(retrains(), rollbacks(), blinds(), st.tuples(configs, situations()))
"""In every branch: retrains, rollbacks and blind windows are drawn as such."""


@reaches(stay=0.01, retrain=0.01, blind=0.05, rollback=0.05, halt=0.01)
@given(anything)
def test_every_situation_gets_one_decision_with_reasons_again_and_again(situation: tuple[ModelConfig, Facts]) -> None:
    config, known = situation
    made = decide(config, known)
    reached(made.action)
    assert made == decide(config, known)
    assert made.action in get_args(Action)
    assert made.reasons
    assert all(len(reason) < 1000 for reason in made.reasons)
    assert (made.retrain_run_id is not None) == (made.action == "retrain")
    assert from_record(DecisionRecord, to_record(made)) == made


@reaches(retrain=0.01, several=0.1)
@given(anything)
def test_the_order_of_signals_and_batches_never_matters(situation: tuple[ModelConfig, Facts]) -> None:
    config, known = situation
    reached("several", len(known.signals) > 1)
    reached("retrain", decide(config, known).action == "retrain")
    turned = replace(known, signals=known.signals[::-1], batch_ids=known.batch_ids[::-1])
    assert decide(config, turned) == decide(config, known)


@reaches(retrain=0.01, rollback=0.05, moved=0.01)
@given(anything)
def test_halted_never_retrains_and_never_rolls_back(situation: tuple[ModelConfig, Facts]) -> None:
    config, known = situation
    otherwise = decide(config, replace(known, halted=None)).action
    if otherwise in ("retrain", "rollback"):
        reached(otherwise)
    assert decide(config, replace(known, halted="broken")).action == "halt"
    if reached("moved", known.champion_alias != known.state.champion):
        assert decide(config, known).action == "halt"


@reaches(stays_when_it_sees=0.2)
@given(configs, situations())
def test_what_can_not_see_never_stays(config: ModelConfig, known: Facts) -> None:
    reached("stays_when_it_sees", decide(config, replace(known, blind=None)).action == "stay")
    assert decide(config, replace(known, blind="nothing is measured")).action != "stay"


@reaches(blind=0.05, overdue=0.01, stranded=0.01)
@given(st.one_of(unhealed(), anything))
def test_a_blind_window_was_blind_or_its_bake_overdue_or_its_champion_stranded(
    situation: tuple[ModelConfig, Facts],
) -> None:
    config, known = situation
    made = decide(config, known)
    if reached("blind", made.action == "blind"):
        assert known.blind or made.bake in ("blind", "failed")
        if not known.blind:
            reached("overdue" if made.bake == "blind" else "stranded")


@reaches(retrain=0.9, unknown=0.2)
@given(retrains(), histories(st.just("unknown")))
def test_unknown_signals_alone_never_retrain(situation: tuple[ModelConfig, Facts], unknown: list[Signal]) -> None:
    config, known = situation
    young = config.model_copy(update={"policy": config.policy.model_copy(update={"max_age": timedelta(days=999)})})
    reached("retrain", decide(young, known).action == "retrain")
    reached("unknown", bool(unknown))
    blind = tuple(replace(found, status="unknown", value=None) for found in known.signals)
    assert decide(young, replace(known, signals=(*blind, *unknown))).action == "stay"


@reaches(another=0.2, replaced=0.01)
@given(retrains(), st.sampled_from(["performance/accuracy", "drift/weighted_share", "performance/log_loss", GAIN]))
def test_one_more_breach_in_the_newest_window_never_turns_retrain_into_stay(
    situation: tuple[ModelConfig, Facts], name: str
) -> None:
    config, known = situation
    others = tuple(found for found in known.signals if (found.name, found.window) != (name, NOW))
    reached("another" if name != "performance/accuracy" else "replaced")
    breach = signal(name=name, version=str(known.state.champion))
    assert decide(config, replace(known, signals=(*others, breach))).action == "retrain"


MILDNESS: tuple[Action, ...] = ("stay", "retrain", "blind", "rollback", "halt")


@reaches(stay=0.01, retrain=0.01, blind=0.05, rollback=0.05, halt=0.01, harsher=0.01)
@given(anything, roles, st.sampled_from([GAIN, "drift/hue"]))
def test_one_more_breach_never_makes_the_action_milder(
    situation: tuple[ModelConfig, Facts], role: SignalRole, name: str
) -> None:
    config, known = situation
    others = tuple(found for found in known.signals if (found.name, found.window) != (name, NOW))
    before = decide(config, replace(known, signals=others)).action
    breach = signal(name=name, role=role, version=str(known.state.champion))
    after = decide(config, replace(known, signals=(*others, breach))).action
    reached(before)
    reached("harsher", MILDNESS.index(after) > MILDNESS.index(before))
    assert MILDNESS.index(after) >= MILDNESS.index(before)


@reaches(retrain=0.9)
@given(retrains())
def test_the_newest_window_must_be_one_of_the_breached(situation: tuple[ModelConfig, Facts]) -> None:
    config, known = situation
    young = config.model_copy(update={"policy": config.policy.model_copy(update={"max_age": timedelta(days=999)})})
    reached("retrain", decide(young, known).action == "retrain")
    champion = str(known.state.champion)
    mine = tuple(found for found in known.signals if found.name == "performance/accuracy" and found.window != NOW)
    well = replace(known, signals=(*mine, signal(status="ok", version=champion)))
    assert decide(young, well).action == "stay"


@given(rollbacks())
def test_a_failed_bake_goes_back_to_a_version_that_is_trusted(situation: tuple[ModelConfig, Facts]) -> None:
    config, known = situation
    target = known.state.fallback
    assert target is not None
    assert target != known.state.champion
    assert target in known.state.stable
    assert target not in known.state.rolled_back
    made = decide(config, known)
    assert made.action == "rollback"
    assert f"version {target} passed its own" in made.reasons[0]


@reaches(rollback=0.05)
@given(anything)
def test_only_a_failed_bake_with_somewhere_to_go_rolls_back(situation: tuple[ModelConfig, Facts]) -> None:
    config, known = situation
    if reached("rollback", decide(config, known).action == "rollback"):
        assert known.state.bake_failed
        assert known.state.fallback is not None


BLOCKS: dict[str, Callable[[ModelConfig, Facts], Facts]] = {
    "a bake": lambda _, known: replace(known, state=replace(known.state, in_bake=True)),
    "a cooldown": lambda config, known: asked_at(known, NOW.end - config.policy.cooldown + timedelta(seconds=1)),
    "a later request": lambda _, known: asked_at(known, day(90).end),
    "a spent budget": lambda config, known: asked_at(
        known, *[NOW.end - config.policy.cooldown] * config.policy.budget.retrains
    ),
    "too little news": lambda config, known: replace(
        known, rows=replace(known.rows, n_new=config.policy.min_new_labels - 1)
    ),
    "a quiet period": lambda _, known: known,
    "CPU seconds spent": lambda _, known: replace(known, state=replace(known.state, fits={"r": (day(39).end, 5.0)})),
    "a hold": lambda _, known: replace(
        known, state=replace(known.state, holds=(Hold(entry_id="h", stretch=day(39), reason="wrong"),))
    ),
}


def asked_at(known: Facts, *times: datetime) -> Facts:
    return replace(known, state=replace(known.state, last_request_at=max(times), request_times=tuple(sorted(times))))


@pytest.mark.parametrize("block", BLOCKS)
@reaches(wanted=0.9)
@settings(max_examples=25)  # whatever is drawn would be retrained: without what holds it back, the first one is
@given(situation=retrains())
def test_whatever_speaks_against_a_retrain_holds_it_back(situation: tuple[ModelConfig, Facts], block: str) -> None:
    config, known = situation
    config = patient_bake(config)
    frugal = config.policy.budget.model_copy(update={"cpu_s": 5.0})
    stricter = config.policy.model_copy(update={"cooldown": timedelta(days=1), "budget": frugal})
    config = config.model_copy(update={"policy": stricter})
    reached("wanted", decide(config, known).action == "retrain")
    quiet = [QuietPeriod(start=NOW.end, end=day(50).end, reason="harvest")] if block == "a quiet period" else []
    config = config.model_copy(update={"policy": stricter.model_copy(update={"quiet": quiet})})
    made = decide(config, BLOCKS[block](config, known))
    assert made.action == "stay"


@reaches(often=0.1, seldom=0.1, older=0.01)
@given(st.lists(statuses | st.just("breached"), max_size=8), st.integers(1, 4), st.integers(0, 4))
def test_k_of_n_counts_breaches_among_the_last_n_and_needs_the_newest(
    seen: list[SignalStatus], k: int, more: int
) -> None:
    n = k + more
    last = seen[-n:]
    known = [status for status in last if status != "unknown"]
    expected = last.count("breached") >= k and known[-1:] == ["breached"]
    reached("often" if expected else "seldom")
    reached("older", not expected and last.count("breached") >= k)
    assert breached_often(seen, k=k, n=n) is expected
    assert not (breached_often(seen, k=k + 1, n=n + 1) and not breached_often(seen, k=k, n=n + 1))
