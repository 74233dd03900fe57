"""What a model cost, from the ledger and the lines of its steps: recorded figures, and what is not known."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from logs import day
from perennial import ledger
from perennial.cli import app
from perennial.config import ModelConfig
from perennial.contracts import Estimate, Hindsight, Interval, LedgerEntry, to_record
from perennial.journal import Line, folder_of, keep
from perennial.pipeline.cost import read_cost
from perennial.store import Store

SURE = Interval(low=-1.0, high=1.0, standard_error=0.1, n_rows=100, n_blocks=12, confidence=0.95)


def write(store: Store, config: ModelConfig, kind: Any, name: str, **payload: Any) -> None:
    entry = LedgerEntry(entry_id=f"{config.model}-{kind}-{name}", model=config.model, kind=kind, at=day(1).end,
                        actor="policy", reason="test", version=name, payload=payload)  # fmt: skip
    ledger.append(store, entry)


def gained(version: str, value: float | None, metric: str = "accuracy", kind: Any = "promotion") -> dict[str, Any]:
    found = Estimate(value=value, interval=SURE) if value is not None else Estimate(value=None, problem="4 blocks")
    told = Hindsight(
        kind=kind, version=version, previous="1", metric=metric, judged=0.1, realised=found, stretch=day(2)
    )
    return {"hindsight": to_record(told)}


@pytest.fixture
def spent(store: Store, wine: ModelConfig, home: Path) -> ModelConfig:
    """Three fits, one of which was judged twice, three promotions, and a step of today."""
    for name, run_id, cpu_s in (("2", "a", 30.0), ("2again", "a", 30.0), ("3", "b", 20.0), ("4", "c", 0.0)):
        write(store, wine, "signoff", name, evaluation={"mlflow_run_id": run_id, "fit_cpu_s": cpu_s})
    for version, value in (("2", 0.05), ("3", -0.01)):
        write(store, wine, "promotion", version, previous="1")
        write(store, wine, "hindsight", version, **gained(version, value))
    write(store, wine, "promotion", "4", previous="3")
    write(store, wine, "hindsight", "back", **gained("3", 0.5, kind="rollback"))
    line = Line(at=datetime.now(UTC), model=wine.model, dag="d", run_id="r", step="fit", try_number=1, window=None,
                outcome="ok", problem="", seconds=9.0, cpu_s=31, peak_mb=5e2, n_rows=400, rows_per_s=None)  # fmt: skip
    keep(line, folder_of(home), days=9)
    keep(replace(line, model="another"), folder_of(home), days=9)
    return wine


def test_a_price_is_made_of_what_was_recorded_and_nothing_else(store: Store, spent: ModelConfig, home: Path) -> None:
    found = read_cost(spent, store=store, home=home)
    assert (found.n_fits, found.fit_cpu_s, found.cpu_s, found.seconds) == (3, 50.0, 31.0, 9.0)
    (quality,) = found.gained
    assert (quality.metric, quality.n_measured, quality.n_unmeasured) == ("accuracy", 2, 0)
    assert quality.gain == pytest.approx(0.04), "a promotion that was wrong counts against the others"
    assert found.cpu_s_per_gain == pytest.approx(50.0 / 0.04)
    said = "; ".join(found.unknown)
    assert "1 fits are from before their CPU seconds were kept" in said
    assert "what 1 promotions gained is not known yet" in said
    write(store, spent, "hindsight", "4", **gained("4", None))
    assert [one.n_unmeasured for one in read_cost(spent, store=store, home=home).gained] == [1]


def test_nothing_gained_and_two_metrics_have_no_price(store: Store, spent: ModelConfig, home: Path) -> None:
    write(store, spent, "hindsight", "5", **gained("5", -0.2))
    assert read_cost(spent, store=store, home=home).cpu_s_per_gain is None
    write(store, spent, "hindsight", "6", **gained("6", 0.9, metric="log_loss"))
    found = read_cost(spent, store=store, home=home)
    assert found.cpu_s_per_gain is None
    assert "more than one metric" in "; ".join(found.unknown)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    later = read_cost(spent, store=store, home=home, since=tomorrow)
    assert (later.n_fits, later.fit_cpu_s, later.steps, later.gained) == (0, 0.0, (), ())
    assert read_cost(spent, store=store, home=home, until=tomorrow).n_fits == 3


def test_the_command_prints_it_for_people_and_for_programs(
    store: Store, spent: ModelConfig, home: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERENNIAL_HOME", str(home))
    monkeypatch.setenv("PERENNIAL_MODELS_DIR", str(models_dir))
    monkeypatch.setenv("PERENNIAL_DATABASE_URL", store.engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    told = CliRunner().invoke(app, ["cost", spent.model])
    assert told.exit_code == 0, told.output
    assert "3 fits of candidates: 50.0 CPU s" in told.output
    assert "12.5 CPU s of fits for each 0.01 gained" in told.output
    assert "not known" in told.output
    found = json.loads(CliRunner().invoke(app, ["cost", spent.model, "--json"]).stdout)
    assert (found["fit_cpu_s"], found["steps"][0]["step"], found["steps"][0]["n_rows"]) == (50.0, "fit", 400)
    assert CliRunner().invoke(app, ["cost", spent.model, "--from", "lately"]).exit_code == 1
