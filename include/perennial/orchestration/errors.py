"""Perennial's errors in Airflow's words: the one place where the two meet.

A transient error is raised as it is, and Airflow tries again with growing pauses. Any other fails the task now: trying
again cannot help. Whatever is neither is a mistake of ours and stays what it is.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowFailException

from perennial.errors import PerennialError, TransientError

FAILURE = "failure"


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Map what Perennial raises, and leave its message as XCom ``failure`` for whoever has to report it."""
    try:
        yield
    except PerennialError as error:
        message = f"{type(error).__name__}: {error}"
        get_current_context()["ti"].xcom_push(FAILURE, message)
        if isinstance(error, TransientError):
            raise
        raise AirflowFailException(message) from error
