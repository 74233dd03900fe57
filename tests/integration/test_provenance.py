"""Where a version came from, where a bad file went, and whether the version can be made again."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow.compute as pc
import pytest
from mlflow.artifacts import download_artifacts
from sqlalchemy import make_url, select, update
from sqlalchemy.engine import URL
from typer.testing import CliRunner, Result

from airflow_tasks import SECRET, run_tasks
from logs import day
from perennial import ledger
from perennial.cli import app
from perennial.contracts import Decision, FittedRun, Flag, LedgerEntry, LedgerKind, Signal, from_record, to_record
from perennial.contracts.candidates import Snapshot
from perennial.contracts.tags import SNAPSHOT_TAG
from perennial.decision.facts import Facts
from perennial.decision.record import entry_of
from perennial.errors import IntegrityError, PermanentError
from perennial.evidence.deliveries.traced import read_snapshots
from perennial.pipeline import Case
from perennial.provenance.explain import explain
from perennial.provenance.lineage import of_delivery, of_prediction, of_version
from perennial.provenance.reproduce import reproduce
from perennial.provenance.taken_back import Breach, keep, taken_back
from perennial.registry.reference import load_reference
from perennial.registry.versions import source_run
from perennial.signoff.report.card import CARD
from perennial.signoff.report.describing import DELIVERIES, REPORT
from perennial.statistics.intervals import around
from perennial.storage.work import temporary_folder
from perennial.store.schema import batches, predictions_table, snapshots
from releases import approval, make_version, released, signed
from trained import asked, copied, play, train

pytestmark = pytest.mark.xdist_group("trained")


@pytest.fixture(scope="module")
def case(
    postgres_server: URL, migrated_template: str, mlflow_uri: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Case]:
    """A champion, version 1, fitted and judged on three days; and the day after, which it scored."""
    trained = train(postgres_server, migrated_template, mlflow_uri, tmp_path_factory.mktemp("trained"))
    runtime = copied(trained, postgres_server, mlflow_uri, tmp_path_factory.mktemp("world"))
    play(trained.config, 3, runtime)
    yield runtime.case(trained.config.model)
    runtime.close()


@pytest.fixture
def ask(case: Case, monkeypatch: pytest.MonkeyPatch) -> Iterator[CliRunner]:
    """The command line, in the world of that model."""
    values = {
        "PERENNIAL_DATABASE_URL": case.settings.require_database_url(),
        "MLFLOW_TRACKING_URI": case.settings.require_mlflow_uri(),
        "PERENNIAL_HOME": str(case.settings.home),
        "PERENNIAL_MODELS_DIR": str(case.settings.models_dir),
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    yield CliRunner()


def said(done: Result) -> str:
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def prediction_of(case: Case, number: int) -> str:
    """The id of some prediction of a day."""
    table = predictions_table(case.config)
    window = day(number)
    inside = (table.c.event_time >= window.start, table.c.event_time < window.end)
    with case.store.begin() as connection:
        return str(connection.scalar(select(table.c.prediction_id).where(*inside).limit(1)))


def delivered(case: Case, number: int) -> dict[str, int]:
    """The numbers of the batches of a day, by source."""
    with case.store.begin() as connection:
        query = select(batches.c.source, batches.c.seq).where(batches.c.window_start == day(number).start)
        return {row.source: row.seq for row in connection.execute(query)}


def test_a_version_names_every_delivery_that_its_rows_and_labels_came_with_and_no_other(case: Case) -> None:
    found = of_version(case, "1")
    snapshot = found.snapshot
    assert snapshot is not None
    assert found.is_exact
    held = [number for number in range(4) if any(day(number).overlaps(s) for s in (snapshot.train, snapshot.holdout))]
    assert held in ([0, 1], [0, 1, 2])
    brought = {seq for number in held for seq in delivered(case, number).values()}
    assert {item.seq for item in found.deliveries} == brought
    assert all(item.files and item.digest for item in found.deliveries)
    assert found.made_of["cause"] == "test"
    assert found.made_of["code"] == case.settings.code_version
    assert found.made_of["lock digest"] == case.settings.lock_digest
    assert any("promotion by" in sentence for sentence in found.history)


def test_the_page_of_the_signoff_and_the_model_card_lie_with_the_run_of_a_version(case: Case) -> None:
    run_id, client = source_run(case.registry, case.model, "1"), case.registry.client
    assert {item.path for item in client.list_artifacts(run_id, "signoff")} == {CARD, DELIVERIES, REPORT}
    with temporary_folder("card-") as folder:
        card, brought = (
            Path(client.download_artifacts(run_id, name, str(folder))).read_text(encoding="utf-8")
            for name in (CARD, DELIVERIES)
        )
    assert card.startswith(f"# Model card: {case.model} version 1\n")
    found = of_version(case, "1").deliveries
    assert f"<p>{len(found)} deliveries " in brought
    for item in found:
        assert f"<td>{item.seq}</td><td>{item.source}</td>" in brought
        assert all(file in brought for file in (item.digest[:16], *item.files))
    described = client.get_model_version(case.model, "1").description
    assert DELIVERIES in described
    assert "- the gates so far: " in described


def test_a_version_says_what_a_request_looks_like(case: Case) -> None:
    client = case.registry.client
    held = client.get_logged_model(client.get_model_version(case.model, "1").source.removeprefix("models:/"))
    example = download_artifacts(
        artifact_uri=f"{held.artifact_location}/input_example.json", tracking_uri=case.registry.uri
    )
    assert json.loads(Path(example).read_text(encoding="utf-8"))["columns"] == list(case.config.features)


def steps_of(case: Case) -> list[list[Any]]:
    """A delivery in; the rows that taught the champion frozen again, and its run registered again: the same version."""
    version = case.registry.client.get_model_version(case.model, "1")
    (frozen,) = read_snapshots(case.config, store=case.store)
    fitted = FittedRun(
        model=case.model,
        mlflow_run_id=version.run_id,
        model_uri=version.source,
        snapshot_id=frozen.snapshot_id,
        n_train=frozen.n_train,
        cv={},
    )
    return [
        ["monitor", "stage", [case.model, to_record(day(3)), "predictions"]],
        ["monitor", "audit", [case.model, {"of": "stage"}]],
        ["monitor", "publish", [case.model, {"of": "stage"}, {"of": "audit"}]],
        ["retrain", "snapshot", [case.model, asked(case.config, "first", 2).request_id]],
        ["retrain", "register", [case.model, to_record(fitted), {"of": "snapshot"}]],
    ]


def events_in(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """By task and sort of event, each of which there is one of."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.iterdir())]
    by_task = {(event["job"]["name"].rpartition(".")[2], event["eventType"]): event for event in found}
    assert len(by_task) == len(found)
    return by_task


def named(event: dict[str, Any], ends: str) -> set[tuple[str, str]]:
    return {(dataset["namespace"], dataset["name"]) for dataset in event[ends]}


def test_events_name_what_tasks_read_and_wrote_and_no_secret(case: Case, tmp_path: Path) -> None:
    transport = {"type": "file", "log_file_path": str(tmp_path / "events" / "event")}
    (tmp_path / "events").mkdir()
    ran = run_tasks(
        case.settings, tmp_path / "airflow", steps_of(case), AIRFLOW__OPENLINEAGE__TRANSPORT=json.dumps(transport)
    )
    assert ran["states"] == dict.fromkeys(("stage", "audit", "publish", "snapshot", "register"), "success")
    events = events_in(tmp_path / "events")
    assert set(events) == {(task, sort) for task in ran["states"] for sort in ("START", "COMPLETE")}
    assert not any(
        event[ends] for (_, sort), event in events.items() if sort == "START" for ends in ("inputs", "outputs")
    )

    place, returned = make_url(case.settings.require_database_url()), ran["returned"]
    storage = {uri: ("file", case.store.storage.path(uri)) for uri in (
        returned["stage"]["uri"], returned["audit"]["accepted_uri"], returned["audit"]["quarantine_uri"],
        returned["snapshot"]["train_uri"], returned["snapshot"]["holdout_uri"],
    )}  # fmt: skip
    staged, accepted, faulty, train_rows, holdout_rows = storage.values()
    postgres = f"postgres://{place.host}:{place.port}"
    predictions, labels = (
        (postgres, f"{place.database}.perennial_data.{case.model}__{one}") for one in ("predictions", "labels")
    )
    mlflow = f"mlflow://{case.settings.require_mlflow_uri().partition('://')[2]}"
    run = (mlflow, f"runs/{returned['register']['mlflow_run_id']}")

    assert returned["stage"]["files"]
    flow = {
        task: (named(event, "inputs"), named(event, "outputs"))
        for (task, sort), event in events.items()
        if sort == "COMPLETE"
    }
    assert flow == {
        "stage": ({("file", path) for path in returned["stage"]["files"]}, {staged}),
        "audit": ({staged}, {accepted, faulty}),
        "publish": ({accepted}, {predictions}),
        "snapshot": ({predictions, labels}, {train_rows, holdout_rows}),
        "register": ({run}, {(mlflow, f"models/{case.model}/versions/1")}),
    }
    text = json.dumps(list(events.values()))
    for secret in (place.password, SECRET, quote(SECRET, safe=""), os.environ["MLFLOW_TRACKING_PASSWORD"]):
        assert secret
        assert secret not in text


def test_without_a_transport_a_task_imports_nothing_for_it(case: Case, tmp_path: Path) -> None:
    ran = run_tasks(case.settings, tmp_path / "airflow", steps_of(case)[:1])
    assert ran["states"] == {"stage": "success"}
    found = {name for name in ran["modules"] if "openlineage" in name or name.startswith("perennial.provenance")}
    assert "airflow.providers.openlineage.plugins.openlineage" in found  # it was asked, and said that it has none
    assert [name for name in found if name.startswith(("openlineage", "perennial.provenance"))] == []
    assert "airflow.providers.openlineage.plugins.listener" not in found


def test_a_file_names_the_versions_of_its_rows_and_whether_one_of_them_serves(case: Case) -> None:
    first = delivered(case, 0)["labels"]
    (by_number,) = of_delivery(case, str(first))
    assert [used.versions for used in by_number.used_by] == [("1",)]
    assert by_number.serving == ("1",)
    file = by_number.delivery.files[0]
    assert {first} == {item.delivery.seq for item in of_delivery(case, file)}
    assert first in {item.delivery.seq for item in of_delivery(case, Path(file).name)}
    assert of_delivery(case, by_number.delivery.batch_id[:12]) == (by_number,)
    (later,) = of_delivery(case, str(delivered(case, 3)["predictions"]))
    assert later.used_by == () and later.serving == ()


@pytest.mark.parametrize("named", ["", "nowhere.jsonl", "999999999", "%", "é" * 9])
def test_a_delivery_that_is_not_there_is_said_to_be_none(case: Case, named: str) -> None:
    with pytest.raises(PermanentError, match="no delivery has"):
        of_delivery(case, named)


def test_a_prediction_leads_to_its_files_and_to_the_version_that_answered(case: Case) -> None:
    early, late = (of_prediction(case, prediction_of(case, number)) for number in (0, 3))
    assert (early.rows[0].model_version, early.scored_by) == ("legacy", None)
    assert {item.seq for item in early.deliveries} == set(delivered(case, 0).values())
    assert early.labels[0].batch_seq == delivered(case, 0)["labels"]
    assert late.scored_by is not None
    assert late.scored_by.version == "1"
    with pytest.raises(PermanentError, match="no prediction 'x' is published"):
        of_prediction(case, "x")


def test_a_snapshot_of_before_deliveries_were_kept_names_those_of_its_stretches(case: Case) -> None:
    exact = of_version(case, "1")
    (snapshot,) = read_snapshots(case.config, store=case.store)
    record = to_record(snapshot)
    old = {key: value for key, value in record.items() if key != "batches"}
    try:
        write(case, old)
        assert from_record(Snapshot, old).batches == ()
        found = of_version(case, "1")
    finally:
        write(case, record)
    assert not found.is_exact
    assert found.deliveries == exact.deliveries


def write(case: Case, record: dict[str, object]) -> None:
    with case.store.begin() as connection:
        connection.execute(update(snapshots).values(record=record))


def test_a_version_is_made_again_with_equal_metrics_and_answers_whatever_the_recipe_says_today(
    case: Case, ask: CliRunner
) -> None:
    recipe = case.settings.models_dir / case.model / "recipe.py"
    text = recipe.read_text("utf-8")
    recipe.write_text(text.replace("LogisticRegression(C=c", "LogisticRegression(C=c / 9"), encoding="utf-8")
    try:
        found = json.loads(said(ask.invoke(app, ["reproduce", case.model, "1", "--json"])))
    finally:
        recipe.write_text(text, encoding="utf-8")
    checks = {check["name"]: check for check in found["checks"]}
    assert found["is_same"]
    assert [name for name, check in checks.items() if not check["is_same"]] in ([], ["code", "lock file"])
    assert "largest score difference 0" in checks["answers"]["detail"]
    assert found["cpu_s"] > 0 and found["cpu_s_then"] > 0


def test_what_differs_is_named_and_ends_the_command_with_1(case: Case, ask: CliRunner) -> None:
    run_id = source_run(case.registry, case.model, "1")
    then = case.registry.client.get_run(run_id).data.metrics["cv_accuracy_mean"]
    case.registry.client.log_metric(run_id, "cv_accuracy_mean", then - 0.1, step=9)
    try:
        done = ask.invoke(app, ["reproduce", case.model, "1"])
    finally:
        case.registry.client.log_metric(run_id, "cv_accuracy_mean", then, step=10)
    assert done.exit_code == 1, done.output
    assert "cv_accuracy_mean then" in done.output
    assert "NOT made again" in done.output


def test_rows_that_were_changed_make_nothing_again(case: Case) -> None:
    (snapshot,) = read_snapshots(case.config, store=case.store)
    file = Path(case.store.storage.path(snapshot.train_uri))
    kept = file.read_bytes()
    try:
        file.write_bytes(kept + b"\n")
        with pytest.raises(IntegrityError, match="changed after they were frozen"):
            reproduce(case, "1")
    finally:
        file.write_bytes(kept)


def test_the_commands_say_it_in_words(case: Case, ask: CliRunner) -> None:
    prediction = prediction_of(case, 3)
    version = said(ask.invoke(app, ["lineage", "version", case.model, "1"]))
    assert f"version 1 of {case.model}" in version and "fitted on" in version and "deliveries:" in version
    batch = said(ask.invoke(app, ["lineage", "batch", case.model, str(delivered(case, 0)["predictions"])]))
    assert "serving, or trusted: version 1" in batch
    assert "by version 1" in said(ask.invoke(app, ["lineage", "prediction", case.model, prediction]))
    assert json.loads(said(ask.invoke(app, ["lineage", "prediction", case.model, prediction, "--json"])))["rows"]
    gone = ask.invoke(app, ["lineage", "version", case.model, "7"])
    assert gone.exit_code == 1
    assert "MLflow holds no version 7" in " ".join(gone.output.split())


def test_an_answer_is_explained_by_parts_that_add_up_to_it(case: Case) -> None:
    found = explain(case, prediction_of(case, 3), version="1", n_pairs=40)
    assert found.version == "1"
    assert found.of_class in case.config.label.classes
    assert {part.feature for part in found.parts} == set(case.config.features)
    assert found.base + sum(part.added for part in found.parts) == pytest.approx(found.answer, abs=1e-9)
    sizes = [abs(part.added) for part in found.parts]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 10 * max(found.parts[-1].error, 1e-6)
    assert 0 < found.n_others <= 200
    again = explain(case, prediction_of(case, 3), version="1", n_pairs=40)
    assert again == found


def test_the_command_explains_the_version_that_answered_and_says_what_it_can_not(case: Case, ask: CliRunner) -> None:
    model = case.model
    told = said(ask.invoke(app, ["explain", model, prediction_of(case, 3), "--pairs", "20"]))
    assert f"version 1 of {model} answers P(" in told
    assert "logged was" in told  # the logs of the test are made by another model
    assert "its mean answer for" in told
    as_json = json.loads(ask.invoke(app, ["explain", model, prediction_of(case, 3), "--pairs", "20", "--json"]).output)
    assert len(as_json["parts"]) == len(case.config.features)
    before = prediction_of(case, 0)  # nobody of the registry answered then
    for arguments, reason in (
        ([model, "no such id"], "no prediction 'no such id' is published"),
        ([model, before], "MLflow holds no version 'legacy'"),
        ([model, before, "--version", "99"], "MLflow holds no version '99'"),
    ):
        done = ask.invoke(app, ["explain", *arguments])
        assert done.exit_code == 1
        assert reason in " ".join(done.output.split())
    assert f"version 1 of {model}" in said(ask.invoke(app, ["explain", model, before, "--version", "1"]))


def test_a_model_whose_files_were_changed_explains_nothing(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(case.state()), "digest_of", lambda *_: "0" * 64)
    with pytest.raises(IntegrityError, match="digest"):
        explain(case, prediction_of(case, 3))


def test_a_version_whose_reference_holds_no_row_that_it_was_fitted_on_explains_nothing(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = load_reference(case.registry, case.model, "1")
    assert logged is not None
    held_out = logged.filter(pc.equal(logged["part"], "holdout"))
    monkeypatch.setattr("perennial.registry.reference.load_reference", lambda *_: held_out)
    with pytest.raises(PermanentError, match="its reference holds no row that it was fitted on"):
        explain(case, prediction_of(case, 3), version="1")


def wrote(case: Case, kind: LedgerKind, version: str, number: int, *, reason: str = "test", **payload: object) -> str:
    """An entry of the policy as of the end of a day; its id."""
    entry = LedgerEntry(
        entry_id=f"{case.model}-{kind}-{version}-{number}",
        model=case.model,
        kind=kind,
        at=day(number).end,
        actor="policy",
        reason=reason,
        version=version,
        payload=dict(payload),
    )
    ledger.append(case.store, entry)
    return entry.entry_id


def test_a_rollback_is_told_with_what_was_measured_and_the_data_that_only_that_version_was_made_of(
    case: Case, ask: CliRunner
) -> None:
    model, later = case.model, case.snapshot(case.ask(asked(case.config, "later", 3)))
    with pytest.raises(PermanentError, match="no version was ever taken back"):
        taken_back(case)
    wrote(case, "bake", "1", 4, outcome="passed", windows=[])
    second = make_version(case.config, case.registry, "two")
    case.registry.client.set_tag(source_run(case.registry, model, second), SNAPSHOT_TAG, later.snapshot_id)
    flag = Flag(name="flag/label_rate", window=day(3), detail="outcomes upside down")
    signoff = replace(signed(case.config, case.registry, second, "1", 6), flags=(flag,), review="manual")
    answer = approval(signoff, reviewer="ada", reason="seen worse")
    released(case.config, signoff, store=case.store, registry=case.registry, review=answer)
    lines = [{"window": day(7).key, "verdict": "failed", "detail": "0.51, at least 0.7"}]
    together = "bake failed: bake/accuracy 0.6 (0.55 to 0.65) against 0.7 over 2 windows together"
    wrote(case, "bake", second, 8, reason=together, outcome="failed", windows=lines)
    decision = Decision(
        decision_id="d", model=model, window=day(8), action="rollback", reasons=("the bake failed",), champion=second,
        bake="failed",
    )  # fmt: skip
    signal = Signal(
        model=model, window=day(7), as_of=day(8).end, name="bake/accuracy", role="alert", status="breached",
        value=0.51, threshold=0.7, version=second, interval=around(0.51, 0.02, 100, 12, 0.95),
    )  # fmt: skip
    unknown = replace(signal, name="bake/accuracy_vs_stable", status="unknown", value=None, interval=None)
    facts = Facts(window=day(8), state=case.state(), champion_alias=second, signals=(signal, unknown))
    ledger.append(case.store, entry_of(decision, facts, config=case.config))
    case.roll_back(actor="policy", reason="the bake failed", at=day(8).end, decision_id=decision.decision_id)

    found = keep(case)
    assert found == keep(case, second) == taken_back(case)
    assert (found.version, found.back, found.by, found.approved_by) == (second, "1", "policy", "ada")
    breach = Breach(name=signal.name, window=day(7).key, value=0.51, threshold=0.7, detail="", interval=signal.interval)
    assert (found.signals, found.flags, found.hindsight) == ((breach,), (flag,), None)
    assert found.bake == (together, f"{day(7).key}: failed, 0.51, at least 0.7")
    assert found.deliveries is not None
    assert {item.seq for item in found.deliveries} == (
        {item.seq for item in of_version(case, second).deliveries}
        - {item.seq for item in of_version(case, "1").deliveries}
    )
    assert {item.window for item in found.deliveries} == {day(3)}

    page = case.registry.client.download_artifacts(
        source_run(case.registry, model, second), f"rollback/{found.entry_id[:12]}.html"
    )
    spoken = said(ask.invoke(app, ["lineage", "rollback", model]))
    for text in (Path(page).read_text(encoding="utf-8"), spoken):
        assert f"policy took version {second} back to 1: the bake failed. It had been approved by ada;" in text
        for part in ("bake/accuracy", "outcomes upside down", "0.51, at least 0.7"):
            assert part in text
    kept = Path(page).read_text(encoding="utf-8")
    assert "part-0.jsonl" in kept
    assert together in kept
    other = ask.invoke(app, ["lineage", "rollback", model, "1"])
    assert other.exit_code == 1
    assert "version 1 was not taken back" in " ".join(other.output.split())
