"""A retrain that can not pay is not begun: what is known of its rows, and of the candidate before, is enough."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from logs import day
from perennial.config import ModelConfig, load_model
from perennial.contracts import Gate, LedgerEntry, RetrainRequest, Signoff, Window, to_record
from perennial.decision.facts import Facts, last_refusal
from perennial.decision.policy import decide
from perennial.decision.prospects import Refusal, nothing_new, refusal_in, too_few_to_judge
from perennial.decision.record import outcome_entry
from perennial.evidence.stretches import TrainingRows
from perennial.ledger import History

WINE = load_model(Path(__file__).parents[1] / "models" / "wine_cultivar")
LOST = Gate(name="slice/cellar", passed=False, value=-0.2, bound=-0.05, detail="cellar=north loses 0.2")
HOLDOUT = Window(start=day(8).start, end=day(9).end)


def signed(version: str = "2", *, seen: str | None = "1", as_of: int = 10, rules: str = WINE.digest) -> Signoff:
    return Signoff(
        model=WINE.model,
        version=version,
        artifact_digest="d",
        champion_seen=seen,
        gates=(LOST,),
        passed=False,
        review="auto",
        as_of=day(as_of).end,
        train=day(4),
        holdout=HOLDOUT,
        config_digest=rules,
    )


def told(signoff: Signoff) -> LedgerEntry:
    return LedgerEntry(
        entry_id=signoff.signoff_id,
        model=WINE.model,
        kind="signoff",
        at=signoff.as_of,
        actor="policy",
        reason="slice/cellar",
        version=signoff.version,
        payload={"signoff": to_record(signoff)},
    )


def ended(
    how: str, as_of: int = 10, reason: str = "version 2 refused: slice/cellar: cellar=north loses 0.2"
) -> LedgerEntry:
    request = RetrainRequest(
        model=WINE.model, run_id=f"r{as_of}", as_of=day(as_of).end, cause="test", requested_by="policy"
    )
    return outcome_entry(request, how, reason)  # type: ignore[arg-type]


def promotion(version: str = "1") -> LedgerEntry:
    made_from = {"train": to_record(day(0)), "holdout": to_record(day(3)), "previous": None}
    return LedgerEntry(
        entry_id=f"promotion-{version}",
        model=WINE.model,
        kind="promotion",
        at=day(5).end,
        actor="policy",
        reason="test",
        version=version,
        payload=made_from,
    )


def rolled_back(version: str, previous: str) -> LedgerEntry:
    found = promotion(version)
    return replace(found, entry_id="rollback", kind="rollback", payload={"previous": previous})


def history(*entries: LedgerEntry) -> History:
    return History(WINE.model, tuple(replace(entry, seq=number) for number, entry in enumerate(entries, 1)))


TURNED_DOWN = history(promotion(), told(signed()), ended("refused"))


def test_the_candidate_that_was_turned_down_beside_this_champion_is_found() -> None:
    found = refusal_in(WINE, TURNED_DOWN)
    assert found is not None
    assert (found.version, found.as_of, found.holdout, found.same_rules) == ("2", day(10).end, HOLDOUT, True)
    assert str(found) == (
        "the candidate before, as of 2024-01-12: version 2 refused: slice/cellar: cellar=north loses 0.2"
    )
    rejected = refusal_in(
        WINE, history(promotion(), told(signed()), ended("rejected", reason="version 2 rejected by x"))
    )
    assert rejected is not None
    assert rejected.ended == "rejected"


@pytest.mark.parametrize(
    "entries",
    [
        (),
        (promotion(),),
        (promotion(), told(signed())),
        (promotion(), told(signed()), ended("promoted")),
        (promotion(), told(signed()), ended("failed")),
        (promotion(), ended("refused"), told(signed())),
        (promotion(), told(signed()), ended("refused", as_of=12)),
        (promotion(), told(signed()), ended("refused"), promotion("3")),
        (promotion(), told(signed()), ended("refused"), promotion("2")),
        (promotion(), told(signed(seen="9")), ended("refused")),
        (promotion(), told(signed()), ended("refused"), promotion("3"), rolled_back("1", "3")),
    ],
    ids=[
        "none",
        "first",
        "waits",
        "promoted",
        "failed",
        "earlier",
        "other",
        "overtaken",
        "past-gates",
        "champion",
        "back",
    ],
)
def test_what_was_not_turned_down_beside_this_champion_holds_nothing_up(entries: tuple[LedgerEntry, ...]) -> None:
    assert refusal_in(WINE, history(*entries)) is None


def refusal(**other: object) -> Refusal:
    found = refusal_in(WINE, TURNED_DOWN)
    assert found is not None
    return replace(found, **other)  # type: ignore[arg-type]


def test_the_same_candidate_is_not_made_again_before_there_is_news() -> None:
    assert WINE.policy.min_new_labels == 30
    (why,) = nothing_new(WINE, refusal(n_news=29))
    assert why == f"nothing new: 29 labels since {refusal()}; 30 needed"
    assert nothing_new(WINE, refusal(n_news=30)) == ()
    assert nothing_new(WINE, refusal(same_rules=False)) == (), "other rules may judge it otherwise"
    assert nothing_new(WINE, None) == ()


def aged(rows: TrainingRows, found: Refusal | None) -> Facts:
    """A champion so old that a retrain is wanted, whatever is measured."""
    state = replace(TURNED_DOWN.state, in_bake=False, stable=("1",))
    window = Window(start=day(5).end + timedelta(days=39), end=day(5).end + timedelta(days=40))
    return Facts(window=window, state=state, champion_alias="1", batch_ids=("b",), rows=rows, refusal=found)


def decided(config: ModelConfig, rows: TrainingRows, found: Refusal | None) -> tuple[str, str]:
    made = decide(config, aged(rows, found))
    return made.action, "; ".join(made.reasons)


def test_the_policy_stays_while_a_candidate_would_be_turned_down_again() -> None:
    many = TrainingRows(n_new=500)
    assert decided(WINE, many, None)[0] == "retrain"
    action, why = decided(WINE, many, refusal(n_news=3))
    assert action == "stay"
    assert "wanted: version 1 was fitted on data up to" in why
    assert "nothing new: 3 labels since the candidate before, as of 2024-01-12: version 2 refused: slice" in why
    assert decided(WINE, many, refusal(n_news=30))[0] == "retrain"


def test_the_policy_stays_while_there_are_too_few_rows_to_judge_a_candidate_by() -> None:
    """``min_new_labels`` asks for 30, and the gate against the champion for 50."""
    action, why = decided(WINE, TrainingRows(n_new=49), None)
    assert (action, "too few rows: 49 labelled ones are new to version 1, 50 are needed" in why) == ("stay", True)
    assert decided(WINE, TrainingRows(n_new=50), None)[0] == "retrain"
    assert "too little news" in decided(WINE, TrainingRows(n_new=29), None)[1]
    assert too_few_to_judge(WINE, TrainingRows(n_new=50), TURNED_DOWN.state) == ()


def test_the_next_decision_says_once_what_became_of_the_candidate_before() -> None:
    assert last_refusal(TURNED_DOWN) == str(refusal())
    assert last_refusal(history(promotion(), told(signed()), ended("refused"), promotion("2"))) is None, (
        "past its gates"
    )
