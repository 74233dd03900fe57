"""Every kind of source, and what a delivery that can not be used gets."""

import gzip
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa
from pydantic import ValidationError

from ingesting import DAY, from_files, landing, published, quarantined, rows_of, take, validated, write_lines
from perennial.config import ModelConfig, Sources, TableSource
from perennial.contracts import Batch, from_record, to_record
from perennial.errors import ConfigError, StoreUnavailable
from perennial.ingest.stage import stage
from perennial.store import Store

WINE = "wine_cultivar"


def frame() -> pd.DataFrame:
    rows = pd.DataFrame(rows_of(WINE))
    rows["organic"] = rows["organic"].astype(bool)
    return rows


def as_csv(path: Path) -> str:
    frame().to_csv(path / "a.csv", index=False)
    return "csv"


def as_parquet(path: Path) -> str:
    rows = frame()
    rows["event_time"] = pd.to_datetime(rows["event_time"], utc=True, format="ISO8601")
    rows.to_parquet(path / "a.parquet")
    return "parquet"


def as_packed_lines(path: Path) -> str:
    write_lines(path / "plain", rows_of(WINE))
    (path / "a.jsonl.gz").write_bytes(gzip.compress((path / "plain").read_bytes()))
    (path / "plain").unlink()
    return "jsonl"


@pytest.mark.parametrize("write", [as_csv, as_parquet, as_packed_lines])
def test_every_format_publishes_the_same_rows(
    write: Callable[[Path], str], wine: ModelConfig, store: Store, home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    config = from_files(wine, f"{folder.as_uri()}/*", write(folder))
    batch, verdict, account = take(config, home, store)
    assert batch.problem is None
    assert account.n_published == 40, verdict.reason
    found = published(wine, store).drop(columns="batch_seq")
    expected = frame().sort_values("prediction_id", ignore_index=True)
    expected["event_time"] = pd.to_datetime(expected["event_time"], utc=True, format="ISO8601")
    for column in expected:
        assert found[column].tolist() == expected[column].tolist(), column


def table_model(config: ModelConfig, time_column: str = "event_time", table: str = "Served Log") -> ModelConfig:
    source = TableSource(kind="table", url_env="SERVED_URL", table=table, time_column=time_column)
    return config.model_copy(update={"sources": Sources(predictions=source, labels=config.sources.labels)})


def fill_table(url: str, *, moments: bool) -> None:
    rows = frame()
    if moments:
        rows["event_time"] = pd.to_datetime(rows["event_time"], utc=True, format="ISO8601")
    outside = rows.head(5).assign(prediction_id=[f"later{i}" for i in range(5)])
    outside["event_time"] = DAY.end if moments else (DAY.end + timedelta(hours=1)).isoformat()
    engine = sa.create_engine(url)
    pd.concat([rows, outside]).to_sql("Served Log", engine, index=False)
    engine.dispose()


def test_window_of_a_postgresql_table(wine: ModelConfig, store: Store, home: Path, database_url: str) -> None:
    fill_table(database_url.replace("postgresql:", "postgresql+psycopg2:"), moments=True)
    urls = {"SERVED_URL": database_url}
    first = take(table_model(wine), home, store, table_urls=urls)
    assert first[2].n_published == 40, first[1].reason
    assert take(table_model(wine), home, store, table_urls=urls) == first, "the digest is stable"


def test_window_of_a_table_elsewhere(wine: ModelConfig, store: Store, home: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'served.db'}"
    fill_table(url, moments=False)
    _, verdict, account = take(table_model(wine), home, store, table_urls={"SERVED_URL": url})
    assert account.n_published == 40, verdict.reason


def test_text_that_does_not_sort_by_time_halts(wine: ModelConfig, store: Store, home: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'served.db'}"
    fill_table(url, moments=False)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        spaced = sa.text("""UPDATE "Served Log" SET event_time = replace(event_time, 'T', ' ') WHERE rowid <= 3""")
        connection.execute(spaced)
    engine.dispose()
    batch, verdict, account = take(table_model(wine), home, store, table_urls={"SERVED_URL": url})
    assert (verdict.verdict, account.n_published) == ("halt", 0)
    assert "event_time is text, and 3 of its values" in str(batch.problem)


def test_table_rows_without_a_time_halt(wine: ModelConfig, store: Store, home: Path, database_url: str) -> None:
    url = database_url.replace("postgresql:", "postgresql+psycopg2:")
    fill_table(url, moments=True)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("""UPDATE "Served Log" SET event_time = NULL WHERE prediction_id LIKE 'later%'"""))
    batch, _, account = take(table_model(wine), home, store, table_urls={"SERVED_URL": database_url})
    assert (account.status, account.n_published) == ("halted", 0)
    assert "5 rows have no event_time and so belong to no window" in str(batch.problem)
    with engine.begin() as connection:
        connection.execute(sa.text("""DELETE FROM "Served Log" WHERE event_time IS NULL"""))
    engine.dispose()
    assert take(table_model(wine), home, store, table_urls={"SERVED_URL": database_url})[2].n_published == 40


def test_table_problems_are_named(wine: ModelConfig, store: Store, home: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'served.db'}"
    fill_table(url, moments=False)
    urls = {"SERVED_URL": url}
    assert "no table nope" in str(take(table_model(wine, table="nope"), home, store, table_urls=urls)[0].problem)
    assert "no time_column at" in str(take(table_model(wine, "at"), home, store, table_urls=urls)[0].problem)
    with pytest.raises(ConfigError, match="SERVED_URL"):
        stage(table_model(wine), DAY, "predictions", store=store, home=home)


@pytest.mark.parametrize("broken", ["no url", "postgresql://user:hunter2@host:port/db"])
def test_a_broken_table_url_is_refused_without_showing_it(
    broken: str, wine: ModelConfig, store: Store, home: Path
) -> None:
    with pytest.raises(ConfigError, match="SERVED_URL is no SQLAlchemy URL") as caught:
        stage(table_model(wine), DAY, "predictions", store=store, home=home, table_urls={"SERVED_URL": broken})
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None


def test_unreachable_table_is_transient(wine: ModelConfig, store: Store, home: Path) -> None:
    urls = {"SERVED_URL": "postgresql://nobody@127.0.0.1:9/none"}
    with pytest.raises(StoreUnavailable):
        stage(table_model(wine), DAY, "predictions", store=store, home=home, table_urls=urls)


def halted(config: ModelConfig, store: Store, home: Path) -> Batch:
    """The batch of a delivery that can not be used; nothing of it is published, and its row says why."""
    batch, verdict, account = take(config, home, store)
    assert (verdict.verdict, account.status, account.n_published) == ("halt", "halted", 0)
    assert batch.problem
    assert account.reason == verdict.reason == batch.problem
    assert published(config, store).empty
    with store.begin() as connection:
        rows = connection.execute(sa.text("SELECT status, reason FROM perennial.batches")).all()
    assert [tuple(row) for row in rows] == [("halted", batch.problem)]
    assert from_record(Batch, to_record(batch)) == batch
    return batch


def test_missing_delivery_halts(wine: ModelConfig, store: Store, home: Path) -> None:
    assert "no file matches" in str(halted(wine, store, home).problem)


@pytest.mark.parametrize("content", [b"", b"\n\n\r\n"])
def test_empty_delivery_halts(content: bytes, wine: ModelConfig, store: Store, home: Path) -> None:
    (landing(home, WINE) / "a.jsonl").write_bytes(content)
    assert "empty delivery" in str(halted(wine, store, home).problem)


def test_empty_delivery_of_labels_is_allowed(wine: ModelConfig, store: Store, home: Path) -> None:
    _, verdict, account = take(wine, home, store, "labels")
    assert (verdict.verdict, account.status, account.n_staged) == ("publish", "published", 0)


def test_delivery_after_a_missing_one_is_published(wine: ModelConfig, store: Store, home: Path) -> None:
    halted(wine, store, home)
    write_lines(landing(home, WINE) / "a.jsonl", rows_of(WINE))
    assert take(wine, home, store)[2].n_published == 40


def test_missing_column_halts(wine: ModelConfig, store: Store, home: Path) -> None:
    rows = [{k: v for k, v in row.items() if k != "hue"} for row in rows_of(WINE)]
    write_lines(landing(home, WINE) / "a.jsonl", rows)
    batch = halted(wine, store, home)
    assert batch.problem == "broken schema: missing [hue]"
    assert batch.missing_columns == ("hue",)


def test_renamed_column_is_recognised(wine: ModelConfig, store: Store, home: Path) -> None:
    rows = [{"tint" if k == "hue" else k: v for k, v in row.items()} for row in rows_of(WINE)]
    write_lines(landing(home, WINE) / "a.jsonl", rows)
    assert halted(wine, store, home).problem == (
        "broken schema: missing [hue]; unknown columns [tint] arrived: renamed?"
    )


def test_extra_column_is_recorded_or_halts(wine: ModelConfig, store: Store, home: Path) -> None:
    write_lines(landing(home, WINE) / "a.jsonl", [row | {"tint": 1} for row in rows_of(WINE)])
    assert "extra columns [tint]" in str(halted(validated(wine, extra_columns="halt"), store, home).problem)
    batch, _, account = take(wine, home, store)
    assert batch.extra_columns == ("tint",)
    assert account.n_published == 40


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_wrong_encoding_halts_naming_the_file(encoding: str, wine: ModelConfig, store: Store, home: Path) -> None:
    path = landing(home, WINE) / "a.jsonl"
    path.write_bytes("".join(f'{{"prediction_id": "é{i}"}}\n' for i in range(30)).encode(encoding))
    problem = str(halted(wine, store, home).problem)
    assert "not UTF-8" in problem
    assert str(path) in problem


def test_byte_order_mark_is_not_data(wine: ModelConfig, store: Store, home: Path) -> None:
    path = write_lines(landing(home, WINE) / "a.jsonl", rows_of(WINE))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert take(wine, home, store)[2].n_published == 40


def test_truncated_last_line_halts_until_the_file_is_whole(wine: ModelConfig, store: Store, home: Path) -> None:
    path = write_lines(landing(home, WINE) / "a.jsonl", rows_of(WINE))
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert f"{path}: its last line is cut and has no newline" in str(halted(wine, store, home).problem)
    path.write_bytes(whole.removesuffix(b"\n"))
    assert take(wine, home, store)[2].n_published == 40, "a whole record needs no newline"


def test_last_line_that_is_no_record_at_all_is_quarantined_as_it_is(
    wine: ModelConfig, store: Store, home: Path
) -> None:
    path = write_lines(landing(home, WINE) / "a.jsonl", rows_of(WINE))
    path.write_bytes(path.read_bytes() + b"end of log")
    _, _, account = take(wine, home, store)
    assert (account.n_published, account.n_quarantined) == (40, 1)
    line = quarantined(store).iloc[0]
    assert (line["reason"], line["raw"]) == ("malformed: not a complete record of this format", "end of log")


@pytest.mark.parametrize("cut", [0.5, 0.98])
def test_truncated_parquet_halts(cut: float, wine: ModelConfig, store: Store, home: Path, tmp_path: Path) -> None:
    as_parquet(tmp_path)
    path = tmp_path / "a.parquet"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * cut)])
    problem = str(halted(from_files(wine, str(path), "parquet"), store, home).problem)
    assert "not readable as Parquet" in problem
    assert str(path) in problem


def test_truncated_packed_file_halts(wine: ModelConfig, store: Store, home: Path, tmp_path: Path) -> None:
    as_packed_lines(tmp_path)
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-100])
    assert f"{path}: not readable" in str(halted(from_files(wine, str(path), "jsonl"), store, home).problem)


@pytest.mark.parametrize("folder", ["100%", "a%20b", "what?", "x[1]", "a b#c"])
@pytest.mark.parametrize("form", ["{home}/in/*.jsonl", "file://{home}/in/*.jsonl", "as it is"])
def test_special_characters_in_paths(folder: str, form: str, wine: ModelConfig, store: Store, tmp_path: Path) -> None:
    home = tmp_path / folder
    (home / "in").mkdir(parents=True)
    write_lines(home / "in" / f"{folder}.jsonl", rows_of(WINE))
    uri = form if form != "as it is" else f"{home}/in/{folder}.jsonl"
    batch = stage(from_files(wine, uri, "jsonl"), DAY, "predictions", store=store, home=home)
    assert batch.files == (f"{home}/in/{folder}.jsonl",)
    assert (batch.problem, batch.n_rows) == (None, 40)


NAMES = ("a%b", "what?", "x[1]", "a.b", "a:b", "a$1", "line\nbreak", "a'b")
NAMED = ("prediction_id", "alcohol", "malic_acid", "proline", "hue", "cellar", "magnesium", "organic")


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet", "table"])
def test_special_characters_in_the_names_of_columns(
    kind: str, wine: ModelConfig, store: Store, home: Path, tmp_path: Path, database_url: str
) -> None:
    """Each as that of the id, by which a table is ordered, and each of another column; the last ones are published."""
    for turn in range(len(NAMES)):
        names = dict(zip(NAMED, (*NAMES[turn:], *NAMES[:turn]), strict=True))
        config = delivered_under(names, kind, wine, tmp_path / f"{turn}.log", database_url)
        batch = stage(config, DAY, "predictions", store=store, home=home, table_urls={"SERVED_URL": database_url})
        assert (batch.problem, batch.n_rows, batch.missing_columns) == (None, 40, ()), names["prediction_id"]
    _, verdict, account = take(config, home, store, table_urls={"SERVED_URL": database_url})
    assert account.n_published == 40, verdict.reason
    found, expected = published(wine, store), frame().sort_values("prediction_id", ignore_index=True)
    for name in NAMED:
        assert found[name].tolist() == pytest.approx(expected[name].tolist()), name


def delivered_under(names: dict[str, str], kind: str, wine: ModelConfig, path: Path, url: str) -> ModelConfig:
    """The rows are in a file, or in the table, with columns under these names; the model that looks for them there."""
    columns = wine.columns.model_copy(update={"id": names["prediction_id"]})
    features = {k: f.model_copy(update={"logged_as": names.get(k)}) for k, f in wine.features.items()}
    config = wine.model_copy(update={"columns": columns, "features": features})
    rows = frame().rename(columns=names)
    rows["event_time"] = pd.to_datetime(rows["event_time"], utc=True, format="ISO8601")
    if kind == "table":
        engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg2:"))
        with engine.begin() as connection:
            of_table = [sa.Column(c, sa.DateTime(timezone=True) if c == "event_time" else sa.Text) for c in rows]
            table = sa.Table("Served Log", sa.MetaData(), *of_table)
            table.drop(connection, checkfirst=True)
            table.create(connection)
            connection.execute(table.insert(), rows.astype(object).map(str).to_dict("records"))
        engine.dispose()
        return table_model(config)
    write = {"jsonl": write_json, "csv": write_csv, "parquet": pd.DataFrame.to_parquet}[kind]
    write(rows, path)
    return from_files(config, str(path), kind)


LONG = "average order value over the last ninety days without returns, in euros, v2"


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet", "table"])
def test_features_are_found_under_their_names_in_the_log(
    kind: str, wine: ModelConfig, store: Store, home: Path, tmp_path: Path, database_url: str
) -> None:
    names = {"alcohol": "Order Qty (EUR)", "ash": "größe 寸", "hue": "score", "proline": LONG, "organic": "row_number"}
    if kind == "table":
        names["proline"] = LONG[:60]  # PostgreSQL has no longer names
    features = {k: f.model_copy(update={"logged_as": names.get(k)}) for k, f in wine.features.items()}
    columns = wine.columns.model_copy(update={"score": "P(class)"})
    config = wine.model_copy(update={"features": features, "columns": columns})
    rows = frame().rename(columns={"score": "P(class)", **names})
    rows["event_time"] = pd.to_datetime(rows["event_time"], utc=True, format="ISO8601")
    rows["Row_Number"] = 99  # nobody declared it, and it is another column
    path = tmp_path / "a.log"
    if kind == "table":
        engine = sa.create_engine(database_url.replace("postgresql:", "postgresql+psycopg2:"))
        rows.to_sql("Served Log", engine, index=False)
        engine.dispose()
        config = table_model(config)
    else:
        {"jsonl": write_json, "csv": write_csv, "parquet": pd.DataFrame.to_parquet}[kind](rows, path)
        config = from_files(config, str(path), kind)
    batch, verdict, account = take(config, home, store, table_urls={"SERVED_URL": database_url})
    assert account.n_published == 40, verdict.reason
    assert batch.extra_columns == ("Row_Number",)
    found = published(wine, store)
    expected = frame().sort_values("prediction_id", ignore_index=True)
    for name in (*names, "score"):
        assert found[name].tolist() == pytest.approx(expected[name].tolist()), name


def test_a_fault_names_the_feature_and_a_missing_column_the_log(wine: ModelConfig, store: Store, home: Path) -> None:
    features = {**wine.features, "hue": wine.features["hue"].model_copy(update={"logged_as": "Hue (°)"})}
    config = wine.model_copy(update={"features": features})
    rows = [{"Hue (°)" if k == "hue" else k: v for k, v in row.items()} for row in rows_of(WINE)]
    rows[0]["Hue (°)"] = "red"
    write_lines(landing(home, WINE) / "a.jsonl", rows)
    _, verdict, account = take(config, home, store)
    assert (account.n_published, account.n_quarantined) == (39, 1)
    assert "hue: is no number (1 row)" in verdict.reason
    write_lines(landing(home, WINE) / "a.jsonl", rows_of(WINE))
    batch = stage(config, DAY, "predictions", store=store, home=home)
    assert batch.problem == "broken schema: missing [Hue (°)]; unknown columns [hue] arrived: renamed?"


def write_json(rows: pd.DataFrame, path: Path) -> None:
    rows.to_json(path, orient="records", lines=True, date_format="iso")


def write_csv(rows: pd.DataFrame, path: Path) -> None:
    rows.to_csv(path, index=False)


def test_secret_in_a_uri_is_in_no_message(wine: ModelConfig, store: Store, home: Path) -> None:
    for uri in ("s3://AKIA:hun/ter2@bucket/x", "file://AKIA:hunter2@host/nowhere/*.jsonl", "ftp://AKIA:hunter2@host/x"):
        with pytest.raises(ConfigError) as caught:
            stage(from_files(wine, uri, "jsonl"), DAY, "predictions", store=store, home=home)
        assert "ter2" not in f"{caught.value} {caught.value.__cause__} {caught.value.__context__}"
        assert "AKIA" not in str(caught.value)
    batch = halted(from_files(wine, f"{home}/nothing/at://AKIA:hunter2@bucket/*.jsonl", "jsonl"), store, home)
    assert "no file matches" in str(batch.problem)
    assert "hunter2" not in str(to_record(batch))


def test_what_is_stored_is_for_its_owner_alone(wine: ModelConfig, store: Store, home: Path) -> None:
    write_lines(landing(home, WINE) / "a.jsonl", [*rows_of(WINE), "{"])
    before = os.umask(0o022)
    try:
        _, verdict, _ = take(wine, home, store)
    finally:
        os.umask(before)
    quarantine = home / "storage" / str(verdict.quarantine_uri)
    assert quarantine.stat().st_mode & 0o777 == 0o600
    for path in (home / "storage", *(home / "storage").rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_ragged_csv_rows_are_quarantined(wine: ModelConfig, store: Store, home: Path, tmp_path: Path) -> None:
    as_csv(tmp_path)
    path = tmp_path / "a.csv"
    path.write_text(path.read_text() + "one,two\n")
    _, _, account = take(from_files(wine, str(path), "csv"), home, store)
    assert (account.n_published, account.n_quarantined) == (40, 1)
    assert quarantined(store)["raw"][0] == "one,two"


def test_csv_column_given_twice_halts(wine: ModelConfig, store: Store, home: Path, tmp_path: Path) -> None:
    as_csv(tmp_path)
    path = tmp_path / "a.csv"
    path.write_text(path.read_text().replace("malic_acid", "alcohol", 1))
    assert "alcohol stand twice" in str(halted(from_files(wine, str(path), "csv"), store, home).problem)


def test_names_of_files_do_not_change_the_batch(wine: ModelConfig, store: Store, home: Path) -> None:
    folder = landing(home, WINE)
    rows = rows_of(WINE)
    write_lines(folder / "a.jsonl", rows[:10])
    write_lines(folder / "b.jsonl", rows[10:])
    first, _, account = take(wine, home, store)
    (folder / "a.jsonl").rename(folder / "z.jsonl")
    assert take(wine, home, store) == (first, *take(wine, home, store)[1:])
    assert account.n_published == 40


def test_blank_lines_and_line_ends_of_windows_are_no_rows(wine: ModelConfig, store: Store, home: Path) -> None:
    path = write_lines(landing(home, WINE) / "a.jsonl", rows_of(WINE))
    path.write_bytes(b"\r\n" + path.read_bytes().replace(b"\n", b"\r\n\r\n"))
    assert take(wine, home, store)[2].n_published == 40


def test_uri_with_an_unknown_field_is_refused_before_anything_is_read(wine: ModelConfig) -> None:
    with pytest.raises(ValidationError, match="it may hold"):
        from_files(wine, "{house}/x", "jsonl")


def test_columns_that_differ_only_by_case_are_a_config_error(wine: ModelConfig, store: Store, home: Path) -> None:
    config = wine.model_copy(update={"columns": wine.columns.model_copy(update={"id": "HUE"})})
    with pytest.raises(ConfigError, match="differ only by case"):
        stage(config, DAY, "predictions", store=store, home=home)


def test_delivered_names_are_never_taken_for_sql(wine: ModelConfig, store: Store, home: Path) -> None:
    name = "id\"; DROP TABLE x; --' {}"
    config = wine.model_copy(update={"columns": wine.columns.model_copy(update={"id": name})})
    rows = [{name if k == "prediction_id" else k: v for k, v in row.items()} for row in rows_of(WINE)]
    rows[0]["alcohol"] = "'; DROP TABLE y; --"
    write_lines(landing(home, WINE) / "a.jsonl", rows)
    account = take(config, home, store)[2]
    assert (account.n_published, account.n_quarantined) == (39, 1)
