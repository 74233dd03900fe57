"""MLflow's accounts and their rights, made by its admin over its REST API; made again, nothing changes.

What a right lets its holder do is decided in ``mlflow.server.auth``: READ to see, EDIT to create inside and to change,
MANAGE to delete. A right on ``run``, ``logged_model`` or ``registered_model_version`` counts before that on what holds
them.
"""

import os
import sys
from collections.abc import Mapping
from typing import Any

import httpx

from perennial.errors import StackError
from stack.environment import ADMIN, PIPELINE, REVIEWER
from stack.serving.services import SERVING

RIGHTS: dict[str, dict[str, str]] = {
    # Sees everything, and writes on versions: their tags and descriptions. An alias is the model's and not a version's.
    REVIEWER: {"experiment": "READ", "registered_model": "READ", "registered_model_version": "EDIT"},
    # MANAGE, for MLflow asks it of whoever takes an alias away. Runs, logged models and versions it can not delete, and
    # so neither what holds them.
    PIPELINE: {
        "experiment": "EDIT",
        "run": "EDIT",
        "logged_model": "EDIT",
        "registered_model": "MANAGE",
        "registered_model_version": "EDIT",
    },
    SERVING: {"experiment": "READ", "registered_model": "READ"},
}
"""What each account may do with every resource of a kind; with all others nothing."""

_USERS, _ROLES, _USERS_ROLES = "/api/2.0/mlflow/users", "/api/3.0/mlflow/roles", "/api/3.0/mlflow/users/roles/list"
_WORKSPACE, _EXISTS = "default", "RESOURCE_ALREADY_EXISTS"
_TIMEOUT_S = 60


def make_accounts(url: str, passwords: Mapping[str, str]) -> None:
    """Every account of :data:`RIGHTS` exists with its password and exactly its rights; ``passwords`` are by account.

    Raises StackError when MLflow does not answer, or refuses.
    """
    admin = (ADMIN, passwords[ADMIN])
    try:
        with httpx.Client(base_url=url, auth=admin, timeout=_TIMEOUT_S, trust_env=False) as mlflow:
            if mlflow.get(f"{_USERS}/current").status_code == httpx.codes.UNAUTHORIZED:
                raise StackError(
                    f"MLflow at {url} refuses its admin's password, mlflow_admin_password in credentials.json or "
                    "MLFLOW_ADMIN_PASSWORD in .env: it was changed in MLflow; write the new one there"
                )
            for account in RIGHTS:
                _make_user(mlflow, account, passwords[account])
                _make_role(mlflow, account)
    except httpx.HTTPError as error:
        raise StackError(f"MLflow at {url} did not make its accounts: {type(error).__name__}: {error}") from None


def _make_user(mlflow: httpx.Client, account: str, password: str) -> None:
    known = mlflow.get(f"{_USERS}/current", auth=(account, password))
    if known.status_code == httpx.codes.OK:
        return
    user = {"username": account, "password": password}
    if not _made(mlflow, f"{_USERS}/create", user):
        _asked(mlflow, "PATCH", f"{_USERS}/update-password", json=user)


def _make_role(mlflow: httpx.Client, account: str) -> None:
    """The role called like the account, its rights, and that the account has it. Others may be making it just now."""
    role = {"name": account, "workspace": _WORKSPACE, "description": "made by Perennial"}
    _made(mlflow, f"{_ROLES}/create", role)
    roles = _asked(mlflow, "GET", f"{_ROLES}/list", params={"workspace": _WORKSPACE})["roles"]
    role_id = next(found["id"] for found in roles if found["name"] == account)
    listed = _asked(mlflow, "GET", f"{_ROLES}/permissions/list", params={"role_id": role_id})["role_permissions"]
    wanted = dict(RIGHTS[account])
    for right in listed:
        level = wanted.pop(right["resource_type"], None) if right["resource_pattern"] == "*" else None
        if level is None:
            _asked(mlflow, "DELETE", f"{_ROLES}/permissions/remove", json={"role_permission_id": right["id"]})
        elif level != right["permission"]:
            change = {"role_permission_id": right["id"], "permission": level}
            _asked(mlflow, "PATCH", f"{_ROLES}/permissions/update", json=change)
    for kind, level in wanted.items():
        right = {"role_id": role_id, "resource_type": kind, "resource_pattern": "*", "permission": level}
        _made(mlflow, f"{_ROLES}/permissions/add", right)
    _made(mlflow, f"{_ROLES}/assign", {"username": account, "role_id": role_id})


def _made(mlflow: httpx.Client, path: str, what: dict[str, Any]) -> bool:
    """Make it; False when it exists."""
    answer = mlflow.post(path, json=what)
    if answer.status_code == httpx.codes.BAD_REQUEST and answer.json().get("error_code") == _EXISTS:
        return False
    _accepted(answer)
    return True


def _asked(mlflow: httpx.Client, method: str, path: str, **given: Any) -> Any:
    return _accepted(mlflow.request(method, path, **given)).json()


def _accepted(answer: httpx.Response) -> httpx.Response:
    if not answer.is_success:
        raise StackError(f"MLflow at {answer.url}: {answer.status_code}: {answer.text[:300]}")
    return answer


if __name__ == "__main__":
    try:
        given = {
            ADMIN: os.environ["PERENNIAL_MLFLOW_ADMIN_PASSWORD"],
            REVIEWER: os.environ["PERENNIAL_MLFLOW_REVIEWER_PASSWORD"],
            PIPELINE: os.environ["PERENNIAL_MLFLOW_PIPELINE_PASSWORD"],
            SERVING: os.environ["PERENNIAL_MLFLOW_SERVING_PASSWORD"],
        }
        make_accounts(os.environ["PERENNIAL_MLFLOW_URL"], given)
    except StackError as error:
        sys.exit(str(error))
