"""What an earlier release left in its database is there after all migrations, and means the same."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.exc import IntegrityError as DatabaseRefusal
from sqlalchemy.exc import InternalError

from logs import day
from notices import FLIGHTS
from perennial import ledger
from perennial.contracts import LedgerEntry, Lineage, RetrainRequest, SignalName
from perennial.exposition import page, read_machine, read_standing
from perennial.ledger import chain
from perennial.notifying.found import find
from perennial.notifying.telling import read
from perennial.store import Store, open_store
from perennial.store.batches import accounts, completeness
from perennial.store.migrate import migrate
from perennial.store.signals import measured
from perennial.store.snapshots import recorded
from servers import create_database

LANDED = "0004"
STATE = Path(__file__).with_name("landed_state.sql")


@pytest.fixture
def landed(postgres_server: URL) -> Iterator[Store]:
    """The database of the landed release, with what some days of two models left in it."""
    store = open_store(create_database(postgres_server, f"landed_{uuid4().hex[:12]}"), "file:///nonexistent")
    migrate(store, LANDED)
    with store.begin() as connection:
        connection.exec_driver_sql(STATE.read_text(encoding="utf-8"))
    yield store
    store.close()


def test_the_state_of_the_landed_release_is_read_as_before_after_all_migrations(landed: Store) -> None:
    migrate(landed)
    migrate(landed)

    state = ledger.release_state(landed, "flights")
    assert (state.champion, state.in_bake, state.stable, state.rolled_back) == ("2", False, ("1", "2"), frozenset("3"))
    assert state.lineages["2"] == Lineage(train=day(0), holdout=day(1), artifact_digest="d2")
    assert [hold.reason for hold in state.holds_over(day(2))] == ["made version 3"]
    assert state.open_requests == (
        RetrainRequest(
            model="flights",
            run_id="retrain__2",
            as_of=day(4).end,
            cause="decay",
            requested_by="policy",
            champion="2",
            bake="passed",
        ),
    )
    history = ledger.read(landed, "flights")
    assert history.signoff("signoff-2") is not None
    assert ledger.newest_decided(landed, "flights") == day(4).end
    assert [entry.seq for entry in ledger.entries(landed)] == list(range(1, 13))

    account = accounts(landed, "flights")["b1"]
    assert (account.n_staged, account.n_published, account.n_quarantined, account.n_duplicate) == (100, 90, 6, 4)
    complete = {one.source: one for one in completeness(landed, "flights")[day(0).key]}
    assert (complete["predictions"].n_published, complete["predictions"].n_expected) == (90, 100)
    assert complete["labels"].status == "halted"
    with landed.begin() as connection:
        assert connection.scalar(text("SELECT count(*) FROM perennial.quarantine WHERE batch_seq = 1")) == 2
    (signal,) = measured(landed, "flights", names=[SignalName("drift/weighted_share")])
    assert (signal.status, signal.value, signal.threshold) == ("breached", 0.4, 0.3)
    snapshot = recorded(landed, "snapshot-1")
    assert snapshot is not None
    assert (snapshot.n_train, snapshot.train) == (90, day(0))


def test_people_can_be_told_of_what_the_landed_release_left(landed: Store) -> None:
    migrate(landed)
    flights = FLIGHTS.model_copy(update={"model": "flights"})
    found = find(flights, read(flights, store=landed, now=day(5).end, tasks={}))
    assert {(one.kind, one.lasts) for one in found} == {("promoted", False), ("rolled_back", True)}
    machine = read_machine(Path.cwd(), store=landed, pools=())
    exposed = page([read_standing(flights, store=landed, now=day(5).end)], machine)
    assert b'perennial_champion_info{model="flights"' in exposed


def test_entries_of_the_landed_release_get_their_chain_and_new_ones_follow_it(landed: Store) -> None:
    migrate(landed)
    proven = {model: chain.verify(landed, model) for model in chain.models(landed)}
    assert {model: found.n_entries for model, found in proven.items()} == {"flights": 11, "wine": 1}
    newest = ledger.entries(landed, "flights")[-1]
    entry = LedgerEntry(
        entry_id="new", model="flights", kind="integrity", at=newest.at + timedelta(days=1), actor="test", reason="r"
    )
    assert ledger.append(landed, entry)
    after = chain.verify(landed, "flights", known=proven["flights"].head)
    assert (after.n_entries, after.head != proven["flights"].head) == (12, True)
    with pytest.raises((InternalError, DatabaseRefusal), match="append-only"), landed.begin() as connection:
        connection.execute(text("UPDATE perennial.ledger SET reason = '' WHERE entry_id = 'promotion-1'"))
