"""What each kind of bad row or batch gets."""

import html
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
import pytest
from sqlalchemy.engine import URL

from conftest import unique_model
from ingesting import DAY, landing, published, quarantined, rows_of, take, validated, write_lines
from perennial.config import ExtraExpectation, ModelConfig
from perennial.contracts import Audit, from_record, to_record
from perennial.errors import ConfigError
from perennial.ingest.stage import stage
from perennial.store import Store, open_store
from perennial.store.tables import ensure_data_tables
from perennial.validation.audit import audit
from perennial.validation.sorting import Prepared, Sorted, Sorter
from servers import create_database

WINE = "wine_cultivar"

BAD_VALUES: dict[str, tuple[dict[str, Any], str]] = {
    "text where a number is declared": ({"alcohol": "strong"}, "alcohol: 'strong' is no number"),
    "a fraction where a whole number is declared": ({"proline": 700.5}, "proline: '700.5' is no whole number"),
    "digits in groups": ({"alcohol": "1_2"}, "alcohol: '1_2' is no number"),
    "a whole number in groups": ({"proline": "1_000"}, "proline: '1_000' is no whole number"),
    "out of range": ({"alcohol": 99.0}, "alcohol: outside [10.0, 16.0]"),
    "null where not nullable": ({"hue": None}, "hue: missing"),
    "NaN where not nullable": ({"hue": float("nan")}, "hue: missing"),
    "infinity": ({"ash": float("inf")}, "ash: not finite"),
    "negative infinity in a whole number": ({"proline": float("-inf")}, "proline: not finite"),
    "unknown category": ({"cellar": "west"}, "cellar: not among north, south"),
    "neither true nor false": ({"organic": "perhaps"}, "organic: 'perhaps' is neither true nor false"),
    "before the window": ({"event_time": "2023-12-31T23:59:59Z"}, "lies outside the window"),
    "at the window's end": ({"event_time": "2024-01-02T00:00:00Z"}, "lies outside the window"),
    "no time zone": ({"event_time": "2024-01-01T10:00:00"}, "carries no time zone"),
    "a date alone": ({"event_time": "2024-01-01"}, "carries no time zone"),
    "no moment": ({"event_time": "yesterday"}, "event_time: 'yesterday' is no moment in time"),
    "no id": ({"prediction_id": None}, "prediction_id: missing"),
    "empty id": ({"prediction_id": ""}, "prediction_id: 0 characters"),
    "endless id": ({"prediction_id": "x" * 600}, "prediction_id: 600 characters"),
    "NUL in an id": ({"prediction_id": "a\0b"}, "prediction_id: holds a NUL character"),
    "score above one": ({"score": 1.5}, "score: outside [0.0, 1.0]"),
    "no score": ({"score": None}, "score: missing"),
    "unknown class": ({"predicted": "merlot"}, "predicted: not among"),
    "no model version": ({"model_version": None}, "model_version: missing"),
}


@pytest.fixture
def folder(home: Path) -> Path:
    return landing(home, WINE)


ROWS_A_FILE, BAD_ROW = 12, 7


@pytest.fixture(scope="module")
def faults(
    postgres_server: URL, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[int, pd.Series]]:
    """One delivery with a file for each of the bad values, as if each came alone; its quarantined rows by number."""
    place = tmp_path_factory.mktemp("faults")
    (place / "models").mkdir()
    url = create_database(postgres_server, f"test_{uuid4().hex[:12]}", migrated_template)
    store = open_store(url, (place / "home" / "storage").as_uri())
    wine = unique_model(place / "models", WINE)
    ensure_data_tables(store, wine)
    rows = rows_of(WINE, ROWS_A_FILE * len(BAD_VALUES))
    for number, (change, _) in enumerate(BAD_VALUES.values()):
        of_file = rows[number * ROWS_A_FILE : (number + 1) * ROWS_A_FILE]
        of_file[BAD_ROW] |= change
        write_lines(landing(place / "home", WINE) / f"{number:02d}.jsonl", of_file)
    _, verdict, account = take(wine, place / "home", store)
    n_bad, n_good = len(BAD_VALUES), len(rows) - len(BAD_VALUES)
    assert (account.n_published, account.n_quarantined, account.n_duplicate) == (n_good, n_bad, 0), verdict.reason
    yield {int(line["row_number"]): line for _, line in quarantined(store).iterrows()}
    store.close()


@pytest.mark.xdist_group("faults")
@pytest.mark.parametrize("case", BAD_VALUES)
def test_bad_row_is_quarantined_with_reason_and_raw_value(case: str, faults: dict[int, pd.Series]) -> None:
    change, reason = BAD_VALUES[case]
    line = faults[list(BAD_VALUES).index(case) * ROWS_A_FILE + BAD_ROW]
    assert reason in line["reason"]
    assert line["reason"].count("; ") == 0, "one fault, one reason"
    column = next(iter(change))
    shown = json.loads(line["raw"])[column]
    if isinstance(change[column], str):
        assert shown == change[column]


def test_row_with_many_faults_is_one_row_with_all_reasons(
    wine: ModelConfig, store: Store, home: Path, folder: Path
) -> None:
    rows = rows_of(WINE)
    rows[3] |= {"alcohol": "x", "malic_acid": 99, "cellar": None, "event_time": "2024-01-01T10:00:00"}
    write_lines(folder / "a.jsonl", rows)
    _, verdict, account = take(wine, home, store)
    assert account.n_quarantined == 1
    (reason,) = quarantined(store)["reason"]
    assert reason.split("; ") == [
        "event_time: '2024-01-01T10:00:00' carries no time zone",
        "alcohol: 'x' is no number",
        "malic_acid: outside [0.0, 8.0]",
        "cellar: missing",
    ]
    assert verdict.n_type_errors == {"alcohol": 1, "event_time": 1}
    assert verdict.n_out_of_range == {"malic_acid": 1}


@pytest.mark.parametrize("staged_rows", [7, 16, 1000])
def test_rows_keep_their_numbers_over_many_chunks(
    wine: ModelConfig, store: Store, home: Path, folder: Path, *, monkeypatch: pytest.MonkeyPatch, staged_rows: int
) -> None:
    judged: list[int] = []

    def judge(self: Sorter, prepared: Prepared) -> Sorted:
        judged.append(prepared.rows.num_rows)
        return sort(self, prepared)

    sort = Sorter.sort
    monkeypatch.setattr(Sorter, "sort", judge)
    monkeypatch.setattr("perennial.ingest.stage.PASSING_ROWS", staged_rows)
    monkeypatch.setattr("perennial.validation.audit.PASSING_ROWS", 16)
    rows = rows_of(WINE, 52)
    for at in (0, 15, 16, 33, 51):
        rows[at] |= {"alcohol": "strong"} if at % 2 else {"malic_acid": 99}
    write_lines(folder / "a.jsonl", rows)
    _, _, account = take(wine, home, store)
    assert (account.n_published, account.n_quarantined) == (47, 5)
    assert judged == [16] * 3 + [4]
    lines = quarantined(store)
    assert lines["row_number"].tolist() == [0, 15, 16, 33, 51]
    assert [json.loads(raw)["prediction_id"] for raw in lines["raw"]] == [
        rows[at]["prediction_id"] for at in (0, 15, 16, 33, 51)
    ]
    kept = {row["prediction_id"]: row["hue"] for at, row in enumerate(rows) if at not in (0, 15, 16, 33, 51)}
    assert published(wine, store).set_index("prediction_id")["hue"].to_dict() == kept


def test_numbers_of_a_file_without_faults_are_shown_as_numbers(
    wine: ModelConfig, store: Store, home: Path, folder: Path
) -> None:
    rows = rows_of(WINE)
    rows[7] |= {"alcohol": 99.5, "proline": 700, "ash": float("nan"), "hue": None, "malic_acid": 7}
    write_lines(folder / "a.jsonl", rows)
    take(wine, home, store)
    raw = json.loads(quarantined(store)["raw"][0])
    shown = {name: raw[name] for name in ("alcohol", "proline", "ash", "hue", "malic_acid")}
    assert shown == {"alcohol": "99.5", "proline": "700", "ash": "NaN", "hue": None, "malic_acid": "7"}


def test_values_keep_their_meaning_on_the_way(wine: ModelConfig, store: Store, home: Path, folder: Path) -> None:
    rows = rows_of(WINE)
    rows[0] |= {"prediction_id": "0", "ash": None, "organic": 1, "proline": "745", "model_version": 12}
    rows[0] |= {"event_time": "2024-01-01T01:30:00.123456+05:30", "role": None, "ash": float("nan")}
    rows[0]["event_time"] = "2024-01-01T09:30:00.123456+05:30"
    write_lines(folder / "a.jsonl", rows)
    take(wine, home, store)
    row = published(wine, store).iloc[0]
    assert (row["prediction_id"], row["proline"], row["model_version"], row["role"]) == ("0", 745, "12", "champion")
    assert bool(row["organic"]) is True
    assert row["ash"] is None or row["ash"] != row["ash"]
    assert row["event_time"].isoformat() == "2024-01-01T04:00:00.123456+00:00"


def test_version_written_as_a_float_is_that_version(wine: ModelConfig, store: Store, home: Path, folder: Path) -> None:
    """Each logged in a file of its own, whose first rows say how it is read."""
    versions = {7.0: "7", "7.0": "7", "7.00": "7", 8: "8", "7.1": "7.1", "v1.0": "v1.0"}
    rows, expected = rows_of(WINE, 8 * len(versions)), {}
    for number, (logged, kept) in enumerate(versions.items()):
        of_file = [row | {"model_version": logged} for row in rows[8 * number : 8 * (number + 1)]]
        write_lines(folder / f"{number}.jsonl", of_file)
        expected |= {row["prediction_id"]: kept for row in of_file}
    take(wine, home, store)
    assert published(wine, store).set_index("prediction_id")["model_version"].to_dict() == expected


@pytest.mark.parametrize("at", [0, 3])
def test_line_with_a_key_twice_is_quarantined(
    at: int, wine: ModelConfig, store: Store, home: Path, folder: Path
) -> None:
    lines: list[Any] = [json.dumps(row) for row in rows_of(WINE)]
    lines[at] = lines[at].replace("{", '{"alcohol": 12.5, ', 1)
    write_lines(folder / "a.jsonl", lines)
    _, _, account = take(wine, home, store)
    assert (account.n_published, account.n_quarantined) == (39, 1)
    line = quarantined(store).iloc[0]
    assert (line["reason"], line["raw"]) == ("malformed: a key stands twice in one record", lines[at] + "\n")


def test_file_whose_every_line_has_a_key_twice_publishes_nothing(
    wine: ModelConfig, store: Store, home: Path, folder: Path
) -> None:
    lines = [json.dumps(row).replace("{", '{"alcohol": 12.5, ', 1) for row in rows_of(WINE)]
    write_lines(folder / "a.jsonl", lines)
    assert take(wine, home, store)[2].n_published == 0


def test_unseen_category_may_be_allowed(wine: ModelConfig, store: Store, home: Path, folder: Path) -> None:
    cellar = wine.features["cellar"].model_copy(update={"unseen": "allow"})
    lenient = wine.model_copy(update={"features": {**wine.features, "cellar": cellar}})
    rows = rows_of(WINE)
    rows[0]["cellar"] = "west"
    write_lines(folder / "a.jsonl", rows)
    assert take(lenient, home, store)[2].n_published == 40


def test_share_of_bad_rows_over_the_limit_halts_and_publishes_nothing(
    wine: ModelConfig, store: Store, home: Path, folder: Path
) -> None:
    rows = rows_of(WINE)
    for row in rows[:5]:
        row["alcohol"] = 999
    write_lines(folder / "a.jsonl", rows)
    _, verdict, account = take(wine, home, store)
    assert (verdict.verdict, account.status, account.n_published) == ("halt", "halted", 0)
    assert "5 of 40 rows are bad, a share of 0.1250 over validation.max_share_bad 0.1" in account.reason
    assert published(wine, store).empty
    assert quarantined(store).empty
    assert store.storage.read_table(str(verdict.quarantine_uri)).num_rows == 5, "the evidence is kept"


def test_halted_batch_is_published_once_its_limits_allow(
    wine: ModelConfig, store: Store, home: Path, folder: Path
) -> None:
    rows = rows_of(WINE)
    for row in rows[:5]:
        row["alcohol"] = 999
    write_lines(folder / "a.jsonl", rows)
    first, *_ = take(wine, home, store)
    second, _, account = take(validated(wine, max_share_bad=0.2), home, store)
    assert first.batch_id == second.batch_id
    assert (account.status, account.n_published, account.n_quarantined) == ("published", 35, 5)


@pytest.mark.parametrize(("limits", "words"), [({"min_rows": 41}, "fewer than"), ({"max_rows": 39}, "more than")])
def test_number_of_rows_outside_its_limits_halts(
    limits: dict[str, int], words: str, wine: ModelConfig, store: Store, home: Path, folder: Path
) -> None:
    write_lines(folder / "a.jsonl", rows_of(WINE))
    _, verdict, _ = take(validated(wine, **limits), home, store)
    assert verdict.verdict == "halt"
    assert words in verdict.reason


def test_all_null_column_is_no_pass(wine: ModelConfig, store: Store, home: Path, folder: Path) -> None:
    write_lines(folder / "a.jsonl", [row | {"ash": None} for row in rows_of(WINE)])
    _, verdict, account = take(wine, home, store)
    found = {(one.expectation, one.column): one for one in verdict.expectations}
    between = found["ExpectColumnValuesToBeBetween", "ash"]
    assert (between.passed, between.n_evaluated) == (False, 0)
    assert "every value is null" in between.detail
    assert account.n_published == 40, "ash is nullable: its null rate is for monitoring to judge"


def test_all_null_column_that_is_not_nullable_halts(wine: ModelConfig, store: Store, home: Path, folder: Path) -> None:
    write_lines(folder / "a.jsonl", [row | {"hue": None} for row in rows_of(WINE)])
    assert take(wine, home, store)[1].verdict == "halt"


def extra(config: ModelConfig, kind: str, level: str, **kwargs: Any) -> ModelConfig:
    return validated(config, expectations=[ExtraExpectation(type=kind, level=level, kwargs=kwargs)])  # type: ignore[arg-type]


def test_failed_batch_level_expectation_halts(wine: ModelConfig, store: Store, home: Path, folder: Path) -> None:
    write_lines(folder / "a.jsonl", rows_of(WINE))
    config = extra(wine, "ExpectColumnMeanToBeBetween", "batch", column="alcohol", min_value=15, max_value=16)
    _, verdict, account = take(config, home, store)
    assert account.status == "halted"
    assert "ExpectColumnMeanToBeBetween of alcohol: observed 1" in verdict.reason


def test_file_that_repeats_itself_is_judged_on_more_than_every_kth_row(
    wine: ModelConfig, store: Store, home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perennial.validation.audit.SAMPLE_ROWS", 100)
    rows = [row | {"alcohol": 15.5 if i % 4 else 11.0} for i, row in enumerate(rows_of(WINE, 400))]
    write_lines(folder / "a.jsonl", rows)
    config = extra(wine, "ExpectColumnMeanToBeBetween", "batch", column="alcohol", min_value=10, max_value=13)
    _, verdict, account = take(config, home, store)
    assert account.status == "halted", "every fourth row has a mean within the bounds, all rows have not"
    assert "judged on 100 of 400 rows, drawn by the hash of their id" in verdict.reason


def test_sample_does_not_depend_on_the_order_of_the_rows(
    wine: ModelConfig, store: Store, home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perennial.validation.audit.SAMPLE_ROWS", 50)
    config = extra(wine, "ExpectColumnMeanToBeBetween", "batch", column="alcohol", min_value=10, max_value=16)
    seen = set()
    for rows in (rows_of(WINE, 200), rows_of(WINE, 200)[::-1]):
        write_lines(folder / "a.jsonl", rows)
        _, verdict, _ = take(config, home, store)
        seen.add(next(one.detail for one in verdict.expectations if one.level == "batch"))
    (detail,) = {text[: len("observed 13.000")] for text in seen}
    assert detail.startswith("observed 1")


def test_extra_row_level_expectation_quarantines_its_rows(
    wine: ModelConfig, store: Store, home: Path, folder: Path
) -> None:
    rows = rows_of(WINE)
    rows[4]["model_version"] = "banana"
    write_lines(folder / "a.jsonl", rows)
    config = extra(wine, "ExpectColumnValuesToMatchRegex", "row", column="model_version", regex=r"^\d+$")
    assert take(config, home, store)[2].n_quarantined == 1
    assert list(quarantined(store)["reason"]) == ["model_version: fails ExpectColumnValuesToMatchRegex"]


def test_expectation_that_raises_halts_with_its_message(
    wine: ModelConfig, store: Store, home: Path, folder: Path
) -> None:
    write_lines(folder / "a.jsonl", rows_of(WINE))
    config = extra(wine, "ExpectColumnValuesToBeBetween", "row", column="cellar", min_value=1, max_value=2)
    _, verdict, account = take(config, home, store)
    assert account.status == "halted"
    assert "could not be judged" in verdict.reason


@pytest.mark.parametrize(
    ("kind", "level", "kwargs", "words"),
    [
        ("ExpectTheImpossible", "row", {}, "has no such expectation"),
        ("ExpectColumnValuesToBeBetween", "row", {"column": "ash", "color": "red"}, "expectations.0"),
        ("ExpectColumnMeanToBeBetween", "row", {"column": "ash", "min_value": 1}, "write level: batch"),
        ("ExpectColumnValuesToBeUnique", "row", {"column": "ash"}, "all rows at once"),
        ("ExpectTableRowCountToBeBetween", "batch", {"min_value": 1}, "min_rows"),
        ("ExpectColumnValuesToBeBetween", "row", {"column": "sugar", "min_value": 1}, "no column sugar"),
    ],
)
def test_extra_expectation_that_can_not_be_built_names_model_and_place(
    kind: str, level: str, kwargs: dict[str, Any], words: str, wine: ModelConfig, store: Store, home: Path, folder: Path
) -> None:
    write_lines(folder / "a.jsonl", rows_of(WINE))
    config = extra(wine, kind, level, **kwargs)
    batch = stage(config, DAY, "predictions", store=store, home=home)
    with pytest.raises(ConfigError, match=words) as raised:
        audit(config, batch, store=store)
    assert wine.model in str(raised.value)


def test_data_docs_page_and_record_are_kept(wine: ModelConfig, store: Store, home: Path, folder: Path) -> None:
    rows = rows_of(WINE)
    rows[0]["alcohol"] = 99
    write_lines(folder / "a.jsonl", rows)
    _, verdict, _ = take(wine, home, store)
    with store.storage.filesystem.open_input_stream(store.storage.path(str(verdict.docs_uri))) as stream:
        page = stream.read().decode()
    assert "alcohol" in page
    assert "99" in page
    assert from_record(Audit, to_record(verdict)) == verdict
    again = audit(wine, stage(wine, DAY, "predictions", store=store, home=home), store=store)
    assert again == verdict, "the recorded one"


def test_logged_markup_is_text_on_the_page(wine: ModelConfig, store: Store, home: Path, folder: Path) -> None:
    markup = "<script>alert('cellar')</script>"
    rows = rows_of(WINE, 60)
    for row in rows[:2]:
        row["cellar"] = markup
    for row in rows[2:]:
        row["model_version"] = "7<b id='v'>&amp;"
    write_lines(folder / "a.jsonl", rows)
    expectations = [
        ExtraExpectation(type=kind, level="batch", kwargs={"column": "model_version", **kwargs})
        for kind, kwargs in (
            ("ExpectColumnDistinctValuesToBeInSet", {"value_set": ["7", "<i>8</i>"]}),
            ("ExpectColumnMostCommonValueToBeInSet", {"value_set": ["<u>9</u>"]}),
            ("ExpectColumnValuesToMatchRegex", {"regex": "^<s>$"}),
        )
    ]
    _, verdict, _ = take(validated(wine, expectations=expectations), home, store)
    with store.storage.filesystem.open_input_stream(store.storage.path(str(verdict.docs_uri))) as stream:
        page = stream.read().decode()
    for tag in ("<script>alert", "<b id", "<i>8", "<u>9", "<s>"):
        assert tag not in page, page[max(0, page.find(tag) - 300) : page.find(tag) + 100]
    shown = html.unescape(page)
    assert markup in shown, "the reader sees what was logged"
