"""What an unfamiliar file is taken for, what is asked where it does not say, and what is refused."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

import unfamiliar
from perennial.cli import app
from perennial.config import load_model
from perennial.errors import ConfigError
from perennial.onboarding.columns import columns_of, plain_names
from perennial.onboarding.history import history_of, joined
from perennial.onboarding.proposal import drift_of, times_of
from perennial.onboarding.reading.files import read_table
from perennial.onboarding.roles import Hints, Unclear, roles_of
from perennial.onboarding.start import ModelFolder, start, table_of
from perennial.trial.source import log_of_file

N = 400
TIMES = pd.date_range("2024-01-01", periods=N, freq="4h", tz="UTC")
MIXED = [i * 7 % 401 for i in range(N)]
"""Another whole number in each row, in no order: what rises from row to row is taken for the id."""

NOTHING = Hints()


def table(**columns: Any) -> pa.Table:
    told = {"at": TIMES, "size": MIXED, "kind": ["a", "b"] * (N // 2), "label": [0, 1, 1, 0] * (N // 4)}
    return pa.table({name: pa.array(list(values)) for name, values in (told | columns).items() if values is not None})


def begun(rows: pa.Table, folder: Path, said: Hints = NOTHING, *, name: str = "own", late: str = "1h") -> ModelFolder:
    delay = timedelta(hours=int(late.removesuffix("h")))
    return start(name, rows, said, owner="ada", delay=delay, models_dir=folder / "models", home=folder / "home")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2, None], "int"),
        ([1.5, float("nan"), 2.0], "float"),
        ([None, None, None], "empty"),
        ([float("nan")] * 3, "empty"),
        ([True, False, None], "bool"),
        (["true", "FALSE", "n/a"], "bool"),
        (["1", "2", ""], "int"),
        (["1.5", "-", "2"], "float"),
        (["2024-01-01", "2024-01-02T06:00:00Z", None], "time"),
        (["31.01.2024 06:00", "01.02.2024 07:30", "02.02.2024 00:00"], "time"),
        (["a", "a", "b", "b"], "category"),
        (["a", "b", "c"], "text"),
        ([{"x": 1}, {"x": 2}], "text"),
        (pa.array([2**63, 1, 2], pa.uint64()), "float"),
    ],
)
def test_what_a_column_holds(values: list[Any], kind: str) -> None:
    (column,) = columns_of(pa.table({"column": pa.array(values)}))
    assert (column.kind, column.n_odd) == (kind, 0)
    assert len(column.clean) == len(values)


def test_a_few_texts_among_numbers_are_odd_and_many_make_categories() -> None:
    few, many = (["x"] * n + ["1.5", "2"] * 100 for n in (4, 40))
    odd, category = columns_of(pa.table({"few": few + ["3"] * 36, "many": many}))
    assert (odd.kind, odd.n_odd, category.kind) == ("float", 4, "category")


def test_names_are_plain_once_each_and_never_reserved() -> None:
    taken = plain_names(["Score", "score ", "score_1", "SCORE!", "", "x" * 75, "x" * 76])
    assert len(set(taken)) == len(taken)
    assert "score" not in taken
    assert max(map(len, taken)) <= 48


@pytest.mark.parametrize(
    ("changed", "option", "candidates"),
    [
        ({"at": None}, "time", ()),
        ({"closed": TIMES}, "time", ("at", "closed")),
        ({"label": None, "x": range(N)}, "label", ("kind", "size", "x")),
        ({"label": None, "class": [i / 7 for i in range(N)]}, "label", ("kind", "size", "class")),
        ({"label": ["on", "off"] * (N // 2)}, "positive", ("off", "on")),
    ],
)
def test_what_the_file_leaves_open_is_asked(changed: dict[str, Any], option: str, candidates: tuple[str, ...]) -> None:
    with pytest.raises(Unclear, match=f"--{option}") as asked:
        roles_of(columns_of(table(**changed)), Hints())
    assert (asked.value.option, asked.value.candidates) == (option, candidates)


@pytest.mark.parametrize(
    ("changed", "said", "told"),
    [
        ({}, Hints(time="kind"), "holds category values, no moments"),
        ({}, Hints(label="lable"), "no column 'lable' in the file; there are at, size, kind, label"),
        ({}, Hints(id="kind"), "2 different values in 400 rows"),
        ({}, Hints(score="kind"), "holds category values; int or float is expected"),
        ({"label": [1] * N}, Hints(), "one value only"),
        ({"label": [f"t{i}" for i in range(N)]}, Hints(label="label"), "400 different texts"),
        ({}, Hints(leave_out=("size", "kind")), "no column is left to be a feature"),
        ({}, Hints(positive="7"), "the label 'label' has 0, 1"),
    ],
)
def test_what_cannot_be_is_refused(changed: dict[str, Any], said: Hints, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        roles_of(columns_of(table(**changed)), said)


def test_roles_of_a_plain_file() -> None:
    rows = table(customer_id=range(5, N + 5), score=[0.2] * N, known_at=TIMES, same=[1] * N, note=map(str, TIMES))
    roles = roles_of(columns_of(rows), Hints(time="at", leave_out=("kind",)))
    assert roles.id is not None
    assert roles.score is not None
    assert roles.labelled_at is not None
    assert (roles.id.logged, roles.score.logged, roles.labelled_at.logged) == ("customer_id", "score", "known_at")
    assert (roles.task, roles.positive, [feature.logged for feature in roles.features]) == ("binary", "1", ["size"])
    assert set(roles.left_out) == {"kind", "same", "note"}


def test_what_numbers_the_rows_is_their_id_and_never_a_feature() -> None:
    rows = table(ticket=range(7, N + 7), **{"Kunden Nr.": [f"K-{i}" for i in MIXED]})
    roles = roles_of(columns_of(rows), NOTHING)
    assert roles.id is not None
    assert roles.id.logged == "Kunden Nr."
    assert "rises with every row" in roles.left_out["ticket"]
    roles = roles_of(columns_of(rows.drop_columns(["Kunden Nr."])), NOTHING)
    assert roles.id is not None
    assert roles.id.logged == "ticket"
    assert [one.logged for one in roles.features] == ["size", "kind"]


def test_moments_finer_than_a_microsecond_are_read() -> None:
    fine = [moment.value + 1 for moment in TIMES]
    for zone in ("UTC", None):
        (column,) = columns_of(pa.table({"at": pa.array(fine, pa.timestamp("ns", zone))}))
        assert (column.kind, column.clean[0].as_py()) == ("time", TIMES[0].to_pydatetime())


def test_a_number_and_its_text_are_one_value_in_records_that_differ(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"n": "1", "k": "x\\"y"}\n{"n": 1, "k": 7}\n{"n": 2.5, "k": null}\n')
    number, kind = columns_of(read_table(path))
    assert (number.kind, number.clean.to_pylist()) == ("float", [1.0, 1.0, 2.5])
    assert kind.clean.to_pylist() == ['x"y', "7", None]


def test_names_that_differ_by_their_capitals_are_kept_and_one_name_twice_is_refused(tmp_path: Path) -> None:
    apart, twice = tmp_path / "apart.csv", tmp_path / "twice.tsv"
    apart.write_text('\ufeff"Qty, all";qty;QTY;qty_1\n1;2;3;4\n1;2;3;4\n', encoding="utf-8")
    assert read_table(apart).to_pylist() == [{"Qty, all": 1, "qty": 2, "QTY": 3, "qty_1": 4}] * 2
    pq.write_table(pa.table({"qty": [2], "Qty": [3]}), tmp_path / "apart.parquet")
    assert read_table(tmp_path / "apart.parquet").to_pylist() == [{"qty": 2, "Qty": 3}]
    twice.write_text("a\ta\n1\t2\n")
    with pytest.raises(ConfigError, match=r"1 names stand over several columns \(a\)"):
        read_table(twice)


def test_rows_without_a_time_are_counted_and_labels_without_one_never_arrive() -> None:
    late = [None, *TIMES[1:]]
    rows = table(at=[None, None, *TIMES[2:]], known_at=late, label=[None, 1, None, *[0, 1] * ((N - 3) // 2), 0])
    history = history_of(roles_of(columns_of(rows), Hints(label="label", time="at")), delay=timedelta(0))
    assert (history.n_untimed, history.predictions.num_rows, history.n_labelled) == (2, N - 2, N - 3)


def test_the_log_for_the_backtest_holds_what_was_laid_down(tmp_path: Path) -> None:
    rows = table(label=["yes", "no"] * (N // 2), **{"Größe (m²)": ["x", *["1.5", "n/a", "2"] * 133]}, size=None)
    made = begun(rows, tmp_path)
    log = log_of_file(made.config, made.history)
    assert log.rows.num_rows == made.n_rows == N
    assert log.rows["label"].to_pylist()[:2] == [1.0, 0.0]
    assert log.rows["grosse_m2"].to_pylist()[:4] == [None, 1.5, None, 2.0]
    folder = tmp_path / "home" / "landing" / "own" / "predictions"
    (laid,) = folder.glob("*/history.parquet")
    assert laid.parent.name == f"{made.window.start:%Y-%m-%dT%H%M}"
    # what is no number goes to quarantine when it is ingested, and is not lost before
    assert pq.read_table(laid)["Größe (m²)"].to_pylist()[:2] == ["x", "1.5"]
    assert made.config.features["grosse_m2"].logged_as == "Größe (m²)"


def test_a_window_ends_just_after_the_last_label_and_holds_the_first_row(tmp_path: Path) -> None:
    made = begun(table(), tmp_path, late="30h")
    last = TIMES[-1].to_pydatetime() + timedelta(hours=30)
    assert made.window.end - timedelta(days=1) <= last < made.window.end
    assert made.window.start <= TIMES[0].to_pydatetime() < made.window.start + made.times.every
    assert made.window.end == made.window.start + made.times.every * (
        (made.window.end - made.window.start) // made.times.every
    )
    assert made.config.label.delay == timedelta(hours=30)


def test_thresholds_for_drift_follow_what_the_history_does_without_a_change() -> None:
    def drifting(rows: pa.Table) -> dict[str, float]:
        roles = roles_of(columns_of(rows), Hints())
        history = history_of(roles, delay=timedelta(hours=1))
        return drift_of(history, roles, times_of(history))

    stepping = drifting(table(size=[i // 100 for i in range(N)]))
    calm = drifting(table(size=[i % 7 for i in range(N)]))
    assert stepping["wasserstein"] > 5 * calm["wasserstein"]
    assert calm["jensen_shannon"] < 0.05


def test_a_history_too_short_or_without_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="8 windows of an hour are the least"):
        begun(table(at=pd.date_range("2024-01-01", periods=N, freq="1min")), tmp_path)
    with pytest.raises(ConfigError, match=r"one value only|no row"):
        begun(table(label=[None] * N), tmp_path, Hints(label="label"))
    assert not (tmp_path / "models").exists()
    assert not (tmp_path / "home").exists()


def test_a_name_that_is_taken_or_none_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    made = begun(table(), tmp_path)
    before = (made.folder / "model.yaml").read_bytes()
    with pytest.raises(ConfigError, match="is there already"):
        begun(table(), tmp_path)
    with pytest.raises(ConfigError, match="plain word"):
        begun(table(), tmp_path, name="../own")
    assert (made.folder / "model.yaml").read_bytes() == before
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["own"]


def test_hostile_names_and_values_are_data_and_not_yaml(tmp_path: Path) -> None:
    name, value = 'a: "b" #\n- {{x}} {start}', 'it\'s: [\n"x"]'
    rows = table(**{name: MIXED}, kind=[value, "b"] * (N // 2))
    made = begun(rows, tmp_path)
    told = yaml.safe_load((made.folder / "model.yaml").read_text(encoding="utf-8"))
    assert name in {feature.get("from") for feature in told["features"].values()}
    assert value in told["features"]["kind"]["categories"]


def test_labels_of_a_file_of_their_own_are_matched_by_the_one_common_column(tmp_path: Path) -> None:
    rows, labels = tmp_path / "rows.parquet", tmp_path / "labels.parquet"
    pq.write_table(table(label=None, ref=range(N)), rows)
    pq.write_table(pa.table({"ref": [3, 1, 999], "label": [1, 0, 1]}), labels)
    both = table_of(rows, labels)
    assert both["label"].to_pylist()[:4] == [None, 0, None, 1]
    assert both["ref"].to_pylist() == list(range(N))
    pq.write_table(pa.table({"ref": [3, 3], "label": [1, 0]}), labels)
    with pytest.raises(ConfigError, match="1 rows carry a ref that stands in it before"):
        table_of(rows, labels)
    pq.write_table(pa.table({"other": [3], "label": [1]}), labels)
    with pytest.raises(ConfigError, match="shares 0 columns"):
        table_of(rows, labels)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("rows.xlsx", b"x", "one of .csv"),
        ("rows.parquet", b"not parquet", "not readable as a table"),
        ("rows.csv", b"a,b\n", "holds no row"),
    ],
)
def test_files_that_are_no_table_say_so(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    path = tmp_path / name
    with pytest.raises(ConfigError, match=r"no such file|one of \.csv"):
        read_table(path)
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=told):
        read_table(path)


def test_the_command_says_what_it_took_and_what_comes_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PERENNIAL_MODELS_DIR", str(tmp_path / "models"))
    path = str(unfamiliar.mixed(tmp_path))
    asked = CliRunner().invoke(app, ["init", "tier", "--from", path])
    assert asked.exit_code == 1
    assert "say it with --time: Datum, Opened" in asked.output
    done = CliRunner().invoke(app, ["init", "tier", "--from", path, "--time", "Datum"])
    assert done.exit_code == 0, done.output
    assert "left out: leer: it is empty" in done.output
    assert "perennial run monitor tier --start 20" in done.output
    config = load_model(tmp_path / "models" / "tier")
    assert (config.task, config.label.classes) == ("multiclass", ["bronze", "gold", "silver"])


def test_joined_rows_carry_each_label_once() -> None:
    roles = roles_of(columns_of(table()), Hints())
    history = history_of(roles, delay=timedelta(hours=1))
    assert joined(history, roles).num_rows == N
