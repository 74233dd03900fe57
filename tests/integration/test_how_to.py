"""What the how-to pages tell: a long history as one window, a review on the command line, and serving the champion."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from conftest import unique_model
from logs import day, deliver, delivery, wine_rows
from perennial.cli import app
from perennial.config import load_model as load_config
from perennial.contracts import SignalName
from perennial.pipeline import Case, open_runtime
from perennial.registry import load_model, score
from perennial.registry.versions import set_version_tags
from perennial.settings import load_settings
from perennial.store.signals import measured

TEMPLATE, N_DAYS = "wine_cultivar", 6


def load_champion(case: Case) -> tuple[str, Any]:
    """The version that serves, and its model: with the very files that took office, and no code of theirs run."""
    version = case.alias()
    digest = case.state().digest_of(version) if version else None
    if version is None or digest is None:
        raise LookupError(f"{case.model} has no champion that the ledger knows")
    trusted = case.config.training.trusted_types
    return version, load_model(case.registry, case.model, version, trusted_types=trusted, expected_digest=digest)


def answered(case: Case, rows: pa.Table) -> pa.Table:
    """Rows of features with what the prediction log has to say of them."""
    version, model = load_champion(case)
    scores, predicted = score(case.config, model, rows)
    rows = rows.append_column("score", pa.array(scores))
    if predicted is not None:
        rows = rows.append_column("predicted", pa.array(predicted.tolist()))
    return rows.append_column("model_version", pa.array([version] * rows.num_rows))


def perennial(*words: str) -> Any:
    """What a command prints as JSON."""
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture
def case(database_url: str, mlflow_uri: str, home: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    monkeypatch.setenv("PERENNIAL_DATABASE_URL", database_url)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    monkeypatch.setenv("PERENNIAL_HOME", str(home))
    monkeypatch.setenv("PERENNIAL_MODELS_DIR", str(models_dir))
    path = models_dir / unique_model(models_dir, TEMPLATE).model / "model.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("mode: auto", "mode: manual"), encoding="utf-8")
    return open_runtime(load_settings()).case(load_config(path.parent))


def test_a_long_history_becomes_a_champion_that_serves(case: Case) -> None:
    start, end = day(0).start, day(N_DAYS - 1).end
    moments = ("--start", start.isoformat(), "--end", end.isoformat())
    history = pd.concat([delivery(TEMPLATE, day(number), seed=number) for number in range(N_DAYS)])
    deliver(case.settings.home, TEMPLATE, day(0), history.assign(model_version="legacy"))

    decided = perennial("run", "monitor", case.model, *moments)
    assert (decided["action"], decided["champion"]) == ("retrain", None)
    with pytest.raises(LookupError, match="no champion"):
        load_champion(case)

    again = ("run", "retrain", case.model, "--as-of", end.isoformat())
    waiting = perennial(*again)
    assert set(waiting) == {"ended", "version", "outcome", "request", "signoff", "release"}
    assert (waiting["ended"], waiting["version"], waiting["release"]) == ("waiting", "1", None)
    set_version_tags(case.registry, case.model, "1", {"signoff": "approved", "reviewer": "ada"})
    assert perennial(*again)["ended"] == "promoted"

    rows = pa.Table.from_pandas(wine_rows(50, seed=9).drop(columns="label"), preserve_index=False)
    served = answered(case, rows)
    assert set(served["model_version"].to_pylist()) == {"1"}
    assert served["score"].null_count == 0

    later = delivery(TEMPLATE, day(N_DAYS), seed=N_DAYS)
    features = pa.Table.from_pandas(later[list(case.config.features)], preserve_index=False)
    columns = ["score", "predicted", "model_version"]
    later[columns] = answered(case, features).select(columns).to_pandas().to_numpy()
    deliver(case.settings.home, TEMPLATE, day(N_DAYS), later)
    window = day(N_DAYS)
    perennial("run", "monitor", case.model, "--start", window.start.isoformat(), "--end", window.end.isoformat())
    found = measured(case.store, case.model, names=[SignalName("served_by_champion")])
    assert [(signal.status, signal.value) for signal in found] == [("ok", 1.0)]
