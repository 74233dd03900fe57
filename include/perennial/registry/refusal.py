"""What MLflow's 401 and 403 are told as. They are errors, and never read as an answer to what was asked.

Imports no MLflow, which the trigger of a review must not.
"""

UNAUTHORIZED, FORBIDDEN = 401, 403
REFUSALS = frozenset({UNAUTHORIZED, FORBIDDEN})


def refusal(where: str, status: int, what: str, *, account: str | None, said: str) -> str:
    """That MLflow at ``where`` refuses ``what`` with a 401 or 403, and what to do. ``said`` is the server's own word.

    >>> print(refusal("http://127.0.0.1:5000", 401, "reading m version 3", account="pipeline", said="no"))
    ... # doctest: +NORMALIZE_WHITESPACE
    MLflow at http://127.0.0.1:5000 refuses the login of 'pipeline' (401), reading m version 3: set
    MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD to an account of this server; `perennial down` and
    `perennial up` set them anew for the local stack. It says: no
    """
    who = f"{account!r}" if account else "nobody"
    if status == UNAUTHORIZED:
        return (
            f"MLflow at {where} refuses the login of {who} (401), {what}: set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD to an account of this server; `perennial down` and `perennial up` set them anew "
            f"for the local stack. It says: {said}"
        )
    return (
        f"MLflow at {where} does not allow {who} this (403), {what}: it is not there, or the account lacks the right "
        f"to it; docs/how-to/log-in-to-mlflow.md says which rights are needed. It says: {said}"
    )
