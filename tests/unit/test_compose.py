"""docker-compose.yaml repeats what the local stack runs, and holds no secret."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack.commands import AIRFLOW_COMPONENTS, INITDB_OPTIONS, Site, commands
from stack.credentials import LATER, VARIABLES, Credentials, env_file
from stack.environment import accounts_environment, airflow_environment, migrate_environment, mlflow_environment
from stack.mlflow_accounts import RIGHTS
from stack.serving.services import ServiceProcess, serving_environment

ROOT = Path(__file__).parents[2]
COMPOSE = Site(
    listen="0.0.0.0",  # noqa: S104  # inside its container; the published ports are on loopback
    project="/opt/perennial",
    postgres_address="postgres",
    postgres_port=5432,
    postgres_socket_folder="/var/run/postgresql",  # the image initialises its databases through it
    mlflow_port=5000,
    mlflow_url="http://mlflow:5000",
    mlflow_allowed_hosts="mlflow:5000,localhost:5000,127.0.0.1:5000",
    mlflow_artifacts="file:///var/lib/perennial/mlflow/artifacts",
    airflow_home="/var/lib/perennial/airflow",
    airflow_port=8080,
    airflow_url="http://airflow-api-server:8080",
    airflow_public_url="http://localhost:8080",
    state="/var/lib/perennial/state",
    services=(ServiceProcess(model="flight_delay", port=8000, url="http://serving-flight-delay:8000"),),
)
SERVICE = "serving-flight-delay"
OBSERVERS = {"prometheus", "alertmanager", "grafana"}
PLACEHOLDER = re.compile(r"\$\{(\w+):\?[^}]*\}")
REFERENCES = Credentials(state_id="-", **{field: f"${{{variable}}}" for variable, field in VARIABLES.items()})


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    text = (ROOT / "docker-compose.yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(PLACEHOLDER.sub(r"${\1}", text))["services"]
    return found


def test_every_component_is_a_service_and_every_service_a_component(services: dict[str, Any]) -> None:
    assert set(services) == set(commands(COMPOSE)) | OBSERVERS


def test_who_watches_gets_the_configuration_of_the_repository_and_its_tokens_as_files(services: dict[str, Any]) -> None:
    for name in OBSERVERS:
        given = [volume.split(":")[0] for volume in services[name]["volumes"] if volume.startswith("./")]
        assert given
        assert all((ROOT / path).exists() for path in given), name
        assert re.fullmatch(r"[a-z]+/[a-z]+:v?\d+\.\d+\.\d+", services[name]["image"])
    config = (ROOT / "include" / "observability" / "prometheus.yml").read_text(encoding="utf-8")
    files = set(re.findall(r"credentials_file: /run/secrets/(\w+)", config))
    assert files == set(services["prometheus"]["secrets"]) == {"metrics_token", "serving_key"}
    posts = (ROOT / "include" / "observability" / "alertmanager.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"credentials_file: /run/secrets/(\w+)", posts)) == set(services["alertmanager"]["secrets"])
    (posted_to,) = re.findall(r"url: http://([\w-]+):(\d+)/perennial/alerts", posts)
    assert posted_to[1] == services[posted_to[0]]["command"][-3]
    asked = {
        address for job in yaml.safe_load(config)["scrape_configs"] for address in job["static_configs"][0]["targets"]
    }
    assert {address.partition(":")[0] for address in asked} <= set(services)


@pytest.mark.parametrize("name", sorted(commands(COMPOSE)))
def test_command_is_the_one_of_the_local_stack(services: dict[str, Any], name: str) -> None:
    assert tuple(services[name]["command"]) == commands(COMPOSE)[name]


@pytest.mark.parametrize("name", [name for name in sorted(commands(COMPOSE)) if name.startswith("airflow-")])
def test_airflow_environment_is_the_one_of_the_local_stack(services: dict[str, Any], name: str) -> None:
    expected = migrate_environment if name == "airflow-migrate" else airflow_environment
    assert services[name]["environment"] == expected(COMPOSE, REFERENCES)


def test_mlflow_environment_is_the_one_of_the_local_stack(services: dict[str, Any]) -> None:
    assert services["mlflow"]["environment"] == mlflow_environment(COMPOSE, REFERENCES)


def test_accounts_are_those_of_the_local_stack_and_made_before_anything_logs_in(services: dict[str, Any]) -> None:
    assert services["mlflow-accounts"]["environment"] == accounts_environment(COMPOSE, REFERENCES)
    assert services["mlflow-accounts"]["depends_on"] == {"mlflow": {"condition": "service_healthy"}}
    for name in AIRFLOW_COMPONENTS:
        assert services[name]["depends_on"]["mlflow-accounts"] == {"condition": "service_completed_successfully"}
        assert services[name]["environment"]["MLFLOW_TRACKING_USERNAME"] in RIGHTS


def test_no_service_but_the_steps_that_make_accounts_knows_the_password_of_an_admin(services: dict[str, Any]) -> None:
    for name, service in services.items():
        knows = {value for value in service.get("environment", {}).values() if "ADMIN_PASSWORD" in value}
        makes = {"grafana", "mlflow", "mlflow-accounts", "airflow-migrate"}
        assert bool(knows) == (name in makes), name


def test_a_scoring_service_asks_for_a_key_and_knows_no_database(services: dict[str, Any]) -> None:
    found = services[SERVICE]
    assert found["environment"] == serving_environment(COMPOSE, REFERENCES)
    assert found["environment"]["PERENNIAL_SERVING_KEY"] == "${SERVING_KEY}"
    assert [variable for variable, value in found["environment"].items() if "DB_PASSWORD" in value] == []
    assert set(RIGHTS[found["environment"]["MLFLOW_TRACKING_USERNAME"]].values()) == {"READ"}
    assert "/healthz" in found["healthcheck"]["test"][-1]
    for name in AIRFLOW_COMPONENTS:
        assert services[name]["environment"]["PERENNIAL_SERVING_KEY"] == "${SERVING_KEY}"


def test_what_sources_need_reaches_the_tasks_and_no_other_service(services: dict[str, Any]) -> None:
    """``url_env`` variables and cloud credentials are the user's: no file of ours can name them."""
    handed_on = [{"path": "sources.env", "required": False}]
    for name, service in services.items():
        assert service.get("env_file") == (handed_on if name.startswith("airflow-") else None)
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {".env", "sources.env"} <= set(ignored)


def test_postgres_is_initialised_like_the_local_one(services: dict[str, Any]) -> None:
    assert tuple(services["postgres"]["environment"]["POSTGRES_INITDB_ARGS"].split()) == INITDB_OPTIONS


def test_published_ports_are_on_loopback_only(services: dict[str, Any]) -> None:
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_every_secret_comes_from_the_environment(services: dict[str, Any]) -> None:
    secret = re.compile(r"PASSWORD$|SECRET|_KEY$|_URL$|_URI$|_CONN$")
    for name, service in services.items():
        for variable, value in service.get("environment", {}).items():
            if secret.search(variable) and ("://" not in value or "@" in value):
                assert "${" in value, f"{name}: {variable} holds a literal"


def test_the_example_names_every_variable_and_no_secret(services: dict[str, Any]) -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    example = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert set(example) == set(VARIABLES) == set(re.findall(r"\$\{(\w+)\}", str(services)))
    assert set(example.values()) == {"replace-me"}


def test_generated_env_file_has_a_new_value_for_every_variable() -> None:
    first, second = env_file(Credentials()), env_file(Credentials())
    assert [line.split("=")[0] for line in first.splitlines()] == list(VARIABLES)
    assert not set(first.splitlines()) & set(second.splitlines())
    assert set(VARIABLES.values()) | {"state_id"} == {field.name for field in fields(Credentials)}


def test_an_env_file_of_an_earlier_release_gets_what_it_lacks_and_nothing_else() -> None:
    lines = env_file(Credentials()).splitlines()
    earlier = "\n".join(line for line in lines if VARIABLES[line.split("=")[0]] not in LATER)
    added = env_file(Credentials(), known=earlier).splitlines()
    assert [line.split("=")[0] for line in added] == [name.upper() for name in VARIABLES.values() if name in LATER]
    assert env_file(Credentials(), known="\n".join(lines)) == ""


def test_images_are_pinned() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^FROM python:\d+\.\d+\.\d+-", dockerfile, re.MULTILINE)
    pinned = re.search(r"^UV_VERSION := (.+)$", makefile, re.MULTILINE)
    assert pinned is not None
    assert f"uv=={pinned[1]}" in dockerfile
