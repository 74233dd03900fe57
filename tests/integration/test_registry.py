import os
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import mlflow.sklearn
import numpy as np
import pytest
from mlflow.entities import LoggedModelOutput
from sklearn.linear_model import Ridge
from sklearn.preprocessing import FunctionTransformer

from conftest import free_port
from lossy import losing_files
from perennial.errors import IntegrityError, PermanentError, RegistryRefused, RegistryUnavailable
from perennial.registry import (
    Registry,
    alias_version,
    artifact_digest,
    delete_alias,
    load_importance,
    load_model,
    load_reference,
    set_alias,
)
from perennial.registry.runs import RunKey, find_runs, finish_run, finished_run, log_values, start_run
from perennial.registry.versions import (
    describe_version,
    get_version,
    register_version,
    set_version_tags,
    version_tags,
)


@pytest.fixture
def registry(mlflow_uri: str) -> Registry:
    return Registry(mlflow_uri)


@pytest.fixture
def name() -> str:
    return f"m_{uuid4().hex[:10]}"


def logged(registry: Registry, name: str, model: object, folder: Path, **how: object) -> tuple[str, str]:
    """An MLflow run with a model that anyone might have logged: (run id, model URI)."""
    run_id = start_run(registry, RunKey(model=name, snapshot_id=uuid4().hex, request="r"), tags={})
    run = registry.client.get_run(run_id)
    made = registry.client.create_logged_model(run.info.experiment_id, name=name, source_run_id=run_id)
    with warnings.catch_warnings():  # MLflow warns of its own type hints, and of pickles
        warnings.simplefilter("ignore")
        mlflow.sklearn.save_model(model, str(folder / "model"), pip_requirements=["scikit-learn"], **how)
    registry.client.log_model_artifacts(made.model_id, str(folder / "model"))
    registry.client.finalize_logged_model(made.model_id, "READY")
    registry.client.log_outputs(run_id, [LoggedModelOutput(made.model_id, 0)])
    return run_id, f"models:/{made.model_id}"


@pytest.fixture
def ridge(registry: Registry, name: str, tmp_path: Path) -> str:
    """A registered version of a small model."""
    model = Ridge().fit(np.eye(3), np.arange(3.0))
    run_id, uri = logged(registry, name, model, tmp_path, serialization_format="skops")
    version = register_version(registry, name, model_uri=uri, run_id=run_id, tags={"a": "b"}, description="first")
    assert register_version(registry, name, model_uri=uri, run_id=run_id, tags={}) == version
    return version


def test_aliases_are_absent_set_moved_and_deleted(registry: Registry, name: str, ridge: str) -> None:
    assert alias_version(registry, f"{name}_unknown", "champion") is None
    assert alias_version(registry, name, "champion") is None
    set_alias(registry, name, "champion", ridge)
    assert alias_version(registry, name, "champion") == ridge
    delete_alias(registry, name, "champion")
    delete_alias(registry, name, "champion")
    assert alias_version(registry, name, "champion") is None


def test_an_alias_of_a_version_that_is_not_there_is_refused(registry: Registry, name: str, ridge: str) -> None:
    with pytest.raises(PermanentError, match="99"):
        set_alias(registry, name, "champion", "99")


def test_tags_and_description_of_a_version(registry: Registry, name: str, ridge: str) -> None:
    set_version_tags(registry, name, ridge, {"signoff": "pending"})
    describe_version(registry, name, ridge, "| gate | passed |")
    assert version_tags(registry, name, ridge) == {"a": "b", "signoff": "pending"}
    assert get_version(registry, name, ridge).description == "| gate | passed |"


def test_a_version_loads_with_its_digest_and_not_with_another(registry: Registry, name: str, ridge: str) -> None:
    digest = artifact_digest(registry, name, ridge)
    model = load_model(registry, name, ridge, trusted_types=(), expected_digest=digest)
    assert model.predict(np.eye(3)).shape == (3,)
    with pytest.raises(IntegrityError, match="not 0000"):
        load_model(registry, name, ridge, trusted_types=(), expected_digest="0" * 64)


def test_files_changed_after_registration_are_noticed(
    registry: Registry, name: str, ridge: str, tmp_path: Path
) -> None:
    before = artifact_digest(registry, name, ridge)
    (tmp_path / "added.txt").write_text("more", encoding="utf-8")
    model_id = get_version(registry, name, ridge).source.removeprefix("models:/")
    registry.client.log_model_artifacts(model_id, str(tmp_path))
    with pytest.raises(IntegrityError, match="were changed after"):
        load_model(registry, name, ridge, trusted_types=(), expected_digest=before)


def test_a_version_without_reference_says_so(registry: Registry, name: str, ridge: str) -> None:
    assert load_reference(registry, name, ridge) is None
    assert load_importance(registry, name, ridge) is None


def test_types_trusted_by_the_artifact_alone_are_refused(registry: Registry, name: str, tmp_path: Path) -> None:
    model = FunctionTransformer(os.getcwd)
    run_id, uri = logged(
        registry, name, model, tmp_path, serialization_format="skops", skops_trusted_types=["posix.getcwd"],
        pyfunc_predict_fn="transform",
    )  # fmt: skip
    version = register_version(registry, name, model_uri=uri, run_id=run_id, tags={})
    with pytest.raises(IntegrityError, match=r"posix\.getcwd"):
        load_model(registry, name, version, trusted_types=())
    assert load_model(registry, name, version, trusted_types=["posix.getcwd"])


class RunsWhenUnpickled(Ridge):
    """Writes a file when a pickle of it is loaded."""

    trace = ""

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path(self.trace),)


def test_a_pickle_is_never_loaded(registry: Registry, name: str, tmp_path: Path) -> None:
    model = RunsWhenUnpickled()
    model.trace = str(tmp_path / "ran")
    run_id, uri = logged(registry, name, model, tmp_path, serialization_format="pickle")
    version = register_version(registry, name, model_uri=uri, run_id=run_id, tags={})
    with pytest.raises(IntegrityError, match=r"no model\.skops"):
        load_model(registry, name, version, trusted_types=())
    assert not (tmp_path / "ran").exists()


def test_a_run_that_was_cut_off_gives_way_to_the_next_try(registry: Registry, name: str) -> None:
    key = RunKey(model=name, snapshot_id="s1", request="it's a request")
    first = start_run(registry, key, tags={})
    second = start_run(registry, key, tags={})
    assert finished_run(registry, key) is None
    finish_run(registry, second)
    found = finished_run(registry, key)
    assert found is not None
    assert found.info.run_id == second
    assert {run.info.run_id: run.info.status for run in find_runs(registry, key)} == {
        first: "FAILED",
        second: "FINISHED",
    }
    assert finished_run(registry, RunKey(model=name, snapshot_id="s1", request="another")) is None


def test_figures_of_a_model_that_is_judged_again_are_logged_and_the_same_ones_only_once(
    registry: Registry, name: str, tmp_path: Path
) -> None:
    run_id, uri = logged(
        registry, name, Ridge().fit([[0.0], [1.0]], [0.0, 1.0]), tmp_path, serialization_format="skops"
    )
    for value in (0.0, 240.0, 240.0, 0.0, 240.0):
        found = {"paired_rows": value, "holdout_rows": 300.0}
        log_values(registry, run_id, metrics=found, tags={"by": "test"}, at_ms=1, model_uri=uri)
        assert registry.client.get_run(run_id).data.metrics == found
    history = registry.client.get_metric_history(run_id, "paired_rows")
    assert [item.value for item in sorted(history, key=lambda item: item.step)] == [0.0, 240.0, 0.0, 240.0]


def test_a_server_that_is_gone_is_unavailable_within_seconds() -> None:
    started = time.monotonic()
    with pytest.raises(RegistryUnavailable, match=r"reading alias champion of m"):
        alias_version(Registry(f"http://127.0.0.1:{free_port()}"), "m", "champion")
    assert time.monotonic() - started < 10


@contextmanager
def answering(status: int) -> Iterator[str]:
    """An HTTP server that gives every request the same answer."""

    class Same(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"no")

        do_GET = do_POST = _answer  # noqa: N815 - the names that http.server calls

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Same)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_server_that_fails_is_unavailable(status: int) -> None:
    with answering(status) as uri, pytest.raises(RegistryUnavailable):
        alias_version(Registry(uri), "m", "champion")


def test_files_that_are_gone_are_not_asked_for_again(
    registry: Registry, mlflow_uri: str, name: str, tmp_path: Path
) -> None:
    run_id, uri = logged(registry, name, Ridge().fit([[0.0], [1.0]], [0.0, 1.0]), tmp_path)
    version = register_version(registry, name, model_uri=uri, run_id=run_id, tags={})
    with losing_files(mlflow_uri, "404") as lossy, pytest.raises(PermanentError, match="404 Client Error"):
        artifact_digest(Registry(lossy), name, version)


@pytest.mark.parametrize("status", [401, 403])
def test_a_server_that_refuses_is_not_tried_again(status: int) -> None:
    with (
        answering(status) as uri,
        pytest.raises(RegistryRefused, match=rf"\({status}\), reading alias"),
    ):
        alias_version(Registry(uri), "m", "champion")
