"""From a file that nobody made for Perennial to a candidate that waits for its review, without an edit by hand."""

import json
import re
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from sqlalchemy.engine import make_url
from typer.testing import CliRunner

import unfamiliar
from perennial.cli import app, starting
from perennial.config import load_model
from perennial.config.signals.judgement import GainSignal
from perennial.errors import ConfigError, StoreUnavailable
from perennial.onboarding.columns import columns_of
from perennial.onboarding.start import table_of
from perennial.store import bulk, open_store


def perennial(*words: str) -> Any:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.output
    return done


def shortened(path: Path) -> None:
    """Of a model.yaml only what can not be guessed: where logs lie, and what their columns are."""
    said = yaml.safe_load(path.read_text(encoding="utf-8"))
    kept = {key: said[key] for key in ("model", "owner", "task", "schedule", "sources", "columns", "label", "features")}
    path.write_text(yaml.safe_dump(kept, sort_keys=False, default_flow_style=None, width=300), encoding="utf-8")
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 25


def assert_replayed(place: Path, said: str) -> None:
    """The report of a replay is there, on one page, and a policy retrained in it."""
    assert f"plots and figures: {place}/backtest.html" in "".join(said.splitlines())
    found = json.loads((place / "backtest.json").read_text(encoding="utf-8"))
    outcomes = {outcome["policy"]: outcome for outcome in found["outcomes"]}
    assert {"as it is", "never", "every window", "every window, no gate"} <= set(outcomes)
    assert outcomes["every window"]["fits"] > 0
    assert needs_nothing((place / "backtest.html").read_text(encoding="utf-8"))


def assert_tells_all(path: Path, place: Path) -> None:
    """One page, where it is said to be, which tells of the version that waits."""
    assert path == place
    page = path.read_text(encoding="utf-8")
    assert needs_nothing(page)
    assert re.search(r"\b1: all \d+ gates passed", page)


def needs_nothing(page: str) -> bool:
    """Whether a page is whole, and nothing has to be fetched to see it."""
    return page.rstrip().endswith("</html>") and not re.findall(r"""(?:src|href)=["']?(?![#"']|data:)[^\s>]+""", page)


def as_table(rows: pa.Table, database_url: str, name: str) -> None:
    """The rows in a table of a database that is somebody else's."""
    store = open_store(database_url, "file:///nonexistent")
    with bulk.bulk_transaction(store) as cursor:
        cursor.adbc_ingest(name, rows)
    store.close()


def test_a_table_is_named_and_a_password_never_told(database_url: str) -> None:
    rows = {"at": [datetime(2024, 1, 1), None], "Größe €": [1.5, None], "n": [1, 2]}  # noqa: DTZ001 - as logged
    as_table(pa.table(rows), database_url, "Some Rows")
    store = open_store(database_url, "file:///nonexistent")
    with store.begin() as connection:
        connection.exec_driver_sql(
            "CREATE VIEW others AS SELECT n, 1.25::numeric AS price, gen_random_uuid() AS id, DATE '2024-01-01' AS d, "
            'now() AS t FROM "Some Rows"'
        )
    store.close()
    found = table_of(database_url, None, table="Some Rows")
    assert found.to_pydict() == rows
    kinds = {column.logged: column.kind for column in columns_of(table_of(database_url, None, table="public.others"))}
    assert kinds == {"n": "int", "price": "float", "id": "text", "d": "time", "t": "time"}

    place, foreign = make_url(database_url), "of somebody else"
    bare = place.set(drivername="postgres").render_as_string(hide_password=False)
    with pytest.raises(ConfigError, match=r"Say it with --table; there are: .*Some Rows"):
        table_of(bare, None)
    with pytest.raises(ConfigError, match=r"no table nothing in the database; there are: .*Some Rows"):
        table_of(database_url, None, table="nothing")
    with pytest.raises(ConfigError, match="--from has to be its URL"):
        table_of("rows.csv", None, table="others")
    for wrong in (
        bare.replace("@", "@h:x@"),
        place.set(port=9, password=foreign).render_as_string(hide_password=False),
    ):
        with pytest.raises((ConfigError, StoreUnavailable)) as told:
            table_of(wrong, None, table="others")
        assert foreign not in str(told.value)
        assert str(place.password) not in str(told.value)


@pytest.mark.parametrize(
    ("make", "answers", "task", "since"),
    [
        (unfamiliar.wide, (), "binary", "2024-06-10"),
        (unfamiliar.without_id, ("--label", "price"), "regression", "2023-11-20"),
        (unfamiliar.mixed, ("--time", "Datum"), "multiclass", "2024-05-15"),
    ],
)
def test_a_file_becomes_a_model_whose_monitor_and_retrain_pass(
    make: Callable[[Path], Path],
    answers: tuple[str, ...],
    task: str,
    since: str,
    tmp_path: Path,
    database_url: str,
    mlflow_uri: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home, models = tmp_path / "home", tmp_path / "models"
    monkeypatch.setenv("PERENNIAL_DATABASE_URL", database_url)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    monkeypatch.setenv("PERENNIAL_HOME", str(home))
    monkeypatch.setenv("PERENNIAL_MODELS_DIR", str(models))
    name = f"own_{task}"

    path = make(tmp_path)
    rows = ["--from", str(path)]
    if task == "regression":  # the rows of a table give what those of the file would
        as_table(pq.read_table(path), database_url, "houses")
        rows = ["--from", database_url, "--table", "houses"]
        assert columns_of(table_of(database_url, None, table="houses")) == columns_of(table_of(path, None))
    # all of the history would be the longest part of the suite; the end of it goes the same way
    monkeypatch.setattr(starting, "backtest", partial(starting.backtest, since=f"{since}T00:00:00Z"))
    said = perennial("init", name, *rows, *answers, "--history").output
    assert_replayed(home / "backtest" / name, said)
    if task == "multiclass":  # and with every bound, stretch and threshold at its default
        shortened(models / name / "model.yaml")
        perennial("check")
    config = load_model(models / name)
    assert config.task == task
    assert GainSignal().probe == "small"  # nothing was switched off to pass
    assert config.signals.gain.probe == "small"
    monitor = next(line for line in said.splitlines() if line.startswith("  perennial run monitor")).split()[1:]
    decided = json.loads(perennial(*monitor, "--json").stdout)
    assert (decided["action"], decided["champion"]) == ("retrain", None)
    ended = json.loads(perennial("run", "retrain", name, "--json").stdout)
    assert (ended["ended"], ended["version"]) == ("waiting", "1"), ended
    assert_tells_all(Path(perennial("report", name).stdout.strip()), home / "reports" / f"{name}.html")
