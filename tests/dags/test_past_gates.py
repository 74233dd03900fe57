"""Two people's word past failed gates without a scheduler: what is heard, and what becomes of it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from conftest import free_port
from perennial.config import ModelConfig
from perennial.errors import RegistryRefused, TransientError
from perennial.registry import Registry
from perennial.store import Store
from servers import logged_in
from stack.environment import PIPELINE

PATIENCE_S, LONG_S = 1.0, 30.0


@pytest.fixture
def client(
    wine: ModelConfig, store: Store, database_url: str, mlflow_uri: str, home: Path, models_dir: Path, monkeypatch
) -> Any:
    """MLflow, with version 1 of a declared model and of another one, both of which failed their gates."""
    for name, value in {
        "PERENNIAL_DATABASE_URL": database_url,
        "PERENNIAL_HOME": str(home),
        "PERENNIAL_MODELS_DIR": str(models_dir),
        "MLFLOW_TRACKING_URI": mlflow_uri,
    }.items():
        monkeypatch.setenv(name, value)
    client = Registry(mlflow_uri).client
    run = client.create_run(client.create_experiment(wine.model))
    for name in (wine.model, f"{wine.model}_other"):
        client.create_registered_model(name)
        client.create_model_version(name, f"{run.info.artifact_uri}/model", run_id=run.info.run_id)
        for key, value in {"version.gates": "failed", "signoff": "failed"}.items():
            client.set_model_version_tag(name, "1", key, value)
    return client


def heard(within_s: float = PATIENCE_S, for_s: float = 3600.0) -> dict[str, Any] | None:
    """What the trigger says while it is watched, or None."""
    from airflow.sdk.module_loading import import_string

    from perennial.orchestration.past_gates import PastGatesTrigger

    async def watch() -> dict[str, Any] | None:
        path, arguments = PastGatesTrigger(0.05, for_s).serialize()
        events = import_string(path)(**arguments).run()
        try:
            return (await asyncio.wait_for(anext(events), within_s)).payload
        except TimeoutError:
            return None
        finally:
            await events.aclose()

    return asyncio.run(watch())


def test_the_word_about_a_refused_version_of_a_declared_model_is_heard_and_nothing_else(
    client: Any, wine: ModelConfig
) -> None:
    client.set_model_version_tag(wine.model, "1", "signoff", "approved")
    client.set_model_version_tag(f"{wine.model}_other", "1", "signoff", "past gates")
    assert heard() is None
    client.set_model_version_tag(wine.model, "1", "signoff", "Past gate")
    with logged_in(PIPELINE):
        assert heard(LONG_S) == {"found": ((wine.model, "1"),)}
    client.set_model_version_tag(wine.model, "1", "version.gates", "passed")
    assert heard() is None, "its own review answers what passed"


def test_a_silent_server_is_asked_again_and_a_day_is_over_without_a_word(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert heard(LONG_S, for_s=0.1) == {"found": ()}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    assert heard() is None


def test_what_is_heard_is_judged_and_answered_on_the_version(client: Any, wine: ModelConfig, models_dir: Path) -> None:
    from perennial.orchestration.past_gates import PastGatesOperator

    task = PastGatesOperator(task_id="past_gates")
    assert task.resume({}, {"found": []}) == 0
    client.set_model_version_tag(wine.model, "1", "signoff", "past gates")
    assert task.resume({}, {"found": [[wine.model, "1"]]}) == 0
    tags = client.get_model_version(wine.model, "1").tags
    assert "the ledger holds no signoff of a version 1" in tags["signoff.note"]
    assert tags["signoff"] == "failed"
    (models_dir / wine.model / "model.yaml").write_text("model: [", encoding="utf-8")
    with pytest.raises(TransientError, match=f"model.yaml of {wine.model} is wrong"):
        task.resume({}, {"found": [[wine.model, "1"]]})


def test_a_refused_login_is_red_after_pauses_and_no_word(client: Any) -> None:
    from perennial.orchestration.past_gates import PastGatesOperator

    with logged_in(PIPELINE, "hunter2-is-wrong"):
        told = heard(LONG_S)
    assert told is not None
    assert "refuses the login of 'pipeline' (401), asked for versions past their gates" in told["refused"]
    with pytest.raises(RegistryRefused, match="refuses the login"):
        PastGatesOperator(task_id="past_gates").resume({}, told)


def test_watching_imports_neither_mlflow_nor_pandas() -> None:
    import subprocess
    import sys

    from dag_files import ROOT

    script = "import sys; from perennial.orchestration.past_gates import PastGatesTrigger; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(ROOT / "include"), "AIRFLOW_HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"mlflow", "pandas", "pyarrow", "sklearn"} & set(done.stdout.split())
