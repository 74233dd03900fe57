"""What alerts start: one run a firing, remembered in the ledger, within what the policy allows."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from logs import day
from perennial import ledger
from perennial.config import ModelConfig
from perennial.config.alerts import Alerts
from perennial.contracts import Decision, LedgerEntry, RetrainRequest, from_record, to_record
from perennial.decision.record import record_outcome
from perennial.pipeline.alerts import RETRIED_FOR, Alert, AlertAnswer, acting, answer
from perennial.store import Store
from published import publish_days

DRIFT = Alert(alertname="PerennialDrift", fingerprint="f" * 16, starts_at=day(7).end, firing=True)
QUALITY = replace(DRIFT, alertname="PerennialQuality", fingerprint="a" * 16)
NONE = "names nothing that it starts"


@pytest.fixture
def model(wine: ModelConfig) -> ModelConfig:
    starts = {"PerennialDrift": "monitor", "PerennialQuality": "retrain"}
    return wine.model_copy(update={"alerts": Alerts(starts=starts, at_most=2)})


def decided(store: Store, config: ModelConfig, number: int, action: str = "stay") -> None:
    made = Decision(
        decision_id=f"{config.model}-{number}", model=config.model, window=day(number), action=action,  # type: ignore[arg-type]
        reasons=("a reason",), champion=None, bake="none",
    )  # fmt: skip
    payload = {"decision": to_record(made), "batch_ids": [], "signals": []}
    ledger.append(store, LedgerEntry(entry_id=made.decision_id, model=config.model, kind="decision", at=day(number).end,
                                     actor="policy", reason=f"{action}: a reason", payload=payload))  # fmt: skip


@pytest.fixture
def taught(store: Store, model: ModelConfig) -> ModelConfig:
    """A model without a champion, with rows to make and to judge one, whose newest window was decided about."""
    publish_days(store, model, range(8), n_rows=60)
    decided(store, model, 7)
    return model


def posted(store: Store, config: ModelConfig, alert: Alert, now: datetime | None = None) -> AlertAnswer:
    return answer(config, alert, window=day(7), store=store, now=now or datetime.now(UTC))


def acted(store: Store, config: ModelConfig) -> tuple[LedgerEntry, ...]:
    return ledger.entries(store, config.model, kinds=["alert"])


def requests(store: Store, config: ModelConfig) -> list[RetrainRequest]:
    return [
        from_record(RetrainRequest, one.payload)
        for one in ledger.entries(store, config.model, kinds=["retrain_request"])
    ]


def test_only_a_firing_alert_that_is_named_starts_anything(store: Store, model: ModelConfig) -> None:
    assert posted(store, model, replace(DRIFT, firing=False)).said == "resolved: nothing is started"
    assert NONE in posted(store, model, replace(DRIFT, alertname="PerennialHalted")).said
    silent = model.model_copy(update={"alerts": Alerts()})
    assert NONE in posted(store, silent, DRIFT).said, "unless model.yaml says so"
    assert answer(model, DRIFT, window=None, store=store, now=datetime.now(UTC)).run_id is None
    assert acted(store, model) == ()
    found = posted(store, model, DRIFT)
    (entry,) = acted(store, model)
    assert (found.dag_id, found.run_id) == (f"{model.model}__monitor", f"alert__{entry.entry_id}")
    assert found.conf == {"window_start": day(7).start.isoformat(), "window_end": day(7).end.isoformat()}


def test_a_firing_is_one_run_however_often_it_is_posted(store: Store, model: ModelConfig) -> None:
    with ThreadPoolExecutor(4) as webservers:
        found = list(webservers.map(lambda _: posted(store, model, DRIFT), range(4)))
    assert len({one.run_id for one in found}) == len(acted(store, model)) == 1
    later = datetime.now(UTC) + RETRIED_FOR + timedelta(minutes=1)
    replayed = posted(store, model, DRIFT, later)
    assert (replayed.run_id, "done before" in replayed.said) == (None, True)
    again = posted(store, model, replace(DRIFT, starts_at=day(9).end))
    assert again.run_id not in {None, found[0].run_id}, "it had ended, and fires again"
    assert len(acted(store, model)) == 2


def test_no_more_runs_are_started_than_model_yaml_allows(store: Store, model: ModelConfig) -> None:
    told = [posted(store, model, replace(DRIFT, fingerprint=f"{number:016x}")) for number in range(3)]
    assert [one.run_id is None for one in told] == [False, False, True]
    assert told[2].said == "held back: alerts started 2 runs within 24 h, alerts.at_most is 2"
    tomorrow = datetime.now(UTC) + timedelta(days=1, minutes=1)
    assert posted(store, model, replace(DRIFT, fingerprint=f"{2:016x}"), tomorrow).run_id, (
        "it still fires, and asks again"
    )


def test_posts_to_several_web_servers_keep_the_limit_together(store: Store, model: ModelConfig) -> None:
    storm = [replace(DRIFT, fingerprint=f"{number:016x}") for number in range(6)]
    with ThreadPoolExecutor(6) as webservers:
        found = list(webservers.map(lambda one: posted(store, model, one), storm))
    assert sum(one.run_id is not None for one in found) == len(acted(store, model)) == 2


def test_a_retrain_is_a_request_that_cooldown_and_budget_know(store: Store, taught: ModelConfig) -> None:
    found = posted(store, taught, QUALITY)
    (request,) = requests(store, taught)
    assert (found.dag_id, found.run_id) == (f"{taught.model}__retrain", request.run_id)
    assert found.conf == {"request": request.request_id}, "an id, and nothing of what it asks for"
    assert (request.as_of, request.requested_by, request.bake) == (day(7).end, "alertmanager", "none")
    assert posted(store, taught, QUALITY).conf == found.conf
    other = replace(QUALITY, fingerprint="b" * 16)
    assert "is open" in posted(store, taught, other).said
    record_outcome(request, "refused", "a gate failed", store=store)
    told = posted(store, taught, other)
    assert "cooldown: the last retrain was requested as of" in told.said
    assert (told.run_id, len(requests(store, taught)), len(acted(store, taught))) == (None, 1, 1)


def test_what_is_no_ground_for_a_retrain_starts_none(store: Store, model: ModelConfig) -> None:
    assert posted(store, model, QUALITY).said == "held back: nothing was decided about this model yet"
    decided(store, model, 6)
    assert "too few rows" in posted(store, model, QUALITY).said
    decided(store, model, 7, "halt")
    assert "no ground for a retrain: halt" in posted(store, model, QUALITY).said
    assert acted(store, model) == ()
    assert requests(store, model) == []


def test_a_death_between_the_entry_and_its_request_is_mended_by_the_next_post(
    store: Store, taught: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as dying:
        dying.setattr(acting, "_started", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            posted(store, taught, QUALITY)
    assert (len(acted(store, taught)), requests(store, taught)) == (1, [])
    found = posted(store, taught, QUALITY)
    assert [one.run_id for one in requests(store, taught)] == [found.run_id]
