"""The configuration of every component, as environment variables: one function each, for the local stack, the tests
and docker-compose.yaml (a test compares them)."""

from stack.commands import Site
from stack.credentials import Credentials
from stack.serving.services import clients_environment

# Users of Airflow, and accounts of MLflow.
ADMIN, REVIEWER, VIEWER, PIPELINE = "admin", "reviewer", "viewer", "pipeline"
FIT_POOL = "fit"

# Nothing here reports home, and Great Expectations must hear it before it is imported.
_NO_TELEMETRY = {"GX_ANALYTICS_ENABLED": "false", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1"}


def database_url(site: Site, name: str, password: str) -> str:
    """SQLAlchemy URL of one of the stack's databases; role and database have the same name."""
    return f"postgresql+psycopg2://{name}:{password}@{site.postgres_address}:{site.postgres_port}/{name}"


def perennial_environment(site: Site, credentials: Credentials) -> dict[str, str]:
    """What perennial.settings needs to find the stack."""
    return {
        "PERENNIAL_DATABASE_URL": database_url(site, "perennial", credentials.perennial_db_password),
        "PERENNIAL_AIRFLOW_URL": site.airflow_url,
        "MLFLOW_TRACKING_URI": site.mlflow_url,
        "MLFLOW_TRACKING_USERNAME": PIPELINE,
        "MLFLOW_TRACKING_PASSWORD": credentials.mlflow_pipeline_password,
        **clients_environment(site, credentials),
    }


def mlflow_environment(site: Site, credentials: Credentials) -> dict[str, str]:
    """Environment of the MLflow server."""
    return {
        "MLFLOW_BACKEND_STORE_URI": database_url(site, "mlflow", credentials.mlflow_db_password),
        # Without this the server starts a job runner and seven queue consumers: 2.6 GB for features nobody uses here.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_AUTH_CONFIG_PATH": f"{site.project}/include/stack/mlflow_auth.ini",
        # Where the accounts are, which that file leaves to libpq, so that it holds no secret.
        "PGHOST": site.postgres_address,
        "PGPORT": str(site.postgres_port),
        "PGDATABASE": "mlflow",
        "PGUSER": "mlflow",
        "PGPASSWORD": credentials.mlflow_db_password,
        "MLFLOW_AUTH_ADMIN_USERNAME": ADMIN,
        "MLFLOW_AUTH_ADMIN_PASSWORD": credentials.mlflow_admin_password,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": credentials.mlflow_secret_key,
        # A route that MLflow has no rule for is refused to all but the admin.
        "MLFLOW_BASIC_AUTH_FAIL_CLOSED": "true",
        **_NO_TELEMETRY,
    }


def accounts_environment(site: Site, credentials: Credentials) -> dict[str, str]:
    """Environment of the step that makes MLflow's accounts."""
    return {
        "PYTHONPATH": f"{site.project}/include",
        "PERENNIAL_MLFLOW_URL": site.mlflow_url,
        "PERENNIAL_MLFLOW_ADMIN_PASSWORD": credentials.mlflow_admin_password,
        "PERENNIAL_MLFLOW_REVIEWER_PASSWORD": credentials.mlflow_reviewer_password,
        "PERENNIAL_MLFLOW_PIPELINE_PASSWORD": credentials.mlflow_pipeline_password,
        "PERENNIAL_MLFLOW_SERVING_PASSWORD": credentials.mlflow_serving_password,
    }


def airflow_environment(site: Site, credentials: Credentials) -> dict[str, str]:
    """Environment of all of Airflow's processes, and so of the tasks."""
    return {
        "AIRFLOW_HOME": site.airflow_home,
        "PYTHONPATH": f"{site.project}/include",
        "PERENNIAL_HOME": site.state,
        **perennial_environment(site, credentials),
        "PERENNIAL_FIT_POOL": FIT_POOL,
        "PERENNIAL_PUBLIC_URL": site.airflow_public_url,
        "PERENNIAL_METRICS_TOKEN": credentials.metrics_token,
        "PERENNIAL_ALERTS_TOKEN": credentials.alerts_token,
        "AIRFLOW__CORE__EXECUTOR": "perennial.orchestration.executor.RevokingLocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        # Tasks inherit the libraries that the scheduler has already imported (perennial.orchestration.preload).
        "AIRFLOW__CORE__MP_START_METHOD": "fork",
        "AIRFLOW__CORE__DAGS_FOLDER": f"{site.project}/dags",
        "AIRFLOW__CORE__PLUGINS_FOLDER": f"{site.project}/plugins",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__FERNET_KEY": credentials.airflow_fernet_key,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{site.airflow_url}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin,{REVIEWER}:user,{VIEWER}:viewer",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": f"{site.airflow_home}/passwords.json",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database_url(site, "airflow", credentials.airflow_db_password),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": f"{site.airflow_home}/logs",
        "AIRFLOW__API__BASE_URL": site.airflow_public_url,
        "AIRFLOW__API__SECRET_KEY": credentials.airflow_secret_key,
        "AIRFLOW__API_AUTH__JWT_SECRET": credentials.airflow_jwt_secret,
        # A chain of short tasks waits for the scheduler most of the time; a tenth of a second costs a third of a core.
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
        "AIRFLOW__SCHEDULER__CATCHUP_BY_DEFAULT": "False",
        # A task whose process is gone (it tells of itself every second) is found in less than a minute, not in five; so
        # is one that waited in the queue of a scheduler that is gone.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
        # A worker that looks for the end of its task a moment too early looks again after one heartbeat, and takes no
        # task meanwhile: a second, not five, and as many failures in a row as before are an outage of 15 s.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "15",
        # One whose worker died before it ran is found by its time in the queue, where it belongs for seconds.
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "120",
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "20",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
        **_NO_TELEMETRY,
    }


def migrate_environment(site: Site, credentials: Credentials) -> dict[str, str]:
    """Environment of the step that prepares Airflow's database and its users."""
    return {
        **airflow_environment(site, credentials),
        "PERENNIAL_AIRFLOW_ADMIN_PASSWORD": credentials.airflow_admin_password,
        "PERENNIAL_AIRFLOW_REVIEWER_PASSWORD": credentials.airflow_reviewer_password,
        "PERENNIAL_AIRFLOW_VIEWER_PASSWORD": credentials.airflow_viewer_password,
    }
