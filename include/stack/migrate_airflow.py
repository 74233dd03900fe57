"""Prepares Airflow before its processes start: the passwords of its users, its database, the pool of the fits."""

import json
import os
import sys
from pathlib import Path

from stack.credentials import write_private
from stack.environment import ADMIN, FIT_POOL, REVIEWER, VIEWER

FIT_SLOTS = 1


def prepare_airflow() -> None:
    """Safe to repeat: a pool that is there keeps the slots that somebody gave it."""
    file = Path(os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    passwords = {who: os.environ[f"PERENNIAL_AIRFLOW_{who.upper()}_PASSWORD"] for who in (ADMIN, REVIEWER, VIEWER)}
    write_private(file, json.dumps(passwords))
    _airflow("db", "migrate")
    try:
        _airflow("pools", "get", FIT_POOL)
    except SystemExit:
        _airflow("pools", "set", FIT_POOL, str(FIT_SLOTS), "Fits of candidates, so many at once")


def _airflow(*words: str) -> None:
    """A command of Airflow's, here and now: each in a process of its own would import it for five seconds."""
    from airflow.__main__ import main

    sys.argv = ["airflow", *words]
    main()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    prepare_airflow()
