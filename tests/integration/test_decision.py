"""Facts from the real store, and decisions that are recorded once."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import event, insert

from logs import day
from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import (
    Decision,
    LedgerEntry,
    LedgerKind,
    Lineage,
    ReleaseState,
    RetrainRequest,
    Signoff,
    Window,
    to_record,
)
from perennial.decision.facts import Facts, gather
from perennial.decision.policy import decide
from perennial.decision.record import entry_of, record, record_outcome, record_request, recorded, request_of
from perennial.evidence.stretches import TrainingRows
from perennial.store import Store, bulk, schema

CHAMPION = ReleaseState(
    model="replaced",
    champion="2",
    champion_since=day(4).end,
    lineages={
        "2": Lineage(
            train=Window(start=day(0).start, end=day(3).start), holdout=Window(start=day(3).start, end=day(4).end)
        )
    },
    stable=("2",),
)


def champion_of(config: ModelConfig) -> ReleaseState:
    return replace(CHAMPION, model=config.model)


def delivered(
    store: Store,
    config: ModelConfig,
    number: int,
    source: str = "predictions",
    *,
    status: str = "published",
    **other: Any,
) -> str:
    row = {
        "batch_id": f"{config.model}-{source}-{number}-{other.pop('suffix', 'a')}",
        "model": config.model,
        "source": source,
        "window_start": day(number).start,
        "window_end": day(number).end,
        "status": status,
        "n_staged": 10,
        "n_published": 10 if status == "published" else 0,
        "staged": {},
        **other,
    }
    with store.begin() as connection:
        connection.execute(insert(schema.batches).values(**row))
    return str(row["batch_id"])


def published_rows(store: Store, config: ModelConfig, number: int, n_rows: int, *, delay_h: float | None = 2) -> None:
    """``n_rows`` rows of the champion at noon of a day, and as many of a challenger; labels ``delay_h`` hours later."""
    noon = day(number).start.replace(hour=12)
    ids = [f"{number}-{i}" for i in range(n_rows)]
    predictions = {
        "prediction_id": [*ids, *ids],
        "event_time": pa.array([noon] * 2 * n_rows, pa.timestamp("us", "UTC")),
        "model_version": ["2"] * 2 * n_rows,
        "role": ["champion"] * n_rows + ["challenger"] * n_rows,
        "batch_seq": pa.array([1] * 2 * n_rows, pa.int64()),
    }
    with bulk.bulk_transaction(store) as cursor:
        bulk.copy_in(cursor, schema.predictions_table(config), pa.table(predictions).to_reader())
        if delay_h is not None:
            arrived = pa.array([noon.timestamp() + delay_h * 3600] * n_rows).cast(pa.int64())
            labels = {
                "prediction_id": ids,
                "label": ["barolo"] * n_rows,
                "labelled_at": arrived.cast(pa.timestamp("s", "UTC")).cast(pa.timestamp("us", "UTC")),
                "batch_seq": pa.array([1] * n_rows, pa.int64()),
            }
            bulk.copy_in(cursor, schema.labels_table(config), pa.table(labels).to_reader())


def measured(store: Store, config: ModelConfig, number: int, **other: Any) -> None:
    row = {
        "model": config.model,
        "window_start": day(number).start,
        "window_end": day(number).end,
        "name": "performance/accuracy",
        "as_of": day(number).end,
        "version": "2",
        "role": "retrain",
        "status": "breached",
        "value": 0.6,
        "threshold": 0.7,
        **other,
    }
    with store.begin() as connection:
        connection.execute(insert(schema.signals).values(**row))


def gathered(store: Store, config: ModelConfig, number: int, state: ReleaseState | None = None) -> Facts:
    state = state or champion_of(config)
    return gather(config, day(number), store=store, state=state, champion_alias=state.champion)


def test_no_delivery_is_no_ground_to_decide_on(store: Store, wine: ModelConfig) -> None:
    known = gathered(store, wine, 6)
    assert known.batch_ids == ()
    assert decide(wine, known).action == "halt"
    assert decide(wine, known).reasons[0].startswith("no predictions are published for 20240107T000000Z")


def test_the_newest_delivery_of_a_window_decides(store: Store, wine: ModelConfig) -> None:
    delivered(store, wine, 6, status="halted", reason="no column hue")
    broken = gathered(store, wine, 6)
    assert broken.halted == "the predictions of 10 rows were not published: no column hue"
    good = delivered(store, wine, 6, suffix="b")
    assert (gathered(store, wine, 6).halted, gathered(store, wine, 6).batch_ids) == (None, (good,))
    labels = delivered(store, wine, 6, "labels", status="halted", reason="conflicting labels")
    mixed = gathered(store, wine, 6)
    assert mixed.batch_ids == (good, labels)
    assert mixed.halted == "the labels of 10 rows were not published: conflicting labels"


def test_a_delivery_that_is_only_staged_is_not_published(store: Store, wine: ModelConfig) -> None:
    delivered(store, wine, 6)
    delivered(store, wine, 6, status="staged", suffix="b")
    assert "neither audited nor published" in str(gathered(store, wine, 6).halted)


def test_new_labels_are_those_of_the_champions_later_events_that_had_arrived(store: Store, wine: ModelConfig) -> None:
    delivered(store, wine, 6)
    published_rows(store, wine, 4, 7)  # before the champion's holdout ended
    published_rows(store, wine, 5, 20)
    published_rows(store, wine, 6, 30, delay_h=13)  # arrives an hour after the window's end
    published_rows(store, wine, 7, 40)  # the future
    assert gathered(store, wine, 6).rows.n_new == 20


def test_a_first_training_counts_rows_before_a_holdout_whose_labels_are_in(store: Store, wine: ModelConfig) -> None:
    nobody = ReleaseState(model=wine.model)
    delivered(store, wine, 6)
    for number in range(7):
        published_rows(store, wine, number, 30)
    known = gathered(store, wine, 6, nobody)
    assert (known.rows.n_train, known.rows.n_holdout) == (120, 60)  # days 1 to 4 and 5 to 6 at noon
    assert decide(wine, known).action == "retrain"


def test_a_first_training_looks_back_to_where_labels_are_in(store: Store, wine: ModelConfig) -> None:
    nobody = ReleaseState(model=wine.model)
    for number in range(7):
        published_rows(store, wine, number, 30, delay_h=2 if number < 5 else 48)
    known = gathered(store, wine, 6, nobody)
    assert (known.rows.n_train, known.rows.n_holdout) == (90, 60)
    assert gathered(store, wine, 60, nobody).rows.n_train == 0


def test_signals_are_the_champions_latest_and_nothing_from_the_future(store: Store, wine: ModelConfig) -> None:
    delivered(store, wine, 6)
    measured(store, wine, 5, status="unknown", value=None)
    measured(store, wine, 5, as_of=day(6).end, status="ok", value=0.9)
    measured(store, wine, 5, as_of=day(7).end)  # measured later than this window's end
    measured(store, wine, 6, version="1")
    measured(store, wine, 7)
    found = gathered(store, wine, 6).signals
    assert [(signal.window, signal.status, signal.as_of) for signal in found] == [(day(5), "ok", day(6).end)]


def test_evidence_older_than_the_last_windows_seen_is_not_read(store: Store, wine: ModelConfig) -> None:
    delivered(store, wine, 20)
    for number in range(6, 21):
        measured(store, wine, number, name="drift/hue", role="watch", status="ok")
    measured(store, wine, 6)
    assert {signal.name for signal in gathered(store, wine, 20).signals} == {"drift/hue"}
    assert len(gathered(store, wine, 20).signals) == 1 + 3  # n windows, and the wait for labels


def test_what_a_version_showed_long_before_it_came_back_is_not_evidence(store: Store, wine: ModelConfig) -> None:
    delivered(store, wine, 20)
    measured(store, wine, 6)
    for number in range(7, 21):
        measured(store, wine, number, version="3", status="ok", value=0.9)
    assert gathered(store, wine, 20).signals == ()
    assert len(gathered(store, wine, 9).signals) == 1


def test_what_waits_for_its_labels_has_no_place_yet_and_what_was_halted_has(store: Store, wine: ModelConfig) -> None:
    for number in (3, 5, 6):
        delivered(store, wine, number)
    delivered(store, wine, 4, status="halted", reason="no column hue")
    measured(store, wine, 3)
    measured(store, wine, 3, name="label_coverage", role="watch", status="ok", value=1.0)
    known = gathered(store, wine, 6)
    assert known.waiting == (day(5), day(6))
    k_of = wine.policy.breaches.model_copy(update={"k": 1, "n": 2})
    patient = wine.model_copy(update={"policy": wine.policy.model_copy(update={"breaches": k_of})})
    assert decide(patient, replace(known, rows=TrainingRows(n_new=99))).action == "retrain"
    assert decide(wine, replace(known, rows=TrainingRows(n_new=99))).action == "stay", (
        "day 4 is the newest, and unknown"
    )


def test_by_cron_halted_windows_are_seen_too(store: Store, wine: ModelConfig) -> None:
    schedule = wine.schedule.model_copy(update={"every": None, "cron": "0 0 * * *"})
    weekly = wine.model_copy(update={"schedule": schedule})
    delivered(store, weekly, 3)
    delivered(store, weekly, 5, status="halted", reason="no column hue")
    delivered(store, weekly, 7)
    assert gathered(store, weekly, 5).seen == (day(3), day(5))
    assert gathered(store, wine, 5).seen == ()


@contextmanager
def asked_of(store: Store) -> Iterator[list[tuple[str, str]]]:
    """Every statement that the store is asked, with its parameters, in their order."""
    statements: list[tuple[str, str]] = []

    def heard(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        statements.append((statement, repr(parameters)))

    event.listen(store.engine, "before_cursor_execute", heard)
    try:
        yield statements
    finally:
        event.remove(store.engine, "before_cursor_execute", heard)


def refused_beside(store: Store, config: ModelConfig, *, champion: str, candidate: str) -> None:
    """A champion since day 4, and a candidate of day 10 that was refused beside it."""
    made_from = {"train": to_record(day(0)), "holdout": to_record(day(3)), "previous": None}
    signoff = Signoff(
        model=config.model, version=candidate, artifact_digest="d", champion_seen=champion, gates=(), passed=False,
        review="auto", as_of=day(10).end, train=day(7), holdout=day(8), config_digest=config.digest,
    )  # fmt: skip
    request = RetrainRequest(model=config.model, run_id="r", as_of=day(10).end, cause="test", requested_by="policy")
    written: list[tuple[LedgerKind, str, Window, dict[str, Any]]] = [
        ("promotion", champion, day(4), made_from),
        ("signoff", candidate, day(10), {"signoff": to_record(signoff)}),
    ]
    for kind, version, number, payload in written:
        entry = LedgerEntry(
            entry_id=f"{config.model}-{kind}", model=config.model, kind=kind, at=number.end, actor="policy",
            reason="a test", version=version, payload=payload,
        )  # fmt: skip
        ledger.append(store, entry)
    record_outcome(request, "refused", "gates failed: slice/cellar", store=store)


def test_a_decision_asks_nothing_of_the_store_twice_and_scans_rows_once_for_each_question(
    store: Store, wine: ModelConfig
) -> None:
    """As a rule one; before the first champion, and blind beside one whose last candidate was refused, all there is."""
    delivered(store, wine, 9)
    published_rows(store, wine, 9, 40)
    measured(store, wine, 9)
    with asked_of(store) as as_a_rule:
        assert gathered(store, wine, 9).blind is None
    with asked_of(store) as first:
        assert gathered(store, wine, 9, ReleaseState(model=wine.model)).rows.n_holdout == 40
    delivered(store, wine, 12)
    refused_beside(store, wine, champion="2", candidate="3")
    with asked_of(store) as blind:
        known = gathered(store, wine, 30, ledger.release_state(store, wine.model))
    assert (known.rows.n_new, known.blind is not None, known.refusal is not None) == (40, True, True)
    rows = schema.predictions_table(wine).name
    scans = [sum(rows in statement for statement, _ in asked) for asked in (as_a_rule, first, blind)]
    assert scans == [1, 2, 4]
    for asked in (as_a_rule, first, blind):
        assert len(asked) == len(set(asked)), Counter(asked).most_common(1)


# --- record ------------------------------------------------------------------------------------------------------


@pytest.fixture
def retraining(store: Store, wine: ModelConfig) -> Facts:
    """A breach in the newest window and enough new labels."""
    delivered(store, wine, 6)
    published_rows(store, wine, 5, 60)
    measured(store, wine, 6)
    measured(store, wine, 6, name="quality/null_rate/hue", role="alert", status="unknown", value=None)
    measured(store, wine, 6, name="drift/hue", role="watch", status="ok", value=0.01)
    return gathered(store, wine, 6)


def kinds(store: Store, config: ModelConfig) -> list[str]:
    return [entry.kind for entry in ledger.entries(store, config.model)]


def test_a_decision_stands_in_the_ledger_with_its_signals(store: Store, wine: ModelConfig, retraining: Facts) -> None:
    made = record(decide(wine, retraining), retraining, config=wine, store=store)
    assert made.action == "retrain"
    entry = ledger.entry(store, made.decision_id)
    assert entry is not None
    assert entry.reason.startswith("retrain: performance/accuracy breached in 1 of its last 1 windows")
    assert [signal["name"] for signal in entry.payload["signals"]] == ["performance/accuracy", "quality/null_rate/hue"]
    assert (entry.payload["n_signals_ok"], entry.payload["n_new_labels"]) == (1, 60)
    (_, request) = ledger.entries(store, wine.model)
    assert (request.kind, request.at) == ("retrain_request", day(6).end)
    assert request.payload == to_record(request_of(made))


def test_the_same_window_again_gets_the_recorded_decision(store: Store, wine: ModelConfig, retraining: Facts) -> None:
    made = record(decide(wine, retraining), retraining, config=wine, store=store)
    state = replace(champion_of(wine), last_request_at=day(6).end, request_times=(day(6).end,))
    later = gathered(store, wine, 6, state)
    assert decide(wine, later).action == "stay"  # its own request would be its cooldown
    assert record(decide(wine, later), later, config=wine, store=store) == made
    assert kinds(store, wine) == ["decision", "retrain_request"]


def test_a_redelivered_window_is_decided_anew(store: Store, wine: ModelConfig, retraining: Facts) -> None:
    made = record(decide(wine, retraining), retraining, config=wine, store=store)
    delivered(store, wine, 6, suffix="b")
    assert decide(wine, gathered(store, wine, 6)).decision_id != made.decision_id


def test_a_request_that_a_crash_kept_from_being_written_is_written_by_the_next_run(
    store: Store, wine: ModelConfig, retraining: Facts
) -> None:
    decision = decide(wine, retraining)
    ledger.append(store, entry_of(decision, retraining, config=wine))  # killed after the first of the two writes
    assert record(decision, retraining, config=wine, store=store) == decision == recorded(store, decision.decision_id)
    assert kinds(store, wine) == ["decision", "retrain_request"]


def test_a_request_of_a_person_counts_for_the_cooldown_once(store: Store, wine: ModelConfig, retraining: Facts) -> None:
    asked = request_of(decide(wine, retraining))
    assert asked is not None
    manual = replace(asked, run_id="manual__1", requested_by="ada")
    assert record_request(manual, store=store)
    assert not record_request(manual, store=store)
    assert ledger.release_state(store, wine.model).request_times == (day(6).end,)
    assert recorded(store, "unheard of") is None
    assert request_of(replace(decide(wine, retraining), action="stay", retrain_run_id=None)) is None
    assert isinstance(decide(wine, retraining), Decision)


def test_why_the_candidate_before_was_refused_stands_in_the_next_request(
    store: Store, wine: ModelConfig, retraining: Facts
) -> None:
    asked = request_of(decide(wine, retraining))
    record_request(asked, store=store)
    record_outcome(asked, "refused", "gates failed: versus_champion", store=store)
    told = gathered(store, wine, 6, champion_of(wine)).refused
    assert told == f"the candidate before, as of {asked.as_of:%Y-%m-%d}: refused: gates failed: versus_champion"
    decided = decide(wine, replace(retraining, refused=told))
    assert decided.action == "retrain"
    assert decided.reasons[-1] == told
    assert decided.decision_id == decide(wine, retraining).decision_id, "it is told, and decides nothing"
    record_outcome(replace(asked, run_id="later"), "promoted", "version 4 promoted", store=store)
    assert gathered(store, wine, 6, champion_of(wine)).refused is None
