"""Every signal of a window, on the command line: the newest measured one, or the one that was asked for."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from logs import day
from perennial import ledger
from perennial.cli import app
from perennial.config import ModelConfig
from perennial.contracts import Estimate, Gate, LedgerEntry, SignalName, Signoff, Subject, to_record
from perennial.statistics.intervals import around
from perennial.store import Store
from perennial.store.signals import save

ACCURACY = SignalName.performance("accuracy")


@pytest.fixture
def asked(
    wine: ModelConfig, store: Store, home: Path, models_dir: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> ModelConfig:
    """A model with two measured days; the run of the second also measured the first, whose labels came in."""
    values = {
        "PERENNIAL_DATABASE_URL": database_url,
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
        "PERENNIAL_HOME": str(home),
        "PERENNIAL_MODELS_DIR": str(models_dir),
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    for number in range(2):
        subject = Subject.of_run(wine.model, day(number), "1")
        save(store, [subject.above(SignalName.drift("hue"), "watch", 0.1 + number, 0.3, detail="[red]psi")])
    late = Subject(model=wine.model, window=day(0), as_of=day(1).end, version="1")
    found = Estimate(value=0.8, interval=around(0.8, 0.02, 200, 10, 0.95))
    save(store, [late.estimated(ACCURACY, "retrain", found, threshold=0.6, is_least=True)])
    return wine


def ask(*words: str) -> Result:
    return CliRunner().invoke(app, ["signals", *words])


def test_the_newest_measured_window_comes_with_what_its_run_measured_of_earlier_ones(asked: ModelConfig) -> None:
    shown = ask(asked.model, "--json")
    assert shown.exit_code == 0, shown.output
    drift, accuracy = json.loads(shown.stdout)
    assert (drift["family"], drift["subject"], drift["status"], drift["direction"]) == (
        "drift", "hue", "breached", "most",
    )  # fmt: skip
    assert (drift["value"], drift["threshold"], drift["low"], drift["n_blocks"]) == (1.1, 0.3, None, None)
    assert (accuracy["family"], accuracy["direction"], accuracy["role"]) == ("performance", "least", "retrain")
    assert (drift["severity"], accuracy["severity"]) == ("info", None)
    assert drift["evidence"] == f"/perennial/models/{asked.model}/windows/{day(1).key}"
    assert accuracy["low"] < 0.8 < accuracy["high"]
    assert (accuracy["n_rows"], accuracy["n_blocks"], accuracy["confidence"]) == (200, 10, 0.95)


def test_the_report_is_one_file_about_the_window_that_was_asked_for(asked: ModelConfig, tmp_path: Path) -> None:
    place = tmp_path / "told" / "report.html"
    done = CliRunner().invoke(app, ["report", asked.model, "--out", str(place)])
    assert (done.exit_code, done.output.strip()) == (0, str(place))
    told = place.read_text(encoding="utf-8")
    assert "it was measured, and not decided" in told
    assert "drift/hue" in told
    refused = CliRunner().invoke(app, ["report", asked.model, "--window", day(7).start.isoformat()])
    assert (refused.exit_code, "no run measured a window" in refused.output) == (1, True)


def test_the_report_says_that_a_candidate_waits_for_a_person_and_not_for_the_policy(
    asked: ModelConfig, store: Store, tmp_path: Path
) -> None:
    place = tmp_path / "report.html"
    gate = Gate(name="metric/accuracy", passed=True, value=0.9, bound=0.7, detail="0.9, at least 0.7")
    signoff = Signoff(
        model=asked.model, version="2", artifact_digest="d", champion_seen="1", gates=(gate,), passed=True,
        review="auto", as_of=day(1).end, train=day(0), holdout=day(1),
    )  # fmt: skip
    for one in (signoff, replace(signoff, version="3", review="manual")):
        entry = LedgerEntry(
            entry_id=one.signoff_id, model=one.model, kind="signoff", at=one.as_of, actor="policy", reason="test",
            version=one.version, payload={"signoff": to_record(one)},
        )  # fmt: skip
        ledger.append(store, entry)
        done = CliRunner().invoke(app, ["report", asked.model, "--out", str(place)])
        assert done.exit_code == 0, done.output
        waits = "a candidate waits for its review" in place.read_text(encoding="utf-8")
        assert waits is (one.review == "manual")


def test_a_window_is_asked_for_by_its_start(asked: ModelConfig) -> None:
    shown = ask(asked.model, "--window", day(0).start.isoformat(), "--json")
    assert [(one["family"], one["value"]) for one in json.loads(shown.stdout)] == [
        ("drift", 0.1), ("performance", 0.8)
    ]  # fmt: skip
    refused = ask(asked.model, "--window", day(7).start.isoformat())
    assert refused.exit_code == 1
    assert "no run measured a window that begins at" in refused.output


def test_people_read_value_interval_bound_and_detail(asked: ModelConfig) -> None:
    shown = ask(asked.model)
    assert shown.exit_code == 0, shown.output
    assert "drift/hue: 1.1, at most 0.3 watch" in shown.stdout
    assert "performance/accuracy: 0.8 (0.7548 to 0.8452), at least 0.6 retrain" in shown.stdout
    assert "[red]psi" in shown.stdout
