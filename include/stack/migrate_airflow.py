"""Prepares Airflow before its processes start: the passwords of its users, then ``airflow db migrate``."""

import json
import os
import sys
from pathlib import Path

from perennial.errors import StackError
from stack.credentials import write_private
from stack.environment import ADMIN, VIEWER

_VARIABLES = {ADMIN: "PERENNIAL_AIRFLOW_ADMIN_PASSWORD", VIEWER: "PERENNIAL_AIRFLOW_VIEWER_PASSWORD"}
_FILE_VARIABLE = "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"


def write_passwords() -> None:
    """Write the passwords file of Airflow's simple auth manager from the environment."""
    missing = [name for name in (*_VARIABLES.values(), _FILE_VARIABLE) if not os.environ.get(name)]
    if missing:
        raise StackError(f"cannot set Airflow's passwords: set {', '.join(missing)} in the environment")
    file = Path(os.environ[_FILE_VARIABLE])
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(file, json.dumps({user: os.environ[name] for user, name in _VARIABLES.items()}))


if __name__ == "__main__":
    write_passwords()
    os.execv(sys.executable, [sys.executable, "-m", "airflow", "db", "migrate"])  # noqa: S606  # our own command, no shell wanted
