"""``perennial backtest`` on a history file and on what the store has published: the same figures."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pandas as pd
import pyarrow as pa
import pytest
from sqlalchemy import insert
from typer.testing import CliRunner

from airflow_tasks import SECRET, run_tasks
from conftest import unique_model
from logs import day
from perennial.backtest.apart import BacktestJob, report
from perennial.cli import app
from perennial.config import ModelConfig, load_model
from perennial.contracts import to_record
from perennial.errors import ConfigError
from perennial.registry import Registry
from perennial.settings import load_settings
from perennial.store import Store
from perennial.store.schema import labels_table, predictions_table
from perennial.store.tables import ensure_data_tables
from trials import MODEL, rows, small

NAME = "tumour_malignant"


@pytest.fixture
def at_home(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    values = {
        "PERENNIAL_DATABASE_URL": database_url,
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
        "PERENNIAL_HOME": str(home),
        "PERENNIAL_MODELS_DIR": str(MODEL.parent),
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return home


@pytest.fixture
def history(tmp_path: Path) -> pd.DataFrame:
    return rows(7, turns_on=4)


def ask(*words: str) -> dict[str, object]:
    done = CliRunner().invoke(app, ["backtest", NAME, *words, "--json"])
    assert done.exit_code == 0, done.output
    found: dict[str, object] = json.loads(done.stdout)
    return found


def publish(store: Store, frame: pd.DataFrame, config: ModelConfig) -> None:
    """The rows as they lie in the store once they are published."""
    ensure_data_tables(store, config)
    predictions, labels = predictions_table(config), labels_table(config)
    wanted = [column.name for column in predictions.columns if column.name in frame]
    with store.begin() as connection:
        made = frame[wanted].assign(batch_seq=1).to_dict("records")
        connection.execute(insert(predictions), made)
        of_labels = frame[["prediction_id", "label", "labelled_at"]].assign(batch_seq=1)
        connection.execute(insert(labels), of_labels.to_dict("records"))


def without_cost(found: dict[str, object]) -> dict[str, object]:
    """What was found, but for the CPU seconds, which no two runs share."""
    outcomes = [
        {name: figure for name, figure in outcome.items() if not name.endswith("cpu_s")}
        for outcome in found["outcomes"]  # type: ignore[attr-defined]
    ]
    return {**found, "outcomes": outcomes}


def test_store_and_file_give_the_same_table_page_and_figures(
    at_home: Path, store: Store, history: pd.DataFrame, tmp_path: Path
) -> None:
    path, policy = tmp_path / "history.parquet", tmp_path / "patient.yaml"
    history.to_parquet(path)
    policy.write_text("policy: {cooldown: 20d}\n")
    out = str(tmp_path / "out")  # one place for the fits: what they cost is then the same figure
    asked = ("--policy", str(policy), "--change", day(4).start.isoformat(), "--out", out)
    of_file = ask(*asked, "--history", str(path))
    publish(store, history, small())
    of_store = ask(*asked)
    assert [without_cost(found) for found in (of_file, of_store)] == [without_cost(of_file)] * 2
    names = [outcome["policy"] for outcome in of_file["outcomes"]]  # type: ignore[attr-defined]
    assert names[:5] == ["as it is", "patient", "never", "every window", "every window, no gate"]
    page = (tmp_path / "out" / "backtest.html").read_text(encoding="utf-8")
    assert "<svg" in page and "patient" in page
    assert json.loads((tmp_path / "out" / "backtest.json").read_text(encoding="utf-8")) == of_file


SPY = """
import os
from pathlib import Path
held = [name for name in os.environ if name.startswith(("PERENNIAL", "MLFLOW_TRACKING", "AIRFLOW"))]
if held or Path(os.environ["HOME"]) != Path.cwd():
    raise ValueError(f"the recipe could read {held} in {os.environ['HOME']}")
"""


@pytest.fixture
def made(
    at_home: Path, store: Store, history: pd.DataFrame, mlflow_uri: str, models_dir: Path
) -> Callable[[str, BacktestJob], tuple[str, str]]:
    """What makes a report of a published history, under the id of a run."""
    shutil.copytree(MODEL, models_dir / NAME)
    publish(store, history, small())
    registry = Registry(mlflow_uri)

    def make(run_id: str, asked: BacktestJob) -> tuple[str, str]:
        config = load_model(models_dir / NAME)
        return report(
            config, asked, run_id=run_id, store=store, registry=registry, models_dir=models_dir, timeout_s=300
        )

    return make


@pytest.mark.usefixtures("fresh_processes")
def test_a_report_is_made_without_secrets_kept_in_mlflow_and_made_once(
    made: Callable[[str, BacktestJob], tuple[str, str]], mlflow_uri: str, models_dir: Path
) -> None:
    recipe = models_dir / NAME / "recipe.py"
    recipe.write_text(recipe.read_text(encoding="utf-8") + SPY, encoding="utf-8")
    registry = Registry(mlflow_uri)
    asked = BacktestJob(policies={"patient": {"policy": {"cooldown": "20d"}}})

    run_id = f"manual__{uuid4().hex}"
    experiment_id, mlflow_run_id = made(run_id, asked)
    assert made(run_id, asked) == (experiment_id, mlflow_run_id)
    assert registry.client.get_experiment(experiment_id).name == f"perennial/{NAME}"
    page = Path(registry.client.download_artifacts(mlflow_run_id, "backtest/backtest.html", str(models_dir)))
    assert "patient" in page.read_text(encoding="utf-8")


def test_the_dag_replays_the_form_and_links_to_the_report_of_the_run_that_it_returns(
    at_home: Path, store: Store, history: pd.DataFrame, mlflow_uri: str, models_dir: Path,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    config = unique_model(models_dir, NAME)
    publish(store, history, config)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    monkeypatch.setenv("PERENNIAL_MODELS_DIR", str(models_dir))
    since, until = day(1).start, day(5).end
    form = {"policies": {"patient": {"policy": {"cooldown": "20d"}}}, "people": "absent"}
    form |= {"since": since.isoformat(), "until": until.isoformat()}
    ran = run_tasks(load_settings(), tmp_path / "airflow", [["backtest.py", "replay", []]], form=form)
    assert ran["states"] == {"replay": "success"}

    registry, mlflow_run_id = Registry(mlflow_uri), ran["returned"]["replay"]
    experiment_id = registry.client.get_run(mlflow_run_id).info.experiment_id
    page = "backtest/backtest.html"
    address = f"{mlflow_uri}/#/experiments/{experiment_id}/runs/{mlflow_run_id}/artifacts/{page}"
    assert ran["links"] == {"replay": {"Report in MLflow": address}}
    assert SECRET not in address
    told, figures = (
        Path(registry.client.download_artifacts(mlflow_run_id, name, str(tmp_path))).read_text(encoding="utf-8")
        for name in (page, "backtest/backtest.json")
    )
    found = json.loads(figures)
    assert "patient" in told
    assert [outcome["policy"] for outcome in found["outcomes"]][:2] == ["as it is", "patient"]
    assert [found["windows"][place] for place in (0, -1)] == [to_record(day(number)) for number in (1, 5)]
    assert found["people"] == "absent"


@pytest.mark.parametrize(("name", "said"), [("../out", "may hold no path"), ("odd", "perhaps")])
def test_no_report_is_made_of_a_policy_that_is_none(
    made: Callable[[str, BacktestJob], tuple[str, str]], name: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        made(f"wrong__{uuid4().hex}", BacktestJob(policies={name: {"policy": {"perhaps": 1}}}))


def test_csv_and_jsonl_are_histories_too_and_windows_can_be_chosen(
    at_home: Path, history: pd.DataFrame, tmp_path: Path
) -> None:
    from perennial.trial.source import log_of_file

    config = small()
    history.to_csv(tmp_path / "history.csv", index=False)
    history.to_json(tmp_path / "history.jsonl", orient="records", lines=True, date_format="iso", date_unit="us")
    logs = [log_of_file(config, tmp_path / name) for name in ("history.csv", "history.jsonl")]
    for log in logs:
        assert log.rows.schema.field("event_time").type == pa.timestamp("us", "UTC")
        assert log.rows["label"].to_pylist() == history["label"].tolist()


def test_what_can_not_be_replayed_is_said_plainly(at_home: Path, tmp_path: Path) -> None:
    (tmp_path / "history.txt").write_text("no history")
    done = CliRunner().invoke(app, ["backtest", NAME, "--history", str(tmp_path / "history.txt")])
    assert done.exit_code == 1
    assert "a history is a file that ends in .parquet, .jsonl, .csv" in " ".join(done.stderr.split())
