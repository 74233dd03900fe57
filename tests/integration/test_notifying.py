"""Messages as a real server gets them: once each, again when it is over, whatever is killed, refused or asleep."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from typer.testing import CliRunner

import notices
from notices import ACKNOWLEDGED, HELD, NOW, ROLLED_BACK, SERVES, Sink, decided, measured, sink
from perennial import ledger
from perennial.cli import app
from perennial.config import ModelConfig
from perennial.config.notify import Notify, Quiet, Route
from perennial.notifying import Channels, Told, channels, notify, notify_of_stack, pending
from perennial.notifying.texts import Text
from perennial.store import Store
from perennial.store.notices import kept
from perennial.store.signals import save

CHAT = "OPS_CHAT_URL"
ALL = Notify(**{word: Route(channels=[CHAT]) for word in ("critical", "warning", "info")})
MINUTE = timedelta(minutes=1)


class Killed(BaseException):
    """Nothing of ours may catch it."""


@pytest.fixture(scope="module")
def server() -> Iterator[Sink]:
    with sink() as kept_:
        yield kept_


@pytest.fixture
def posted(server: Sink) -> Sink:
    server.posted.clear()
    server.status = 200
    return server


@pytest.fixture
def flights(store: Store) -> ModelConfig:
    """The flights with a champion that serves for months: what is told of is written by each test."""
    for entry in SERVES:
        ledger.append(store, entry)
    return notices.FLIGHTS


def later(hours: float) -> datetime:
    """So long after whatever the database stamps now; what the tests begin with is not told of."""
    return datetime.now(NOW.tzinfo) + timedelta(days=4, hours=hours)


def to(posted: Sink, routes: Notify = ALL) -> Channels:
    return Channels(routes=routes, urls={CHAT: posted.url}, console="https://airflow.example.com/perennial")


def tell(config: ModelConfig, store: Store, posted: Sink, hours: float = 0, routes: Notify = ALL) -> Told:
    return notify(config, store=store, channels=to(posted, routes), now=later(hours))


def test_a_halt_is_one_message_and_its_end_another(flights: ModelConfig, store: Store, posted: Sink) -> None:
    ledger.append(store, decided(5, "halt", "broken schema: missing carrier"))
    for hours in (0, 1):
        tell(flights, store, posted, hours)
        ledger.append(store, decided(6, "halt", "still broken"))
    assert posted.titles == ["CRITICAL flight_delay: halted"]
    assert posted.posted[0]["type"] == "failure"
    assert "What: broken schema: missing carrier\n" in posted.posted[0]["message"]
    assert "Link: https://airflow.example.com/perennial/models/flight_delay" in posted.posted[0]["message"]
    ledger.append(store, decided(7, "stay", "quiet"))
    for hours in (2, 3):
        tell(flights, store, posted, hours)
    assert posted.titles == ["CRITICAL flight_delay: halted", "RESOLVED flight_delay: halted"]
    assert "Over: decided anew: stay: quiet\n" in posted.posted[1]["message"]
    ledger.append(store, decided(8, "halt", "broken again"))
    tell(flights, store, posted, 4)
    assert posted.titles[2:] == ["CRITICAL flight_delay: halted"]


def test_an_alert_ends_when_its_signal_was_measured_in_order(flights: ModelConfig, store: Store, posted: Sink) -> None:
    save(store, [measured("drift/score", 5), measured("drift/temp_f", 5, role="watch")])
    tell(flights, store, posted)
    save(store, [measured("quality/null_rate/temp_f", 6, "ok", 0.0)])  # the score was not measured: it is not in order
    tell(flights, store, posted, 1)
    assert posted.titles == ["WARNING flight_delay: alert signals breached (drift)"]
    assert "drift/score 0.31" in posted.posted[0]["message"]
    assert "temp_f" not in posted.posted[0]["message"]
    save(store, [measured("drift/score", 7, "ok", 0.02)])
    tell(flights, store, posted, 2)
    assert posted.titles[1:] == ["RESOLVED flight_delay: alert signals breached (drift)"]


def test_a_hold_is_told_of_until_somebody_gives_their_word(flights: ModelConfig, store: Store, posted: Sink) -> None:
    for entry in (ROLLED_BACK, HELD):
        ledger.append(store, entry)
    tell(flights, store, posted)
    ledger.append(store, ACKNOWLEDGED)
    for hours in (1, 2):
        tell(flights, store, posted, hours)
    name = "flight_delay: version 4 rolled back"
    assert posted.titles == [f"CRITICAL {name}", f"RESOLVED {name}"]


def test_a_channel_that_fails_is_named_without_its_secret_and_tried_again(
    flights: ModelConfig, store: Store, posted: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    ledger.append(store, decided(5, "halt", "broken"))
    posted.status = 500
    both = Notify(critical=Route(channels=["UNSET_URL", CHAT]))
    with caplog.at_level(logging.DEBUG):
        told = tell(flights, store, posted, 0, both)
    said = {channel: why for channel, why in told.failed}
    assert said["UNSET_URL"] == "UNSET_URL is not set: give it the Apprise URL of the channel"
    assert said[CHAT].startswith(f"{CHAT} did not take the message: ")
    kept_ = [one.problem for one in kept.undelivered(store, flights.model)]
    for text in (caplog.text, *said.values(), *kept_, repr(to(posted))):
        assert "S3CR3T" not in text
        assert "T0K3N" not in text
    posted.status = 200
    assert tell(flights, store, posted, 1, both).sent == ("CRITICAL flight_delay: halted",)
    assert [one.channel for one in kept.undelivered(store, flights.model)] == ["UNSET_URL"]


def test_a_process_killed_while_it_sends_sends_once_more_and_never_a_third_time(
    flights: ModelConfig, store: Store, posted: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.append(store, decided(5, "halt", "broken"))

    def killed(name: str, text: Text, *, urls: dict[str, str]) -> str:
        channels.send(name, text, urls=urls)
        raise Killed

    for n_hours, n_posted in ((0.0, 1), (1.0, 2), (2.0, 2)):
        with monkeypatch.context() as patched:
            patched.setattr("perennial.notifying.telling.send", killed)
            if n_posted > len(posted.posted):
                with pytest.raises(Killed):
                    tell(flights, store, posted, n_hours)
            else:
                tell(flights, store, posted, n_hours)
        tell(flights, store, posted, n_hours + 1 / 60)  # a minute later it may still be under way
        assert len(posted.posted) == n_posted
    (lost,) = kept.undelivered(store, flights.model)
    assert (lost.status, lost.attempts) == ("lost", 2)


def test_a_message_is_claimed_by_one_of_two_that_tell_at_once(store: Store) -> None:
    assert kept.claim(store, "f", "opened", CHAT, now=NOW)
    assert not kept.claim(store, "f", "opened", CHAT, now=NOW + MINUTE)
    kept.record_end(store, "f", "opened", CHAT, problem="")
    assert not kept.claim(store, "f", "opened", CHAT, now=NOW + timedelta(days=1))


def test_quiet_hours_keep_a_message_and_what_is_over_by_then_is_not_told(
    flights: ModelConfig, store: Store, posted: Sink
) -> None:
    start = later(0).replace(minute=0)
    hour = f"{start:%H:%M}", f"{start + timedelta(hours=3):%H:%M}"
    asleep = Notify(critical=Route(channels=[CHAT], quiet=Quiet(start=hour[0], end=hour[1])))
    ledger.append(store, decided(5, "halt", "broken"))
    assert tell(flights, store, posted, 0, asleep).n_quiet == 1
    ledger.append(store, decided(6, "stay", "quiet"))
    assert tell(flights, store, posted, 1, asleep).n_quiet == 0
    ledger.append(store, decided(7, "blind", "no labels"))
    assert tell(flights, store, posted, 1.5, asleep).n_quiet == 1
    assert tell(flights, store, posted, 4, asleep).sent == ("CRITICAL flight_delay: blind",)
    assert len(posted.posted) == 1


def test_without_a_channel_it_is_said_that_nobody_was_told(flights: ModelConfig, store: Store, posted: Sink) -> None:
    ledger.append(store, decided(5, "halt", "broken"))
    told = tell(flights, store, posted, 0, Notify())
    assert (told.unrouted, told.sent, posted.posted) == (("CRITICAL flight_delay: halted",), (), [])
    assert tell(flights, store, posted, 1).sent == ("CRITICAL flight_delay: halted",), "once there is one, it goes"


def test_a_dry_run_shows_what_would_go_and_keeps_nothing(flights: ModelConfig, store: Store, posted: Sink) -> None:
    ledger.append(store, decided(5, "halt", "broken"))
    for _ in range(2):
        ((channel, text),) = pending(flights, store=store, channels=to(posted), now=later(0))
        assert (channel, text.title) == (CHAT, "CRITICAL flight_delay: halted")
    tell(flights, store, posted)
    ledger.append(store, decided(6, "stay", "quiet"))
    ((_, over),) = pending(flights, store=store, channels=to(posted), now=later(1))
    assert over.title == "RESOLVED flight_delay: halted"
    assert len(posted.posted) == 1


def test_a_fault_of_the_maintenance_is_told_of_and_over_with_its_next_run(store: Store, posted: Sink) -> None:
    for hours, failed in ((0.0, "IntegrityError: entry 7 is not what was written"), (1.0, None)):
        notify_of_stack(store=store, channels=to(posted), now=later(hours), tasks={"maintenance: prove_ledger": failed})
    name = "perennial: a task failed (maintenance: prove_ledger)"
    assert posted.titles == [f"CRITICAL {name}", f"RESOLVED {name}"]


def test_the_command_tells_and_ends_with_75_where_a_channel_does_not_take_it(
    wine: ModelConfig, store: Store, posted: Sink, database_url: str, monkeypatch: pytest.MonkeyPatch, home: object
) -> None:

    ledger.append(store, replace(decided(5, "halt", "broken", model=wine.model)))
    told = wine.model_copy(update={"notify": ALL})
    monkeypatch.setattr("perennial.pipeline.runtime.load_model", lambda _: told)
    for name, value in {
        "PERENNIAL_DATABASE_URL": database_url,
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:1",
        "PERENNIAL_HOME": str(home),
        CHAT: posted.url,
    }.items():
        monkeypatch.setenv(name, value)
    run = CliRunner()
    dry = run.invoke(app, ["notify", wine.model, "--dry-run"])
    assert f"{CHAT}: CRITICAL {wine.model}: halted" in dry.output
    posted.status = 500
    assert run.invoke(app, ["notify", wine.model]).exit_code == 75
    posted.status = 200
    assert f"told: CRITICAL {wine.model}: halted" in run.invoke(app, ["notify", wine.model]).output
    assert len(posted.posted) == 1
