"""Tokens of programs that have no login in Airflow: Prometheus and Alertmanager."""

import hmac

from fastapi import HTTPException
from pydantic import SecretStr


def require_token(token: SecretStr | None, authorization: str, unset: str) -> None:
    """404 with the words ``unset`` where no token is set, 403 for another one; compared in constant time."""
    if token is None or not token.get_secret_value().strip():
        raise HTTPException(404, unset)
    expected = f"Bearer {token.get_secret_value()}"
    if not hmac.compare_digest(authorization.encode(), expected.encode()):
        raise HTTPException(403, "say the token: Authorization: Bearer ...")
