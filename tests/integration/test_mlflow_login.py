"""MLflow asks who one is: what each account may do there, and that a refusal is an error and never an answer."""

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from typer.testing import CliRunner

from conftest import unique_model
from perennial.cli import app
from perennial.config import ModelConfig
from perennial.errors import ConfigError, PermanentError, RegistryRefused
from perennial.monitoring.reference import fetch_importance, fetch_reference
from perennial.registry import Registry, alias_version, artifact_digest, delete_alias, set_alias
from perennial.registry.runs import RunKey, ensure_experiment, find_runs, log_values, tags_of_run
from perennial.registry.versions import (
    find_version,
    find_version_tags,
    get_version,
    set_version_tags,
    version_exists,
    version_tags,
)
from perennial.settings import Settings
from perennial.signoff.answering.polling import Watched
from perennial.store import Store
from releases import make_version
from servers import logged_in
from stack.environment import ADMIN, PIPELINE, REVIEWER
from stack.mlflow_accounts import RIGHTS, make_accounts
from stack.serving.services import SERVING

pytestmark = pytest.mark.usefixtures("as_pipeline")

WRONG = "hunter2-is-wrong"
API = "/api/2.0/mlflow"
EVE = {"password": "eve-eve-eve-eve"}


@pytest.fixture
def registry(mlflow_uri: str) -> Registry:
    return Registry(mlflow_uri)


@pytest.fixture
def password(mlflow_uri: str) -> str:
    return os.environ["MLFLOW_TRACKING_PASSWORD"]


@pytest.fixture
def version(wine: ModelConfig, registry: Registry) -> str:
    """A version of ``wine`` with the alias ``champion``, made by the pipeline."""
    made = make_version(wine, registry, "a model")
    set_alias(registry, wine.model, "champion", made)
    return made


Browser = Callable[[str | None], httpx.Client]


@pytest.fixture
def browser(mlflow_uri: str, password: str) -> Iterator[Browser]:
    """A client of MLflow's REST API as one account; None is nobody."""
    clients = []

    def logged(account: str | None) -> httpx.Client:
        clients.append(httpx.Client(base_url=mlflow_uri, auth=(account, password) if account else None, timeout=60))
        return clients[-1]

    yield logged
    for client in clients:
        client.close()


def run_of(registry: Registry, model: str, version: str) -> tuple[str, str]:
    """The run that made a version, and its experiment."""
    run = registry.client.get_run(registry.client.get_model_version(model, version).run_id)
    return run.info.run_id, run.info.experiment_id


def test_nobody_gets_anything_but_whether_the_server_lives(
    browser: Browser, wine: ModelConfig, registry: Registry, version: str
) -> None:
    run_id, experiment = run_of(registry, wine.model, version)
    nobody = browser(None)
    assert nobody.get("/health").status_code == 200
    query = {"query": '{ mlflowGetExperiment(input: {experimentId: "' + experiment + '"}) { experiment { name } } }'}
    for answer in (
        nobody.get("/"),
        nobody.get("/version"),
        nobody.get("/metrics"),
        nobody.get(f"{API}/model-versions/get", params={"name": wine.model, "version": version}),
        nobody.get(f"{API}/runs/get", params={"run_id": run_id}),
        nobody.get(f"{API}-artifacts/artifacts", params={"path": experiment}),
        nobody.get(f"{API}-artifacts/artifacts/{experiment}/models/m/artifacts/model.skops"),
        nobody.put(f"{API}-artifacts/artifacts/{experiment}/x/artifacts/x", content=b"x"),
        nobody.get("/get-artifact", params={"run_id": run_id, "path": "x"}),
        nobody.post("/graphql", json=query),
        nobody.post(f"{API}/runs/search", json={"experiment_ids": [experiment]}),
        nobody.post(f"{API}/users/create", json={"username": "eve", **EVE}),
    ):
        assert answer.status_code == 401, answer.url


def asked(account: httpx.Client, model: str, version: str, run_id: str, experiment: str) -> dict[str, int]:
    """What MLflow answers an account that tries everything, the harmless first."""
    named = {"name": model, "version": version}
    note = {"key": "reviewer", "value": "ada"}

    def post(path: str, **body: object) -> int:
        return account.post(f"{API}/{path}", json=body).status_code

    def get(path: str, **query: str) -> int:
        return account.get(f"{API}/{path}", params=query).status_code

    def delete(path: str, **body: object) -> int:
        return account.request("DELETE", f"{API}/{path}", json=body).status_code

    return {
        "see the page": account.get("/").status_code,
        "see a version": get("model-versions/get", **named),
        "see a run": get("runs/get", run_id=run_id),
        "list files": get("artifacts/list", run_id=run_id),
        "tag a version": post("model-versions/set-tag", **named, **note),
        "move an alias": post("registered-models/alias", **named, alias="champion"),
        "take an alias away": delete("registered-models/alias", name=model, alias="champion"),
        "tag a run": post("runs/set-tag", run_id=run_id, **note),
        "write a file": account.put(
            f"{API}-artifacts/artifacts/{experiment}/{run_id}/artifacts/a.txt", content=b"a"
        ).status_code,
        "make a run": post("runs/create", experiment_id=experiment),
        "make an experiment": post("experiments/create", name=uuid4().hex),
        "make a version": post("model-versions/create", name=model, source="models:/m-none", run_id=run_id),
        "make an account": post("users/create", **EVE, username=f"eve_{uuid4().hex}"),
        "see the names of accounts": get("users/list"),
        "delete a version": delete("model-versions/delete", **named),
        "delete a model": delete("registered-models/delete", name=model),
        "delete a run": post("runs/delete", run_id=run_id),
        "delete an experiment": post("experiments/delete", experiment_id=experiment),
    }


EVERYBODY = {"see the page", "see the names of accounts", "make an experiment"}
READS = EVERYBODY | {"see a version", "see a run", "list files"}
WORK = {"move an alias", "take an alias away", "tag a run", "write a file", "make a run"}


@pytest.mark.parametrize(
    ("account", "may"),
    [
        (REVIEWER, READS | {"tag a version"}),
        (PIPELINE, READS | WORK | {"tag a version"}),
        ("stranger", EVERYBODY),
    ],
)
def test_an_account_may_do_what_it_needs_and_nothing_else(
    browser: Browser, wine: ModelConfig, registry: Registry, version: str, password: str, account: str, may: set[str]
) -> None:
    """The pipeline may not even delete what it made, which MLflow gives it all rights on. ``stranger`` has no role."""
    if account == "stranger":
        stranger = {"username": account, "password": password}
        assert browser(ADMIN).post(f"{API}/users/create", json=stranger).status_code in (200, 400)
    answers = asked(browser(account), wine.model, version, *run_of(registry, wine.model, version))
    # a version of no logged model is refused for its source; that is the account's right to try, and none to have it
    assert {what for what, status in answers.items() if status == 200} == may
    assert {status for what, status in answers.items() if what not in may} == {403}


def test_the_admin_may_do_all(browser: Browser, wine: ModelConfig, registry: Registry, version: str) -> None:
    answers = asked(browser(ADMIN), wine.model, version, *run_of(registry, wine.model, version))
    assert 403 not in answers.values()
    assert answers["delete a version"] == 200


def test_accounts_made_again_have_the_password_and_exactly_the_rights_that_they_should(
    browser: Browser, mlflow_uri: str, password: str
) -> None:
    """With the account that no other test logs in with: its password is another one for a while."""
    admin, roles = browser(ADMIN), "/api/3.0/mlflow/roles"
    make_accounts(mlflow_uri, dict.fromkeys((ADMIN, *RIGHTS), password))
    listed = {
        role["name"]: role for role in admin.get(f"{roles}/list", params={"workspace": "default"}).json()["roles"]
    }

    def rights(account: str) -> dict[str, str]:
        found = admin.get(f"{roles}/permissions/list", params={"role_id": listed[account]["id"]}).json()
        return {right["resource_type"]: right["permission"] for right in found["role_permissions"]}

    assert {account: rights(account) for account in RIGHTS} == RIGHTS
    more = {"role_id": listed[SERVING]["id"], "resource_type": "gateway_secret", "resource_pattern": "*"}
    admin.post(f"{roles}/permissions/add", json={**more, "permission": "MANAGE"}).raise_for_status()
    make_accounts(mlflow_uri, {**dict.fromkeys((ADMIN, *RIGHTS), password), SERVING: "another-password"})
    assert rights(SERVING) == RIGHTS[SERVING]
    assert browser(SERVING).get("/").status_code == 401
    make_accounts(mlflow_uri, dict.fromkeys((ADMIN, *RIGHTS), password))
    assert browser(SERVING).get("/").status_code == 200


def make_reviewer(mlflow: httpx.Client, name: str, password: str) -> None:
    """An account for a person who reviews; ``mlflow`` is logged in as admin. A password has 12 characters."""
    account = {"username": name, "password": password}
    mlflow.post("/api/2.0/mlflow/users/create", json=account).raise_for_status()
    roles = mlflow.get("/api/3.0/mlflow/roles/list", params={"workspace": "default"}).json()["roles"]
    (role_id,) = [role["id"] for role in roles if role["name"] == "reviewer"]
    mlflow.post("/api/3.0/mlflow/roles/assign", json={"username": name, "role_id": role_id}).raise_for_status()


def test_a_person_reviews_under_an_account_and_a_password_of_his_own(
    browser: Browser, wine: ModelConfig, version: str
) -> None:
    admin, name = browser(ADMIN), f"ada_{uuid4().hex[:8]}"
    make_reviewer(admin, name, "given-to-ada")
    with httpx.Client(base_url=admin.base_url, auth=(name, "given-to-ada"), timeout=60) as ada:
        own = {"username": name, "password": "chosen-by-ada", "current_password": "given-to-ada"}
        ada.patch(f"{API}/users/update-password", json=own).raise_for_status()
        assert ada.get("/").status_code == 401
        ada.auth = httpx.BasicAuth(name, "chosen-by-ada")
        tag = {"name": wine.model, "version": version, "key": "signoff", "value": "approved"}
        ada.post(f"{API}/model-versions/set-tag", json=tag).raise_for_status()
        alias = {"name": wine.model, "version": version, "alias": "champion"}
        assert ada.post(f"{API}/registered-models/alias", json=alias).status_code == 403


READINGS: dict[str, Callable[[Registry, str, str], object]] = {
    "alias": lambda registry, model, _: alias_version(registry, model, "champion"),
    "no alias": lambda registry, model, _: delete_alias(registry, model, "none"),
    "version": version_exists,
    "deleted version": lambda registry, model, _: version_exists(registry, model, "99"),
    "tags": find_version_tags,
    "version of a run": lambda registry, model, _: find_version(registry, model, "r"),
    "files": artifact_digest,
    "reference": fetch_reference,
    "importance": fetch_importance,
    "experiment": lambda registry, model, _: ensure_experiment(registry, f"none/{model}"),
    "run": lambda registry, _, __: tags_of_run(registry, "r"),
}


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize(("account", "status"), [(PIPELINE, 401), ("nobody_knows_me", 401)])
def test_a_wrong_password_is_an_error_and_no_answer(
    wine: ModelConfig, registry: Registry, version: str, reading: str, account: str, status: int
) -> None:
    with logged_in(account, WRONG), pytest.raises(RegistryRefused) as caught:
        READINGS[reading](registry, wine.model, version)
    told = str(caught.value)
    assert f"MLflow at {registry.uri} refuses the login of '{account}' ({status}), " in told
    assert "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in told
    assert WRONG not in told


def test_a_right_that_is_missing_is_an_error_and_no_answer(
    wine: ModelConfig, registry: Registry, version: str, browser: Browser, password: str
) -> None:
    stranger = {"username": "stranger", "password": password}
    assert browser(ADMIN).post(f"{API}/users/create", json=stranger).status_code in (200, 400)
    with logged_in("stranger"):
        for reading in ("alias", "no alias", "version", "deleted version", "tags", "files", "reference"):
            with pytest.raises(RegistryRefused, match=r"does not allow 'stranger' this \(403\), .*log-in-to-mlflow"):
                READINGS[reading](registry, wine.model, version)
    with logged_in(REVIEWER), pytest.raises(RegistryRefused, match=r"\(403\), setting alias champion"):
        set_alias(registry, wine.model, "champion", version)


def test_what_is_not_there_is_told_from_what_is_forbidden(wine: ModelConfig, registry: Registry, version: str) -> None:
    """MLflow answers 403 for both."""
    assert alias_version(registry, "no_such_model", "champion") is None
    assert not version_exists(registry, "no_such_model", "1")
    delete_alias(registry, "no_such_model", "champion")
    assert not version_exists(registry, wine.model, "99")
    for read in (get_version, artifact_digest):
        with pytest.raises(PermanentError, match="no_such_model"):
            read(registry, "no_such_model", "1")
    with pytest.raises(PermanentError, match="99"):
        get_version(registry, wine.model, "99")
    with pytest.raises(RegistryRefused, match="it is not there, or the account lacks the right"):
        tags_of_run(registry, uuid4().hex)


def watched_tags(uri: str, model: str, version: str, login: tuple[str, str]) -> dict[str, str]:
    async def ask() -> dict[str, str]:
        async with httpx.AsyncClient(trust_env=False, auth=login) as client:
            return await Watched(client=client, uri=uri, model=model, version=version, account=login[0]).tags()

    return asyncio.run(ask())


def test_the_poll_tells_a_refusal_from_a_version_that_is_gone(
    wine: ModelConfig, registry: Registry, version: str, browser: Browser, password: str
) -> None:
    assert watched_tags(registry.uri, wine.model, version, (PIPELINE, password))["test.owner"] == "test"
    with pytest.raises(RegistryRefused, match=r"refuses the login of 'pipeline' \(401\), asked for .* version") as told:
        watched_tags(registry.uri, wine.model, version, (PIPELINE, WRONG))
    assert WRONG not in str(told.value)
    stranger = {"username": "stranger", "password": password}
    assert browser(ADMIN).post(f"{API}/users/create", json=stranger).status_code in (200, 400)
    with pytest.raises(RegistryRefused, match=r"\(403\)"):
        watched_tags(registry.uri, wine.model, version, ("stranger", password))
    with logged_in(ADMIN):
        registry.client.delete_registered_model(wine.model)
    with pytest.raises(PermanentError, match="404"):
        watched_tags(registry.uri, wine.model, version, (PIPELINE, password))


def test_the_command_line_says_what_where_and_what_to_do(
    store: Store, database_url: str, home: Path, models_dir: Path, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = unique_model(models_dir, "wine_cultivar")
    where = mlflow_uri.replace("//", "//ada:se%2Fcret@")  # what stands in the address gives way to the variables
    for name, value in {
        "PERENNIAL_DATABASE_URL": database_url,
        "PERENNIAL_HOME": str(home),
        "PERENNIAL_MODELS_DIR": str(models_dir),
        "MLFLOW_TRACKING_URI": where,
    }.items():
        monkeypatch.setenv(name, value)
    command = ["rollback", config.model, "--reason", "test"]
    with logged_in(PIPELINE):
        ended = CliRunner().invoke(app, command)
        assert "no version" in ended.output or "nothing" in ended.output or "ReleaseError" in ended.output
    with logged_in(PIPELINE, WRONG):
        ended = CliRunner().invoke(app, command)
    assert ended.exit_code == 1
    assert f"RegistryRefused: MLflow at {mlflow_uri} refuses the login of 'pipeline' (401)" in ended.output
    assert not [secret for secret in (WRONG, "se%2Fcret", "se/cret") if secret in ended.output]


def test_an_account_in_the_address_is_taken_and_never_shown() -> None:
    settings = Settings(mlflow_uri="http://ada:hunter2@host:1/", mlflow_username=None, mlflow_password=None)
    assert settings.mlflow_login == ("ada", "hunter2")
    assert settings.require_mlflow_uri() == "http://host:1/"
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize("password", ["hun/ter2", "1/ter2", "hun?ter2", "hun#ter2", "hu@n/ter2"])
def test_an_account_whose_end_nobody_can_see_is_refused_and_not_shown(password: str) -> None:
    settings = Settings(mlflow_uri=f"http://ada:{password}@host:1/", mlflow_username=None, mlflow_password=None)
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_URI has an @ after its first /") as told:
        settings.require_mlflow_uri()
    assert "ter2" not in str(told.value)
    assert Settings(mlflow_uri="file:///data/a@b/runs").require_mlflow_uri() == "file:///data/a@b/runs"


def test_the_work_of_a_retrain_needs_no_more_than_the_pipeline_has(wine: ModelConfig, registry: Registry) -> None:
    key = RunKey(model=wine.model, snapshot_id="s", request="r")
    assert find_runs(registry, key) == []
    first = make_version(wine, registry, "first")
    run_id, _ = run_of(registry, wine.model, first)
    log_values(registry, run_id, metrics={"accuracy": 1.0}, params={"a": 1}, tags={"b": "c"}, at_ms=1)
    for alias in ("champion", "challenger", "stable"):
        set_alias(registry, wine.model, alias, first)
    delete_alias(registry, wine.model, "challenger")
    set_version_tags(registry, wine.model, first, {"signoff": "pending"})
    assert version_tags(registry, wine.model, first)["signoff"] == "pending"
