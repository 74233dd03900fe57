"""The ledger proves itself: nobody who writes it can change it, and a change by anybody else shows."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import IntegrityError as DatabaseRefusal
from sqlalchemy.exc import ProgrammingError

from logs import day
from perennial import ledger
from perennial.contracts import LedgerEntry
from perennial.errors import IntegrityError
from perennial.ledger import chain
from perennial.store import Store, open_store
from perennial.store.migrate import migrate
from perennial.store.ownership import why_unprotected
from servers import reachable_folder, temporary_postgres
from stack import postgres

ENTRY = LedgerEntry(entry_id="e0", model="m", kind="integrity", at=day(0).end, actor="test", reason="because")
CHANGES = {
    "a reason": ("UPDATE perennial.ledger SET reason = 'better' WHERE entry_id = 'e1'", r"entry 2 .*e1.* not what was"),
    "a payload": (
        "UPDATE perennial.ledger SET payload = jsonb_set(payload, '{outcome}', '\"passed\"') WHERE entry_id = 'e1'",
        r"entry 2 .*e1.* not what was",
    ),
    "a version": ("UPDATE perennial.ledger SET version = '7' WHERE entry_id = 'e1'", r"e1.* not what was"),
    "an actor": ("UPDATE perennial.ledger SET actor = 'policy' WHERE entry_id = 'e1'", r"e1.* not what was"),
    "a moment": ("UPDATE perennial.ledger SET at = at + '1 us' WHERE entry_id = 'e1'", r"e1.* not what was"),
    "a time of writing": (
        "UPDATE perennial.ledger SET recorded_at = recorded_at - interval '1 day' WHERE entry_id = 'e1'",
        r"e1.* not what was",
    ),
    "a number": (
        "UPDATE perennial.ledger SET seq = DEFAULT WHERE entry_id = 'e1'",
        r"entry 3 .*e2.* does not follow",
    ),
    "one taken out": ("DELETE FROM perennial.ledger WHERE entry_id = 'e1'", r"entry 3 .*e2.* does not follow"),
    "the first taken out": ("DELETE FROM perennial.ledger WHERE entry_id = 'e0'", r"entry 2 .*e1.* does not follow"),
}


def the_application(server: URL, tmp_path: Path) -> Store:
    """A store as the local stack has it: the role that connects owns its database and is no more than that."""
    name = f"app_{uuid4().hex[:12]}"
    postgres.ensure_databases(int(server.port or 0), str(server.password), {name: "secret"})
    return open_store(f"postgresql://{name}:secret@127.0.0.1:{server.port}/{name}", (tmp_path / "storage").as_uri())


@pytest.fixture
def application(postgres_server: URL, tmp_path: Path) -> Iterator[Store]:
    opened = the_application(postgres_server, tmp_path)
    yield opened
    opened.close()


def prepared(application: Store, postgres_server: URL) -> Store:
    """What ``perennial up`` does before anything is migrated."""
    port, password = int(postgres_server.port or 0), str(postgres_server.password)
    postgres.prepare_ledger_owner(port, password, str(application.engine.url.database))
    return application


def as_administrator(application: Store, postgres_server: URL, *statements: str) -> None:
    """Run statements in the application's database as a superuser, past the ledger's triggers."""
    url = postgres_server.set(database=application.engine.url.database)
    store = open_store(url.render_as_string(hide_password=False), "file:///nonexistent")
    with store.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    store.close()


def written(store: Store, n: int = 3, model: str = "m") -> None:
    for number in range(n):
        payload = {"outcome": "failed", "ünïcode": 'a "quoted" \\ line', "x": 0.1, "deep": [None, {"b": 1, "a": 2}]}
        entry = replace(ENTRY, entry_id=f"e{number}" if model == "m" else f"{model}-{number}", model=model)
        ledger.append(store, replace(entry, payload=payload, version=None if number == 0 else str(number)))


def test_the_role_that_writes_the_ledger_can_not_change_it(application: Store, postgres_server: URL) -> None:
    store = prepared(application, postgres_server)
    migrate(store)
    migrate(store)
    written(store)
    assert why_unprotected(store) is None
    for statement in (
        "ALTER TABLE perennial.ledger DISABLE TRIGGER ALL",
        "DROP TRIGGER ledger_no_change ON perennial.ledger",
        "CREATE OR REPLACE FUNCTION perennial.ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN RETURN OLD; END'",
        "UPDATE perennial.ledger SET reason = ''",
        "DELETE FROM perennial.ledger",
        "TRUNCATE perennial.ledger",
        "DROP TABLE perennial.ledger",
        "DROP SCHEMA perennial CASCADE",
        "ALTER TABLE perennial.ledger RENAME TO old",
        "SET ROLE perennial_ledger",
        "GRANT perennial_ledger TO CURRENT_USER",
        "ALTER TABLE perennial.ledger OWNER TO CURRENT_USER",
        "SET session_replication_role = replica",
    ):
        with pytest.raises(ProgrammingError, match=r"must be owner|permission denied"), store.begin() as connection:
            connection.execute(text(statement))
    assert len(ledger.entries(store, "m")) == 3
    assert chain.verify(store, "m").n_entries == 3


def test_the_role_can_still_migrate_and_write_everything_else(application: Store, postgres_server: URL) -> None:
    store = prepared(application, postgres_server)
    migrate(store)
    with store.begin() as connection:
        connection.execute(text("CREATE TABLE perennial.later (x text)"))
        connection.execute(text("ALTER TABLE perennial.batches ADD COLUMN later text"))
        connection.execute(text("DELETE FROM perennial.signals"))


def test_a_database_that_was_migrated_before_is_given_its_owner_later(application: Store, postgres_server: URL) -> None:
    migrate(application)
    written(application)
    assert "owns the ledger" in str(why_unprotected(application))
    migrate(prepared(application, postgres_server))
    assert why_unprotected(application) is None
    assert chain.verify(application, "m").n_entries == 3


def test_a_role_that_may_create_roles_makes_the_owner_itself_and_says_what_is_left(tmp_path: Path) -> None:
    """On a server of its own: the owner's role belongs to a whole server, and elsewhere another role made it."""
    with reachable_folder() as folder, temporary_postgres(folder) as url:
        store = the_application(make_url(url), tmp_path)
        as_administrator(store, make_url(url), f"ALTER ROLE {store.engine.url.username} CREATEROLE")
        migrate(store)
        migrate(store)
        written(store)
        assert "may make itself the owner" in str(why_unprotected(store))
        with pytest.raises(ProgrammingError, match="must be owner"), store.begin() as connection:
            connection.execute(text("ALTER TABLE perennial.ledger DISABLE TRIGGER ALL"))
        assert chain.verify(store, "m").n_entries == 3
        store.close()


def test_a_role_without_any_rights_goes_on_and_maintenance_has_something_to_say(application: Store) -> None:
    migrate(application)
    said = str(why_unprotected(application))
    assert "owns the ledger" in said
    assert "docs/runbook.md" in said


@pytest.mark.parametrize("what", CHANGES)
def test_the_first_entry_that_was_changed_is_named(store: Store, what: str) -> None:
    statement, message = CHANGES[what]
    written(store)
    written(store, model="other")
    assert chain.verify(store, "m").n_entries == 3
    with store.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text(statement))
    with pytest.raises(IntegrityError, match=message):
        chain.verify(store, "m")
    assert chain.verify(store, "other").n_entries == 3


def test_an_entry_that_was_put_in_without_the_chain_is_named(store: Store) -> None:
    written(store)
    forged = (
        "INSERT INTO perennial.ledger (entry_id, model, kind, at, actor, reason, payload, previous_digest, digest) "
        "VALUES ('forged', 'm', 'review', now(), 'anna', 'approved', '{}', 'x', 'y')"
    )
    with store.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text(forged))
    with pytest.raises(IntegrityError, match=r"entry 4 \(review, forged\)"):
        chain.verify(store, "m")


def test_what_was_cut_off_at_the_end_shows_against_a_head_that_was_noted(store: Store) -> None:
    written(store)
    noted = chain.verify(store, "m").head
    ledger.append(store, replace(ENTRY, entry_id="later"))
    assert chain.verify(store, "m", known=noted).n_entries == 4
    written(store, 1, model="other")
    with pytest.raises(IntegrityError, match="holds no entry with the digest"):
        chain.verify(store, "m", known=chain.verify(store, "other").head)
    with store.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("DELETE FROM perennial.ledger WHERE entry_id IN ('e2', 'later')"))
    assert chain.verify(store, "m").n_entries == 2
    with pytest.raises(IntegrityError, match="holds no entry with the digest"):
        chain.verify(store, "m", known=noted)


def test_entries_written_at_once_by_many_make_one_chain_in_the_order_of_their_numbers(store: Store) -> None:
    def append(number: int) -> None:
        ledger.append(store, replace(ENTRY, entry_id=f"e{number}", model=f"m{number % 2}"))

    with ThreadPoolExecutor(8) as writers:
        list(writers.map(append, range(40)))
    assert [chain.verify(store, model).n_entries for model in chain.models(store)] == [20, 20]


def test_a_number_drawn_before_the_lock_was_had_is_drawn_again(store: Store) -> None:
    """Two transactions insert at once; the one that drew the older number gets the lock last."""
    insert = text(
        "INSERT INTO perennial.ledger (entry_id, model, kind, at, actor, reason, payload) "
        "VALUES (:id, 'm', 'integrity', now(), 'test', 'r', '{}') RETURNING seq"
    )
    with store.engine.connect() as first, store.engine.connect() as second:
        first.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('perennial:ledger:m', 0))"))
        with ThreadPoolExecutor(1) as waiting:
            drew_early = waiting.submit(lambda: (second.execute(insert, {"id": "early"}).scalar_one(), second.commit()))
            while not first.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar_one():
                pass
            late = first.execute(insert, {"id": "late"}).scalar_one()
            first.commit()
            assert drew_early.result(10)[0] > late
    assert [entry.entry_id for entry in ledger.entries(store, "m")] == ["late", "early"]
    assert chain.verify(store, "m").n_entries == 2


def test_a_transaction_that_sees_an_old_world_can_not_fork_the_chain(store: Store) -> None:
    insert = text(
        "INSERT INTO perennial.ledger (entry_id, model, kind, at, actor, reason, payload) "
        "VALUES (:id, 'm', 'integrity', now(), 'test', 'r', '{}')"
    )
    with store.engine.connect().execution_options(isolation_level="REPEATABLE READ") as old:
        old.execute(text("SELECT 1 FROM perennial.ledger"))
        written(store, 1)
        with pytest.raises(DatabaseRefusal, match="ledger_chain_key"):
            old.execute(insert, {"id": "forked"})
    assert chain.verify(store, "m").n_entries == 1


def test_when_it_was_written_is_said_by_the_clock_of_the_database_alone(store: Store) -> None:
    insert = text(
        "INSERT INTO perennial.ledger (entry_id, model, kind, at, actor, reason, payload, recorded_at) "
        "VALUES ('e', 'm', 'integrity', now(), 'test', 'r', '{}', '2001-01-01') RETURNING recorded_at > now()"
    )
    with store.begin() as connection:
        assert connection.execute(insert).scalar_one()


def test_functions_that_somebody_puts_before_the_systems_do_not_make_the_chain(store: Store) -> None:
    forged = "CREATE FUNCTION forged.{} AS $$ SELECT {} $$ LANGUAGE sql"
    with store.engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA forged"))
        connection.execute(text(forged.format("sha256(bytea) RETURNS bytea", "'x'::bytea")))
        connection.execute(text(forged.format("clock_timestamp() RETURNS timestamptz", "'2001-01-01'::timestamptz")))
        connection.execute(text("SET LOCAL search_path = forged, pg_catalog"))
        insert = (
            "INSERT INTO perennial.ledger (entry_id, model, kind, at, actor, reason, payload) "
            "VALUES ('e', 'm', 'integrity', now(), 'test', 'r', '{}') RETURNING recorded_at > now()"
        )
        assert connection.execute(text(insert)).scalar_one()
    assert chain.verify(store, "m").n_entries == 1


def test_the_chain_is_the_same_in_every_time_zone(store: Store, database_url: str) -> None:
    written(store)
    elsewhere = make_url(database_url).set(query={"options": "-ctimezone=Asia/Kathmandu"})
    other = open_store(elsewhere.render_as_string(hide_password=False), "file:///nonexistent")
    with other.begin() as connection:
        connection.execute(text("SET TIME ZONE 'Asia/Kathmandu'"))
    written(other, 5)
    assert chain.verify(other, "m") == chain.verify(store, "m")
    other.close()
