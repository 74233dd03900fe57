"""``python -m stack.compose_env > .env``: new secrets for docker-compose.yaml."""

import sys

from stack.credentials import Credentials, generate

# The variables of docker-compose.yaml, and the secrets they carry.
VARIABLES = {
    "POSTGRES_PASSWORD": "postgres_password",
    "PERENNIAL_DB_PASSWORD": "perennial_db_password",
    "MLFLOW_DB_PASSWORD": "mlflow_db_password",
    "AIRFLOW_DB_PASSWORD": "airflow_db_password",
    "AIRFLOW_ADMIN_PASSWORD": "airflow_admin_password",
    "AIRFLOW_VIEWER_PASSWORD": "airflow_viewer_password",
    "AIRFLOW_JWT_SECRET": "airflow_jwt_secret",
    "AIRFLOW_SECRET_KEY": "airflow_secret_key",
    "AIRFLOW_FERNET_KEY": "airflow_fernet_key",
}


def render(credentials: Credentials) -> str:
    """The text of an .env file with these secrets."""
    return "".join(f"{variable}={getattr(credentials, field)}\n" for variable, field in VARIABLES.items())


if __name__ == "__main__":
    sys.stdout.write(render(generate()))
