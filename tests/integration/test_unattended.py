"""Retrain requests that nobody ran, or whose run was stopped: the maintenance starts or ends them."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from conftest import unique_model
from logs import day, deliver, delivery
from perennial import ledger
from perennial.cli import app
from perennial.contracts import LedgerEntry, RetrainRequest, to_record
from perennial.decision.record import record_request
from perennial.orchestration.tasks import maintenance
from perennial.pipeline import Case, Runtime, open_runtime
from perennial.pipeline.loops import SOURCES
from perennial.settings import Settings
from perennial.store import Store


@pytest.fixture
def runtime(
    database_url: str, mlflow_uri: str, home: Path, models_dir: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> Runtime:
    for name, value in {
        "PERENNIAL_DATABASE_URL": database_url,
        "MLFLOW_TRACKING_URI": mlflow_uri,
        "PERENNIAL_HOME": str(home),
        "PERENNIAL_MODELS_DIR": str(models_dir),
    }.items():
        monkeypatch.setenv(name, value)
    return open_runtime(Settings(home=home, models_dir=models_dir, database_url=database_url, mlflow_uri=mlflow_uri))


@pytest.fixture
def case(runtime: Runtime, models_dir: Path) -> Case:
    return runtime.case(unique_model(models_dir, "wine_cultivar"))


def asked(case: Case, run_id: str = "r1", number: int = 2) -> RetrainRequest:
    return RetrainRequest(model=case.model, run_id=run_id, as_of=day(number).end, cause="decay", requested_by="policy")


def written_at(case: Case) -> datetime:
    at = ledger.entries(case.store, case.model, kinds=["retrain_request"])[-1].recorded_at
    assert at is not None
    return at


def outcomes(case: Case) -> list[tuple[str, str]]:
    entries = ledger.entries(case.store, case.model, kinds=["retrain_outcome"])
    return [(entry.payload["run_id"], entry.payload["ended"]) for entry in entries]


def test_a_request_is_unattended_once_its_run_should_have_ended_on_the_command_line_too(case: Case) -> None:
    case.ask(asked(case))
    patience = case.config.training.timeout + timedelta(minutes=30)
    due = written_at(case) + patience
    assert case.unattended(now=due - timedelta(microseconds=1)) == ()
    (found,) = case.unattended(now=due)
    assert found == replace(asked(case), bake="none")
    case.ask(asked(case, "r2", 3))
    later = written_at(case) + patience
    assert [request.run_id for request in case.unattended(now=later)] == ["r2", "r1"]
    case.conclude(found.request_id, failure="snapshot failed")
    assert [request.run_id for request in case.unattended(now=later)] == ["r2"]


def test_a_request_from_before_its_champion_was_kept_is_left_alone(case: Case) -> None:
    record_request(asked(case), store=case.store)
    assert case.state().open_requests == (asked(case),)
    assert case.unattended(now=written_at(case) + timedelta(days=1)) == ()


def test_a_stopped_run_gives_its_request_an_outcome_once_and_its_budget_back(case: Case) -> None:
    request_id = case.ask(asked(case))
    assert case.state().request_times == (day(2).end,)
    assert "stopped, or cut off" in str(case.conclude_unattended(request_id))
    assert case.conclude_unattended(request_id) is None
    assert outcomes(case) == [("r1", "failed")]
    assert case.state().request_times == ()


def test_a_run_that_was_cut_off_after_its_promotion_ended_in_it(case: Case) -> None:
    request_id = case.ask(asked(case))
    stretches = {"train": to_record(day(0)), "holdout": to_record(day(1))}
    promotion = LedgerEntry(
        entry_id="p",
        model=case.model,
        kind="promotion",
        at=day(2).end,
        actor="policy",
        reason="test",
        version="4",
        payload={"previous": None, "intent": "i", "request": request_id, **stretches},
    )
    ledger.append(case.store, promotion)
    assert case.conclude_unattended(request_id) == "version 4 promoted"
    assert outcomes(case) == [("r1", "promoted")]


@dataclass
class Runs:
    """What Airflow answers about its runs: the states of those that there are (tests/e2e asks the real one)."""

    states: dict[str, str] = field(default_factory=dict)

    def get_dr_count(self, dag_id: str, *, run_ids: list[str], states: list[str] | None = None) -> int:
        assert dag_id.endswith("__retrain")
        return sum(run_id in self.states and (not states or self.states[run_id] in states) for run_id in run_ids)


@pytest.mark.parametrize(
    ("state", "started", "ended"),
    [
        (None, ["r1"], []),
        ("queued", [], []),
        ("running", [], []),
        ("failed", [], [("r1", "failed")]),
        ("success", [], [("r1", "failed")]),
    ],
)
def test_the_maintenance_starts_what_has_no_run_and_ends_what_has_a_run_that_ended(
    case: Case,
    monkeypatch: pytest.MonkeyPatch,
    state: str | None,
    started: list[str],
    ended: list[tuple[str, str]],
) -> None:
    folder = case.settings.models_dir / case.model / "model.yaml"
    declared = folder.read_text(encoding="utf-8")
    folder.write_text(declared.replace("timeout: 10min", "timeout: 1min, dispatch_after: 0min"), encoding="utf-8")
    request_id = case.ask(asked(case))
    runs = Runs({"r1": state} if state else {})
    monkeypatch.setattr(maintenance, "get_current_context", lambda: {"ti": runs})
    assert maintenance.open_requests.function() == []
    assert outcomes(case) == []

    later = written_at(case) + timedelta(minutes=1)
    monkeypatch.setattr(maintenance, "datetime", SimpleNamespace(now=lambda _: later))
    arguments = maintenance.open_requests.function()
    assert arguments == [
        {
            "trigger_dag_id": f"{case.model}__retrain",
            "trigger_run_id": run_id,
            "conf": {"request": request_id},
        }
        for run_id in started
    ]
    assert outcomes(case) == ended


def test_the_command_line_takes_up_what_was_asked_for_as_of_the_last_monitored_window(case: Case) -> None:
    """And writes no second request. Without a row there is nothing to fit, which is how it ends."""
    case.prepare()
    for number in (1, 2):
        decided = LedgerEntry(
            entry_id=f"d{number}", model=case.model, kind="decision", at=day(number).end, actor="policy", reason="test"
        )
        ledger.append(case.store, decided)
    case.ask(asked(case))
    ended = CliRunner().invoke(app, ["run", "retrain", case.model])
    assert (ended.exit_code, "TrainingError" in ended.stderr) == (1, True), ended.output
    assert outcomes(case) == [("r1", "failed")]
    written = ledger.entries(case.store, case.model, kinds=["retrain_request"])
    assert [(entry.at, entry.payload["run_id"]) for entry in written] == [(day(2).end, "r1")]
    assert case.state().open_requests == ()


def test_the_maintenance_runs_a_window_again_once_for_every_change_of_its_files(case: Case) -> None:
    home, list_again = case.settings.home, maintenance.list_again.function
    case.prepare()
    frame = delivery("wine_cultivar", day(0))
    deliver(home, "wine_cultivar", day(0), frame.iloc[:60])

    def staged() -> None:
        for source in SOURCES:
            case.publish(batch := case.stage(day(0), source), case.audit(batch))

    staged()
    assert list_again() == []
    deliver(home, "wine_cultivar", day(0), frame.iloc[:90])
    (late,) = list_again()
    assert late["trigger_dag_id"] == f"{case.model}__monitor"
    assert str(late["trigger_run_id"]).startswith(f"again__{day(0).key}__")
    assert late["conf"] == {"window_start": day(0).start.isoformat(), "window_end": day(0).end.isoformat()}
    assert list_again() == [late], "it is one run, however often it is found"
    deliver(home, "wine_cultivar", day(0), frame)
    (later,) = list_again()
    assert later["trigger_run_id"] != late["trigger_run_id"]
    staged()
    assert list_again() == []
    for path in (home / "landing" / "wine_cultivar").rglob("*.jsonl"):
        path.unlink()
    assert list_again() == [], "nothing is left to read"
    assert len(case.list_again(now=datetime.now(UTC))) == len(SOURCES)
