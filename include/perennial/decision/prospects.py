"""Whether a retrain can pay at all, before anything is fitted: are there rows to judge by, and is there anything new?

A candidate that was refused or rejected would be made and refused again on the rows that it was made of. It is news
that changes that: labels, or other rules in ``model.yaml``.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from perennial.config import ModelConfig
from perennial.contracts import LedgerEntry, ReleaseState, Signoff, Window, from_record
from perennial.decision.wording import day
from perennial.evidence.stretches import Labelled, TrainingRows, count_labelled, news_since, training_rows
from perennial.ledger import History
from perennial.store import Store

LONGEST = 400
"""Of a refusal, in characters: the whole of it stands in the ledger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The newest candidate beside the present champion, where it was not promoted.

    ``run_id`` is that of the request for it. ``n_news`` labels came in since its ``as_of``; ``same_rules`` says that
    ``model.yaml`` is still as it was judged by.
    """

    version: str
    run_id: str
    as_of: datetime
    holdout: Window
    ended: Literal["refused", "rejected"]
    why: str
    same_rules: bool
    n_news: int = 0

    def __str__(self) -> str:
        """As people read it: the candidate and what became of it."""
        return f"the candidate before, as of {day(self.as_of)}: {self.why}"


def refusal_in(config: ModelConfig, history: History) -> Refusal | None:
    """The refusal that a new candidate would meet again, its news not counted yet; None where there is none. Pure.

    >>> refusal_in(flights, History("flight_delay", (entry("signoff", "4"),)))
    """
    judged = history.last("signoff")
    outcome = _outcome_of(judged, history) if judged else None
    if judged is None or outcome is None or outcome.payload.get("ended") not in ("refused", "rejected"):
        return None
    signed = from_record(Signoff, judged.payload["signoff"])
    if signed.champion_seen != history.state.champion or history.released_after(judged):
        return None
    return Refusal(
        version=signed.version,
        run_id=outcome.payload["run_id"],
        as_of=signed.as_of,
        holdout=signed.holdout,
        ended=outcome.payload["ended"],
        why=outcome_in_words(outcome),
        same_rules=signed.config_digest == config.digest,
    )


def _outcome_of(judged: LedgerEntry, history: History) -> LedgerEntry | None:
    """How the request ended whose candidate was judged: both are as of one moment."""
    later = [item for item in history.of("retrain_outcome") if (item.seq or 0) > (judged.seq or 0)]
    return next((item for item in later if item.at == judged.at), None)


def outcome_in_words(outcome: LedgerEntry) -> str:
    """What became of a candidate, bounded. Pure.

    >>> outcome_in_words(entry("retrain_outcome", ended="refused"))
    'refused: a reason'
    """
    why = outcome.reason if outcome.reason.startswith("version ") else f"{outcome.payload['ended']}: {outcome.reason}"
    return why if len(why) <= LONGEST else f"{why[:LONGEST]}…"


def read_refusal(config: ModelConfig, history: History, as_of: datetime, *, store: Store) -> Refusal | None:
    """The same, with the labels that came in since, as known at a moment. Raises StoreUnavailable."""
    found, excluded = refusal_in(config, history), history.state.excluded
    if found is None:
        return None

    def count(stretch: Window, moment: datetime) -> Labelled:
        return count_labelled(config, stretch, as_of=moment, excluded=excluded, store=store)

    return replace(found, n_news=news_since(found.holdout, found.as_of, as_of, count=count))


def nothing_new(config: ModelConfig, refusal: Refusal | None) -> tuple[str, ...]:
    """That hardly more is known than when another candidate was turned down; empty when there is news. Pure.

    >>> from datetime import UTC
    >>> again = Refusal(version="4", run_id="r", as_of=datetime(2013, 1, 11, tzinfo=UTC), holdout=subject.window,
    ...     ended="refused", why="version 4 refused: too slow", same_rules=True)
    >>> nothing_new(flights, again)[0]
    'nothing new: 0 labels since the candidate before, as of 2013-01-11: version 4 refused: too slow; 5000 needed'
    >>> nothing_new(flights, replace(again, n_news=5000)), nothing_new(flights, replace(again, same_rules=False))
    ((), ())
    """
    least = config.policy.min_new_labels
    if refusal is None or not refusal.same_rules or refusal.n_news >= least:
        return ()
    return (f"nothing new: {refusal.n_news} labels since {refusal}; {least} needed",)


def cannot_pay(config: ModelConfig, as_of: datetime, history: History, *, store: Store) -> tuple[str, ...]:
    """Why a candidate as of a moment could not be promoted, known before it is made; empty when it could.

    Raises StoreUnavailable.
    """
    rows = training_rows(config, as_of, history.state, store=store)
    few = too_few_to_judge(config, rows, history.state)
    return (*few, *nothing_new(config, read_refusal(config, history, as_of, store=store)))


def too_few_to_judge(config: ModelConfig, rows: TrainingRows, state: ReleaseState) -> tuple[str, ...]:
    """That there are too few labelled rows for the gates that ask for so many of them. Pure.

    >>> few = TrainingRows(n_new=9)
    >>> too_few_to_judge(flights, few, ReleaseState(model="flight_delay", champion="3"))
    ('too few rows: 9 labelled ones are new to version 3, 5000 are needed to judge a candidate beside it',)
    >>> too_few_to_judge(flights, replace(few, n_new=5000), ReleaseState(model="flight_delay", champion="3"))
    ()
    >>> too_few_to_judge(flights, few, ReleaseState(model="flight_delay"))[0]
    'too few rows: 0 labelled ones to train on (15000 needed) and 0 later ones to judge by (5000 needed)'
    """
    train, judge = config.training.min_train_rows, config.signoff.min_holdout_rows
    if state.champion is None and (rows.n_train < train or rows.n_holdout < judge):
        return (
            f"too few rows: {rows.n_train} labelled ones to train on ({train} needed) and {rows.n_holdout} later ones "
            f"to judge by ({judge} needed)",
        )
    if state.champion is not None and rows.n_new < judge:
        return (
            f"too few rows: {rows.n_new} labelled ones are new to version {state.champion}, {judge} are needed to "
            "judge a candidate beside it",
        )
    return ()
