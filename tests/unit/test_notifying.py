"""What is told of, when it is over, and what the message says: pure, and as docs/notifications.md shows it."""

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

import notices
from conftest import TEST_MODELS
from notices import (
    ACKNOWLEDGED,
    CONSOLE,
    DRIFT,
    EXAMPLES,
    FLIGHTS,
    NOW,
    OVER,
    REQUEST,
    decided,
    ended,
    entry,
    measured,
    of_kind,
    seen,
    taken_back,
)
from perennial.config import load_model
from perennial.config.notify import Notify, Route
from perennial.errors import ConfigError
from perennial.notifying import texts
from perennial.notifying.events import TOLD_FOR
from perennial.notifying.found import find, resolved
from perennial.notifying.incidents import KINDS, RUNBOOK, TITLES
from perennial.settings import ROOT

PAGE = (ROOT / "docs" / "notifications.md").read_text(encoding="utf-8")


def kinds(found: object) -> list[str]:
    return [one.kind for one in found]  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_shows_a_message_of_each_kind_as_it_is_sent(kind: str) -> None:
    told = texts.opened(of_kind(kind), console=CONSOLE)
    assert f"```\n{told.title}\n\n{told.body}\n```" in PAGE


@pytest.mark.parametrize("kind", sorted(OVER))
def test_what_lasted_is_over_and_the_message_says_what_ended_it(kind: str) -> None:
    told = texts.resolved(of_kind(kind), resolution=ended(kind), console=CONSOLE)
    assert told.title.startswith("RESOLVED flight_delay: ")
    assert told.body.startswith("Over: ")
    if kind in ("halted", "review"):
        assert f"```\n{told.title}\n\n{told.body}\n```" in PAGE


def test_every_kind_has_its_words_and_a_place_in_the_documentation() -> None:
    assert set(TITLES) == set(RUNBOOK) == set(KINDS) == set(EXAMPLES)
    for place in RUNBOOK.values():
        page, _, heading = place.partition("#")
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        headings = [re.sub(r"[^\w\- ]", "", line.lower()).strip() for line in text.splitlines() if line[:1] == "#"]
        assert not heading or heading.replace("-", " ") in headings, place


@pytest.mark.parametrize(
    ("outcome", "severity", "asked"),
    [
        ("breached", "warning", "look at the figure"),
        ("lost", "info", "nothing"),
        ("blind", "warning", "find out why"),
        ("expired", "info", "ask for the retrain again"),
        ("stopped", "info", "ask for the retrain again"),
    ],
)
def test_how_a_share_ended_says_what_is_asked(outcome: str, severity: str, asked: str) -> None:
    told = [one for one in find(FLIGHTS, seen(*taken_back(outcome))) if one.kind != "promoted"]
    assert [(one.kind, one.severity) for one in told] == [("taken_back", severity)]
    assert told[0].asked.startswith(asked)


def test_a_retrain_that_ran_beside_one_whose_share_was_taken_back_ended_by_itself() -> None:
    beside = {**REQUEST, "run_id": "retrain__d8"}
    refused = entry("retrain_outcome", 8, reason="version 5 refused: latency", ended="refused", **beside)
    told = find(FLIGHTS, seen(entry("retrain_request", 4, name="beside", **beside), *taken_back(), refused))
    assert [(one.kind, one.subject) for one in told if one.kind != "promoted"] == [
        ("taken_back", REQUEST["run_id"]),
        ("retrain_refused", "retrain__d8"),
    ]


def test_one_that_passed_and_serves_was_not_taken_back() -> None:
    told = find(FLIGHTS, seen(*taken_back("passed")))
    assert [one.kind for one in told] == []


def test_nothing_is_told_of_a_model_in_order() -> None:
    quiet = seen(newest=decided(5, "stay", "quiet"), measured=(measured("drift/score", 5, "ok", 0.01),))
    assert [one.kind for one in find(FLIGHTS, quiet) if one.kind != "promoted"] == []


def test_an_alert_lasts_until_each_of_its_signals_was_seen_in_order() -> None:
    open_ = of_kind("alert")
    for status, over in (("ok", True), ("undecided", False), ("breached", False)):
        known = (measured("drift/score", 6, "ok", 0.02), measured("drift/weighted_share", 6, status))
        after = seen(measured=(measured("drift/score", 6, "ok", 0.02),), known=known, lasting=(open_,))
        assert (open_.fingerprint in resolved(after, find(FLIGHTS, after))) == over


def test_a_breach_of_another_role_is_no_alert_and_one_of_an_earlier_run_neither() -> None:
    watched = seen(measured=(measured("drift/score", 5, role="watch"), measured("drift/temp_f", 5, role="retrain")))
    assert "alert" not in kinds(find(FLIGHTS, watched))
    earlier = seen(measured=(measured("drift/score", 4), measured("drift/temp_f", 5, "ok", 0.01)))
    assert "alert" not in kinds(find(FLIGHTS, earlier))


def test_a_halt_that_lasts_is_the_same_incident_and_ends_with_another_decision() -> None:
    open_ = of_kind("halted")
    still = replace(EXAMPLES["halted"], newest=decided(6, "halt", "late again"), lasting=(open_,))
    assert resolved(still, find(FLIGHTS, still)) == {}
    assert ended("halted") == "decided anew: stay: none of 3 retrain signals breached"


def test_a_review_that_the_policy_answers_asks_for_nobody() -> None:
    by_policy = replace(notices.signed(), review="auto")
    assert "review" not in kinds(find(FLIGHTS, seen(notices.signoff_entry(by_policy))))
    assert "review" not in kinds(find(FLIGHTS, OVER["review"]))


def test_an_event_is_history_after_three_days_and_a_hold_is_not() -> None:
    later = NOW + TOLD_FOR
    assert "promoted" not in kinds(find(FLIGHTS, replace(EXAMPLES["promoted"], now=later)))
    assert "rolled_back" in kinds(find(FLIGHTS, replace(EXAMPLES["rolled_back"], now=later)))
    held, free = of_kind("rolled_back"), find(FLIGHTS, OVER["rolled_back"])
    assert held.lasts
    assert ACKNOWLEDGED.reason in ended("rolled_back")
    assert [one.fingerprint for one in free if one.kind == "rolled_back"] == [held.fingerprint], "told once, as one"


def test_a_fault_of_another_run_lasts_until_its_own_task_goes_well() -> None:
    open_ = of_kind("fault")
    elsewhere = seen(tasks={"rollback: verify": None}, lasting=(open_,))
    assert resolved(elsewhere, find(FLIGHTS, elsewhere)) == {}
    assert open_.fingerprint in resolved(replace(OVER["fault"], lasting=(open_,)), [])


def test_a_message_holds_no_secret_and_stays_short() -> None:
    told = replace(of_kind("halted"), what=f"s3://KEY:SECRET@bucket {'x' * 9000}")
    body = texts.opened(told, console=None).body
    assert "SECRET" not in body
    assert len(body) < 3000
    assert "Link" not in body


@pytest.mark.parametrize("pasted", ["slack://tokenA/tokenB", "https://hooks.example.com/T0K3N", "chat_url"])
def test_the_url_of_a_channel_is_refused_and_not_repeated(tmp_path: Path, pasted: str) -> None:
    folder = tmp_path / "wine_cultivar"
    folder.mkdir()
    text = (TEST_MODELS / "wine_cultivar" / "model.yaml").read_text(encoding="utf-8")
    (folder / "model.yaml").write_text(f'{text}\nnotify:\n  info: {{channels: ["{pasted}"]}}\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"notify\.info\.channels\.0: is no name") as caught:
        load_model(folder)
    assert pasted not in str(caught.value)
    assert caught.value.__suppress_context__
    assert caught.value.__cause__ is None


def test_who_is_told_changes_no_rule() -> None:
    """A route is no reason to have a review or an approval again."""
    other = FLIGHTS.model_copy(update={"notify": Notify(info=Route(channels=["CHAT_URL"]))})
    assert other.digest == FLIGHTS.digest


def test_alerts_of_one_family_are_one_incident_with_the_oldest_window() -> None:
    late = replace(measured("performance/roc_auc", 3), as_of=DRIFT[0].as_of)
    found = [one for one in find(FLIGHTS, seen(measured=(*DRIFT, late))) if one.kind == "alert"]
    assert [(one.subject, one.since) for one in found] == [
        ("drift", DRIFT[0].window.start),
        ("performance", late.window.start),
    ]
    assert found[0].began == NOW.isoformat()
    assert NOW - timedelta(hours=1) > found[0].since
