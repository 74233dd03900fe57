"""The loop without Airflow, on both test models: the same steps that the DAGs call."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text
from typer.testing import CliRunner

from conftest import unique_model
from forked import TAKES_ROWS_IN
from logs import day, deliver, delivery
from perennial import ledger
from perennial.cli import app
from perennial.config import ModelConfig
from perennial.contracts import Decision, LedgerEntry, RetrainRequest, Window, from_record
from perennial.errors import RegistryUnavailable, StoreUnavailable
from perennial.pipeline import Runtime, loops, open_runtime
from perennial.pipeline.loops import Retrained
from perennial.pipeline.timeline import timeline
from perennial.registry import Registry
from perennial.registry.versions import alias_version
from perennial.settings import Settings
from perennial.store import Store
from perennial.store.schema import predictions_table, signals

by_forks = pytest.mark.xdist_group("rows")  # from one process that has imported (forked.py)
pytestmark = pytest.mark.usefixtures("as_pipeline")

ROOT = Path(__file__).parents[2]
N_DAYS = 7


@pytest.fixture
def environment(
    database_url: str, mlflow_uri: str, home: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    values = {
        "PERENNIAL_DATABASE_URL": database_url,
        "MLFLOW_TRACKING_URI": mlflow_uri,
        "PERENNIAL_HOME": str(home),
        "PERENNIAL_MODELS_DIR": str(models_dir),
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return values


@pytest.fixture
def runtime(environment: dict[str, str], store: Store) -> Runtime:
    settings = Settings(
        home=Path(environment["PERENNIAL_HOME"]),
        models_dir=Path(environment["PERENNIAL_MODELS_DIR"]),
        database_url=environment["PERENNIAL_DATABASE_URL"],
        mlflow_uri=environment["MLFLOW_TRACKING_URI"],
    )
    return Runtime(store, Registry(environment["MLFLOW_TRACKING_URI"]), settings)


def play(config: ModelConfig, template: str, number: int, runtime: Runtime, **changes: Any) -> Decision:
    """Deliver one day, scored by whoever is champion, and run the monitor over it."""
    champion = alias_version(runtime.registry, config.model, "champion") or "legacy"
    frame = delivery(template, day(number), seed=number).assign(model_version=champion, **changes)
    deliver(runtime.settings.home, template, day(number), frame)
    return loops.monitor(runtime.case(config), day(number))


def request_of(decision: Decision, runtime: Runtime) -> RetrainRequest:
    """The request that stands in the ledger for a decision to retrain."""
    wanted = ledger.entries(runtime.store, decision.model, kinds=["retrain_request"])
    (found,) = [entry for entry in wanted if entry.payload["run_id"] == decision.retrain_run_id]
    return from_record(RetrainRequest, found.payload)


@pytest.mark.parametrize("template", ["wine_cultivar", "diabetes_progress"])
def test_the_loop_bootstraps_and_bakes_without_knowing_flights(
    template: str, runtime: Runtime, models_dir: Path
) -> None:
    config = unique_model(models_dir, template)
    actions = []
    released: list[Retrained] = []
    for number in range(N_DAYS):
        decision = play(config, template, number, runtime)
        actions.append(decision.action)
        if decision.action == "retrain":
            released.append(loops.retrain(runtime.case(config), request_of(decision, runtime)))
    assert actions[:3] == ["stay", "stay", "retrain"]
    assert released[0].ended == "promoted"
    state = runtime.case(config).verify()
    assert state.stable[:1] == ("1",)
    told = timeline(config, store=runtime.store)
    assert len(told) == N_DAYS
    assert all(row.n_published == row.n_staged == 120 for row in told)
    assert (told[2].champion, told[2].stable) == ("1", None)
    assert told[-1].stable == "1"
    assert any(config.bake.metric in row.performance for row in told)


def test_running_everything_again_changes_nothing(runtime: Runtime, models_dir: Path) -> None:
    config = unique_model(models_dir, "wine_cultivar")
    first = play(config, "wine_cultivar", 0, runtime)
    before = ledger.entries(runtime.store, config.model)
    assert loops.monitor(runtime.case(config), day(0)) == first
    assert ledger.entries(runtime.store, config.model) == before
    assert count(config, runtime) == 120


@by_forks
def test_two_monitor_runs_at_once_end_like_one(runtime: Runtime, environment: dict[str, str], models_dir: Path) -> None:
    config = unique_model(models_dir, "wine_cultivar")
    runtime.case(config).prepare()
    deliver(runtime.settings.home, "wine_cultivar", day(0), delivery("wine_cultivar", day(0)))
    window = day(0)
    command = [sys.executable, "-c", f"{TAKES_ROWS_IN}from perennial.cli import main; main()"]
    command += ["run", "monitor", config.model, "--json"]
    command += ["--start", window.start.isoformat(), "--end", window.end.isoformat()]
    both = [
        subprocess.Popen(
            command,
            env={**os.environ, **environment, "PYTHONPATH": str(ROOT / "include")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    answers = [process.communicate(timeout=180) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    assert json.loads(answers[0][0]) == json.loads(answers[1][0])
    assert count(config, runtime) == 120
    assert len(ledger.entries(runtime.store, config.model, kinds=["decision"])) == 1


def test_a_broken_delivery_halts_and_its_mended_one_is_decided_anew(runtime: Runtime, models_dir: Path) -> None:
    config = unique_model(models_dir, "wine_cultivar")
    frame = delivery("wine_cultivar", day(0))
    deliver(runtime.settings.home, "wine_cultivar", day(0), frame.rename(columns={"hue": "shade"}))
    halted = loops.monitor(runtime.case(config), day(0))
    assert halted.action == "halt"
    assert "missing [hue]" in halted.reasons[0]
    deliver(runtime.settings.home, "wine_cultivar", day(0), frame)
    assert loops.monitor(runtime.case(config), day(0)).action == "stay"
    rows = timeline(config, store=runtime.store)
    assert [(row.action, row.n_published) for row in rows] == [("halt", 0), ("stay", 120)]


def test_halted_labels_do_not_stop_what_needs_none(runtime: Runtime, models_dir: Path) -> None:
    config = unique_model(models_dir, "wine_cultivar")
    play(config, "wine_cultivar", 0, runtime)
    frame = delivery("wine_cultivar", day(1), seed=1).assign(model_version="legacy")
    deliver(runtime.settings.home, "wine_cultivar", day(1), frame)
    folder = runtime.settings.home / "landing/wine_cultivar/labels" / f"{day(1).start:%Y-%m-%d}"
    (folder / "part-0.jsonl").write_text('{"prediction_id": "1", "truth": "barolo"}\n', encoding="utf-8")
    decided = loops.monitor(runtime.case(config), day(1))
    assert decided.action == "halt"
    assert decided.reasons[0].startswith("the labels of 1 rows were not published")
    rows = of_windows(config, runtime, day(1))
    assert {name.partition("/")[0] for name in rows} == {"reference", "quality"}, "and neither performance nor bake"


def of_windows(config: ModelConfig, runtime: Runtime, window: Window) -> set[str]:
    """The names of what the run of a window measured."""
    query = select(signals.c.name).where(signals.c.model == config.model, signals.c.as_of == window.end)
    with runtime.store.begin() as connection:
        return set(connection.scalars(query))


def test_a_missing_delivery_is_a_halt_that_says_where_it_looked(runtime: Runtime, models_dir: Path) -> None:
    config = unique_model(models_dir, "wine_cultivar")
    decision = loops.monitor(runtime.case(config), day(3))
    assert decision.action == "halt"
    assert "2024-01-04" in decision.reasons[0]


def test_unreachable_servers_are_transient_and_name_themselves(runtime: Runtime, models_dir: Path, home: Path) -> None:
    config = unique_model(models_dir, "wine_cultivar")
    settings = runtime.settings.model_copy(update={"database_url": None, "mlflow_uri": "http://127.0.0.1:9"})
    with pytest.raises(RegistryUnavailable, match=r"127\.0\.0\.1:9"):
        Runtime(runtime.store, Registry("http://127.0.0.1:9"), settings).case(config).alias()
    lost = Settings(
        home=home,
        models_dir=models_dir,
        database_url="postgresql://user:hunter2@127.0.0.1:9/none",
        mlflow_uri="http://127.0.0.1:9",
    )
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:9") as caught:
        loops.monitor(open_runtime(lost).case(config), day(0))
    assert "hunter2" not in str(caught.value)


def count(config: ModelConfig, runtime: Runtime) -> int:
    with runtime.store.begin() as connection:
        return connection.scalar(select(func.count()).select_from(predictions_table(config))) or 0


def test_the_command_line_tells_the_same_story(runtime: Runtime, models_dir: Path, environment: dict[str, str]) -> None:
    config = unique_model(models_dir, "wine_cultivar")
    window = day(0)
    deliver(runtime.settings.home, "wine_cultivar", window, delivery("wine_cultivar", window))
    runner = CliRunner()
    span = ["--start", window.start.isoformat(), "--end", window.end.isoformat()]
    ran = runner.invoke(app, ["run", "monitor", config.model, *span, "--json"])
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.stdout)["action"] == "stay"
    rows = json.loads(runner.invoke(app, ["timeline", config.model, "--json"]).stdout)
    assert {"window", "n_published", "n_quarantined", "n_duplicate", "breached", "performance"} <= set(rows[0])
    assert {"action", "reasons", "champion", "stable", "events"} <= set(rows[0])
    of_both = {one["source"]: (one["n_arrived"], one["n_late"]) for one in rows[0]["completeness"]}
    assert of_both == {"predictions": (120, 0), "labels": (120, 0)}
    (status,) = json.loads(runner.invoke(app, ["status", config.model, "--json"]).stdout)
    assert status["champion"] is None
    assert status["last_action"] == "stay"
    entries = json.loads(runner.invoke(app, ["ledger", config.model, "--json"]).stdout)
    assert [entry["kind"] for entry in entries] == ["decision"]
    assert [item["model"] for item in json.loads(runner.invoke(app, ["check", "--json"]).stdout)] == [config.model]
    for command in (["timeline", config.model], ["status"], ["ledger"], ["ledger", "--verify"], ["check"]):
        shown = runner.invoke(app, command)
        assert shown.exit_code == 0, shown.output


def test_the_command_line_proves_the_ledger_or_names_the_entry_that_was_changed(
    runtime: Runtime, environment: dict[str, str]
) -> None:
    for number in range(2):
        entry = LedgerEntry(
            entry_id=f"e{number}", model="m", kind="integrity", at=day(0).end, actor="test", reason="because"
        )
        ledger.append(runtime.store, entry)
    runner = CliRunner()
    proven = json.loads(runner.invoke(app, ["ledger", "m", "--verify", "--json"]).stdout)
    assert (proven["proven"][0]["n_entries"], "superuser" in proven["unprotected"]) == (2, True)
    head = proven["proven"][0]["head"]
    assert runner.invoke(app, ["ledger", "m", "--head", head]).exit_code == 0
    unknown = runner.invoke(app, ["ledger", "m", "--head", "0" * 64])
    assert (unknown.exit_code, "holds no entry with the digest" in unknown.stderr) == (1, True)
    with runtime.store.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("UPDATE perennial.ledger SET actor = 'anna' WHERE entry_id = 'e1'"))
    broken = runner.invoke(app, ["ledger", "--verify"])
    assert (broken.exit_code, "ledger entry 2 (integrity, e1) is not what was written" in broken.stderr) == (1, True)


def test_the_command_line_refuses_plainly(runtime: Runtime, models_dir: Path, environment: dict[str, str]) -> None:
    config = unique_model(models_dir, "wine_cultivar")
    runtime.case(config).prepare()
    runner = CliRunner()
    unknown = runner.invoke(app, ["timeline", "nobody"])
    assert (unknown.exit_code, "no such file" in unknown.stderr) == (1, True)
    zoneless = runner.invoke(app, ["run", "monitor", config.model, "--start", "2024-01-01", "--end", "2024-01-02"])
    assert (zoneless.exit_code, "no moment with its zone" in zoneless.stderr) == (1, True)
    nothing = runner.invoke(app, ["rollback", config.model, "--reason", "test"])
    assert nothing.exit_code == 1
    assert "nothing to roll back" in nothing.stderr
    unheld = runner.invoke(app, ["acknowledge", config.model, "--reason", "test"])
    assert (unheld.exit_code, "nothing is held" in unheld.stderr) == (1, True)


def test_the_command_line_takes_the_last_complete_window_unless_told(
    runtime: Runtime, models_dir: Path, environment: dict[str, str]
) -> None:
    config = unique_model(models_dir, "wine_cultivar")
    ran = CliRunner().invoke(app, ["run", "monitor", config.model, "--json"])
    assert ran.exit_code == 1, ran.output
    decided = json.loads(ran.stdout)
    assert (decided["action"], decided["window"]["end"]) == ("halt", "2024-03-01T00:00:00Z")


def test_windows_are_half_open_and_in_utc() -> None:
    window = Window(start=day(0).start, end=day(0).start + timedelta(hours=1))
    assert window.key == "20240101T000000Z-20240101T010000Z"
