"""Prepares Airflow before its processes start: the passwords of its users, then ``airflow db migrate``."""

import json
import os
import sys
from pathlib import Path

from stack.credentials import write_private
from stack.environment import ADMIN, VIEWER

if __name__ == "__main__":
    file = Path(os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    passwords = {user: os.environ[f"PERENNIAL_AIRFLOW_{user.upper()}_PASSWORD"] for user in (ADMIN, VIEWER)}
    write_private(file, json.dumps(passwords))
    os.execv(sys.executable, [sys.executable, "-m", "airflow", "db", "migrate"])  # noqa: S606  # our own command, no shell wanted
