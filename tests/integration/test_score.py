"""A file scored as the service answers: the same scores, the same log, faulty rows named, all of it or nothing."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conftest import unique_model
from perennial.config import load_model
from perennial.contracts.tags import CHAMPION
from perennial.errors import ConfigError
from perennial.recipes import boosting
from perennial.registry import Registry, set_alias
from perennial.registry.models import load_model as load_version
from perennial.serving.batches import reading
from perennial.serving.batches import scoring as module
from perennial.serving.batches.scoring import Wanted, score
from perennial.serving.predictors.predictor import Pipelined, build
from serving import fitted, logged, registered, rows

NOW = datetime(2024, 1, 5, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def served(mlflow_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Wanted:
    """A champion, version 1, and another version; nothing of them is scored yet."""
    folder = tmp_path_factory.mktemp("score")
    config = load_model(unique_model(folder, "wine_cultivar").model and next(folder.iterdir()))
    registry = Registry(mlflow_uri)
    for n_trees in (3, 5):
        registered(config, registry, fitted(config, boosting("multiclass", seed=0, max_iter=n_trees)))
    set_alias(registry, config.model, CHAMPION, "1")
    return Wanted(config=config, source="", target="", registry=registry, home=folder / "home", now=NOW)


@pytest.fixture
def wanted(served: Wanted, tmp_path: Path) -> Iterator[Wanted]:
    source, target = (tmp_path / name for name in ("rows.jsonl", "answers.jsonl"))
    yield replace(served, source=source.as_uri(), target=target.as_uri(), home=tmp_path / "home")


def path(uri: str) -> Path:
    return Path(uri.removeprefix("file://"))


def answers(wanted: Wanted) -> list[dict]:
    return [json.loads(line) for line in path(wanted.target).read_text(encoding="utf-8").splitlines()]


def given(wanted: Wanted, found: list) -> None:
    path(wanted.source).write_text("\n".join(json.dumps(one) for one in found), encoding="utf-8")


def lines(wanted: Wanted) -> list[dict]:
    return logged(wanted.home / "landing")


def test_a_file_is_answered_and_logged_as_requests_are_and_faulty_rows_are_named(
    wanted: Wanted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "CHUNK_ROWS", 10)
    sent = rows(wanted.config, 25)
    name = wanted.config.numbers[0]
    given(wanted, [*sent[:12], sent[12] | {name: "1.5"}, *sent[13:], 3, sent[0] | {"wrong": 1}])
    done = score(wanted)
    assert (done.version, done.n_rows, done.n_faulty, done.logged) == ("1", 24, 3, True)
    assert [(fault.row, fault.field) for fault in done.faults] == [(12, name), (25, None), (26, "wrong")]
    kept = [json.loads(line) for line in path(str(done.faults_uri)).read_text(encoding="utf-8").splitlines()]
    assert [one["row"] for one in kept] == [12, 25, 26]
    said = answers(wanted)
    assert [one["row"] for one in said] == [number for number in range(25) if number != 12]
    model = load_version(wanted.registry, wanted.config.model, "1", trusted_types=wanted.config.training.trusted_types)
    columns = list(zip(*[tuple(row[key] for key in wanted.config.features) for row in sent], strict=True))
    assert build(wanted.config, model).kind == "trees"
    expected, words = Pipelined(wanted.config, model)(columns)
    for one in said:
        assert one["score"] == pytest.approx(expected[one["row"]], abs=1e-12)
        assert one["predicted"] == words[one["row"]]
    line = {one["prediction_id"]: one for one in lines(wanted)}
    assert set(line) == {one["prediction_id"] for one in said}
    assert {one["score"] for one in line.values()} == {one["score"] for one in said}


def test_a_run_that_died_leaves_nothing_and_is_the_same_when_it_runs_again(
    wanted: Wanted, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(wanted, rows(wanted.config, 5))

    def dies(*_: object) -> None:
        raise RuntimeError("the power")

    with monkeypatch.context() as patched:
        patched.setattr(module, "_answer", dies)
        with pytest.raises(RuntimeError):
            score(wanted)
    assert not path(wanted.target).exists()
    assert lines(wanted) == [] or not any((wanted.home / "landing").rglob("*.jsonl"))
    with monkeypatch.context() as patched:
        patched.setattr(module.Output, "finish", dies)
        with pytest.raises(RuntimeError):
            score(wanted)
    first = lines(wanted)
    assert not path(wanted.target).exists()
    later = replace(wanted, now=datetime(2024, 1, 9, tzinfo=UTC))
    assert score(later).n_rows == len(first) == 5
    assert lines(later) == first, "ingest finds what it has, with the times of the first try"
    with pytest.raises(ConfigError, match="is there already"):
        score(later)


def test_another_version_is_scored_without_a_log_and_parquet_in_and_out(wanted: Wanted, tmp_path: Path) -> None:
    given(wanted, [])
    with pytest.raises(ConfigError, match="add --no-log"):
        score(replace(wanted, version="2"))
    table = pa.Table.from_pylist(
        [row | {"prediction_id": f"mine-{n}"} for n, row in enumerate(rows(wanted.config, 30))]
    )
    pq.write_table(table, tmp_path / "rows.parquet")
    asked = replace(
        wanted, version="2", log=False, source=(tmp_path / "rows.parquet").as_uri(),
        target=(tmp_path / "deep" / "answers.parquet").as_uri(),
    )  # fmt: skip
    done = score(asked)
    assert (done.version, done.n_rows, done.logged) == ("2", 30, False)
    found = pq.read_table(tmp_path / "deep" / "answers.parquet")
    assert found["prediction_id"].to_pylist() == [f"mine-{n}" for n in range(30)]
    assert set(found["version"].to_pylist()) == {"2"}
    assert not (wanted.home / "landing").exists()


def test_what_can_not_be_read_or_written_is_said(wanted: Wanted) -> None:
    for changes, told in (
        ({"source": "file:///nowhere/rows.jsonl"}, "no such file"),
        ({"source": "file:///nowhere/rows.csv"}, "--from"),
        ({"target": "file:///nowhere/rows.txt"}, "--to"),
    ):
        with pytest.raises(ConfigError, match=told):
            score(replace(wanted, **changes))
