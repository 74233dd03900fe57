"""The human gate without a scheduler: what the trigger waits for, and what the deadline answers."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import insert, text

from conftest import free_port
from logs import day
from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import Gate, Signoff, Window, to_record
from perennial.registry import Registry
from perennial.signoff.review import ENTRY_TAG
from perennial.store import Store
from perennial.store.schema import ledger as ledger_table
from servers import logged_in
from stack.environment import ADMIN, PIPELINE

PATIENCE_S, LONG_S = 1.0, 30.0


@pytest.fixture
def signoff(
    wine: ModelConfig, store: Store, database_url: str, mlflow_uri: str, home: Path, models_dir: Path, monkeypatch
) -> Signoff:
    """A version that passed its gates two hours ago and waits for a reviewer; its model's deadline is one hour."""
    for name, value in {
        "PERENNIAL_DATABASE_URL": database_url,
        "PERENNIAL_HOME": str(home),
        "PERENNIAL_MODELS_DIR": str(models_dir),
        "MLFLOW_TRACKING_URI": mlflow_uri,
    }.items():
        monkeypatch.setenv(name, value)
    client = Registry(mlflow_uri).client
    run = client.create_run(client.create_experiment(wine.model))
    client.create_registered_model(wine.model)
    source = f"{run.info.artifact_uri}/model"
    version = client.create_model_version(wine.model, source, run_id=run.info.run_id).version
    made = Signoff(
        model=wine.model,
        version=str(version),
        artifact_digest="0" * 64,
        champion_seen=None,
        gates=(Gate(name="metric/accuracy", passed=True, value=0.9, bound=0.7, detail="accuracy 0.9"),),
        passed=True,
        review="manual",
        as_of=day(6).end,
        train=Window(start=day(0).start, end=day(3).end),
        holdout=Window(start=day(4).start, end=day(5).end),
    )
    entry = {
        "entry_id": made.signoff_id,
        "model": made.model,
        "kind": "signoff",
        "at": made.as_of,
        "actor": "policy",
        "reason": "all gates passed",
        "version": made.version,
        "payload": {"signoff": to_record(made)},
        "recorded_at": datetime.now(UTC) - timedelta(hours=2),
        "previous_digest": "",
        "digest": "0" * 64,
    }
    with store.begin() as connection:
        # past the trigger, which would write down when it really was
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(insert(ledger_table).values(entry))
    client.set_model_version_tag(made.model, made.version, ENTRY_TAG, entry["entry_id"])
    client.set_model_version_tag(made.model, made.version, "signoff", "pending")
    return made


def fires(signoff: Signoff, within_s: float = PATIENCE_S, **reviewers: object) -> str | None:
    """What the trigger says while it is watched, or None; whoever expects something may wait for it."""
    from airflow.sdk.module_loading import import_string

    from perennial.orchestration.review import ReviewTrigger

    async def watch() -> str | None:
        path, arguments = ReviewTrigger(signoff.model, signoff.version, 0.05, **reviewers).serialize()
        events = import_string(path)(**arguments).run()
        try:
            event = await asyncio.wait_for(anext(events), within_s)
        except TimeoutError:
            return None
        finally:
            await events.aclose()
        return event.payload.get("seen") or event.payload["refused"]

    return asyncio.run(watch())


def is_told(client: Any, signoff: Signoff, words: str, **reviewers: object) -> bool:
    """Whether the trigger, which does not fire, tells the reviewer so on the version; a busy machine takes a while."""
    for _ in range(int(LONG_S / PATIENCE_S)):
        assert fires(signoff, **reviewers) is None
        if words in client.get_model_version(signoff.model, signoff.version).tags.get("signoff.note", ""):
            return True
    return False


@pytest.mark.parametrize(("tag", "seen"), [("approved", "approved"), (" Rejected", "rejected"), ("aproved", None)])
def test_the_trigger_fires_on_an_answer_and_on_nothing_else(signoff: Signoff, mlflow_uri: str, tag, seen) -> None:
    client = Registry(mlflow_uri).client
    client.set_model_version_tag(signoff.model, signoff.version, "reviewer", "ada")
    client.set_model_version_tag(signoff.model, signoff.version, "signoff", tag)
    assert fires(signoff, LONG_S if seen else PATIENCE_S) == seen


def test_the_trigger_waits_on_for_people_who_count_and_says_what_is_missing(signoff: Signoff, mlflow_uri: str) -> None:
    """Fired on an approval that does not count, the sensor would only defer again, as fast as it can."""
    client = Registry(mlflow_uri).client

    def tag(key: str, value: str) -> None:
        client.set_model_version_tag(signoff.model, signoff.version, key, value)

    tag("signoff", "approved")
    assert is_told(client, signoff, "tag reviewer is empty")
    tag("reviewer", "policy")
    assert is_told(client, signoff, "is not a person's name")
    tag("reviewer", "ada")
    assert is_told(client, signoff, "somebody else has to approve it", not_by="Ada")
    assert is_told(client, signoff, "tag second_reviewer is empty", people=2)
    tag("second_reviewer", "bob")
    assert fires(signoff, LONG_S, people=2) == "approved"


def test_the_trigger_waits_on_when_mlflow_is_silent(signoff: Signoff, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    assert fires(signoff) is None


def test_the_trigger_fires_when_the_version_is_gone(signoff: Signoff, mlflow_uri: str) -> None:
    with logged_in(ADMIN):
        Registry(mlflow_uri).client.delete_model_version(signoff.model, signoff.version)
    assert "not found" in str(fires(signoff, LONG_S))


WRONG = "hunter2-is-wrong"


def test_a_refused_login_ends_the_wait_red_and_is_no_answer(signoff: Signoff, store: Store) -> None:
    """Neither "no tag yet", nor "the version is gone", nor, at the deadline, a rejection."""
    from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR, TriggerFailureReason
    from airflow.sdk.exceptions import AirflowFailException

    from perennial.orchestration import errors
    from perennial.orchestration.review import ReviewSensor

    pushed: list[tuple[str, str]] = []
    context = {"ti": SimpleNamespace(xcom_push=lambda *said: pushed.append(said))}
    sensor = ReviewSensor(task_id="review", model=signoff.model, signoff=signoff.signoff_id)
    with pytest.MonkeyPatch.context() as patched, logged_in(PIPELINE, WRONG):
        patched.setattr(errors, "get_current_context", lambda: context)
        told = str(fires(signoff, LONG_S))
        assert "refuses the login of 'pipeline' (401), asked for" in told
        with pytest.raises(AirflowFailException, match="refuses the login"):
            sensor.resume(context, {"refused": told})
        with pytest.raises(AirflowFailException, match=r"refuses the login of 'pipeline' \(401\)"):
            timeout = {"error": TriggerFailureReason.TRIGGER_TIMEOUT}
            sensor.resume_execution(TRIGGER_FAIL_REPR, timeout, context)
    assert [name for name, _ in pushed] == ["failure", "failure"]
    assert WRONG not in f"{told}{pushed}"
    assert ledger.entries(store, signoff.model, kinds=["review"]) == ()


def test_the_deadline_rejects_and_the_ledger_says_so(signoff: Signoff, store: Store) -> None:
    from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR, TriggerFailureReason

    from perennial.orchestration.review import ReviewSensor

    sensor = ReviewSensor(task_id="review", model=signoff.model, signoff=signoff.signoff_id)
    timeout = {"error": TriggerFailureReason.TRIGGER_TIMEOUT}
    review = sensor.resume_execution(TRIGGER_FAIL_REPR, timeout, {})
    assert (review["verdict"], review["reviewer"]) == ("rejected", "deadline")
    assert ledger.entries(store, signoff.model, kinds=["review"])[-1].actor == "deadline"


def test_watching_imports_neither_mlflow_nor_pandas() -> None:
    import subprocess
    import sys

    from dag_files import ROOT

    script = "import sys; from perennial.orchestration.review import ReviewTrigger; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(ROOT / "include"), "AIRFLOW_HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"mlflow", "pandas", "pyarrow", "sklearn"} & set(done.stdout.split())
