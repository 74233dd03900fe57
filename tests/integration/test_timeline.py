"""The timeline: one pass over the ledger, each window with what it measured itself and what followed."""

from typing import Any

import pytest
from sqlalchemy import event

from logs import day
from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import Decision, LedgerEntry, SignalName, Subject, Window, to_record
from perennial.pipeline.timeline import timeline
from perennial.store import Store
from perennial.store.signals import save


def decided(
    store: Store, config: ModelConfig, number: int, *, breached: dict[str, tuple[Window, str]], name: str = ""
) -> None:
    """A decision about a day whose run measured ``breached``: name to the window it speaks of, and its role."""
    window = day(number)
    decision = Decision(
        decision_id=f"d{number}{name}",
        model=config.model,
        window=window,
        action="stay",
        reasons=("quiet",),
        champion=None,
        bake="none",
        breached=tuple(breached),
    )
    signals = [
        {"name": key, "window": of.key, "as_of": window.end.isoformat(), "role": role, "status": "breached"}
        for key, (of, role) in breached.items()
    ]
    write(store, config, "decision", number, decision.decision_id, decision=to_record(decision), signals=signals)


def write(
    store: Store,
    config: ModelConfig,
    kind: Any,
    number: int,
    entry_id: str,
    *,
    version: str | None = None,
    **payload: Any,
) -> None:
    entry = LedgerEntry(
        entry_id=f"{config.model}-{entry_id}",
        model=config.model,
        kind=kind,
        at=day(number).end,
        actor="policy",
        reason="test",
        version=version,
        payload={"batch_ids": [], **payload},
    )
    ledger.append(store, entry)


def promoted(store: Store, config: ModelConfig, number: int, version: str) -> None:
    made_from = {"train": to_record(day(number)), "holdout": to_record(day(number))}
    write(store, config, "promotion", number, f"p{version}", version=version, previous=None, intent="i", **made_from)


def test_a_late_signal_has_the_role_that_its_own_run_gave_it(store: Store, wine: ModelConfig) -> None:
    late = {"performance/accuracy": (day(2), "watch"), "drift/hue": (day(5), "alert")}
    decided(store, wine, 5, breached=late)
    (row,) = timeline(wine, store=store)
    assert (row.breached, row.watched) == (("drift/hue",), ("performance/accuracy",))


def test_each_window_ends_with_the_state_that_was_known_by_its_end(store: Store, wine: ModelConfig) -> None:
    for number in range(6):
        decided(store, wine, number, breached={})
        if number in (1, 3):
            promoted(store, wine, number, str(number))
    rows = timeline(wine, store=store)
    assert [row.champion for row in rows] == [None, "1", "1", "3", "3", "3"]
    assert [row.events for row in rows] == [(), ("version 1 promoted",), (), ("version 3 promoted",), (), ()]


def test_a_window_decided_twice_shows_both_and_what_followed_once(store: Store, wine: ModelConfig) -> None:
    decided(store, wine, 0, breached={}, name="halted")
    decided(store, wine, 0, breached={}, name="mended")
    promoted(store, wine, 0, "1")
    first, second = timeline(wine, store=store)
    assert (first.champion, first.events) == (None, ())
    assert (second.champion, second.events) == ("1", ("version 1 promoted",))


def test_windows_decided_out_of_order_stand_in_the_order_of_time(store: Store, wine: ModelConfig) -> None:
    decided(store, wine, 4, breached={})
    promoted(store, wine, 4, "1")
    decided(store, wine, 1, breached={})
    rows = timeline(wine, store=store)
    assert [row.window for row in rows] == [day(1), day(4)]
    assert rows[1].champion == "1"
    assert rows[0].events == ()


def test_a_word_given_long_after_belongs_to_no_window_before_it(store: Store, wine: ModelConfig) -> None:
    decided(store, wine, 0, breached={})
    write(store, wine, "integrity", 60, "late")
    (row,) = timeline(wine, store=store)
    assert row.events == ()


def test_the_metrics_of_every_window_stand_in_the_order_of_the_configuration(store: Store, wine: ModelConfig) -> None:
    performance = {metric: wine.signals.performance["accuracy"] for metric in ("macro_f1", "accuracy", "log_loss")}
    config = wine.model_copy(update={"signals": wine.signals.model_copy(update={"performance": performance})})
    decided(store, config, 0, breached={})
    subject = Subject(model=config.model, window=day(0), as_of=day(1).end, version="1")
    for metric in sorted(performance):
        save(store, [subject.above(SignalName.performance(metric), "watch", 0.5, 0.6)])
    (row,) = timeline(config, store=store)
    assert list(row.performance) == list(performance)


def test_a_history_is_read_and_folded_once_however_many_windows_it_has(
    store: Store, wine: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        decided(store, wine, number, breached={})
    folded, statements = [], []
    after = ledger.after
    monkeypatch.setattr(ledger, "after", lambda state, entry: folded.append(entry) or after(state, entry))

    def count(*given: Any) -> None:
        statements.append(str(given[2]))

    event.listen(store.engine, "before_cursor_execute", count)
    try:
        assert len(timeline(wine, store=store)) == 12
    finally:
        event.remove(store.engine, "before_cursor_execute", count)
    assert len(folded) == 12
    assert len([statement for statement in statements if "perennial.ledger" in statement]) == 1
