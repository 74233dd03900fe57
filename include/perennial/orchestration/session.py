"""What every task body begins with: its case, Perennial's errors in Airflow's words, and no password in a log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow.sdk.log import mask_secret

from perennial.orchestration.errors import airflow_errors
from perennial.settings import load_settings

if TYPE_CHECKING:
    from perennial.pipeline import Case, Runtime


@contextmanager
def opened(model: str) -> Iterator[Case]:
    """The case of one model, as ``model.yaml`` declares it now."""
    with opened_runtime() as runtime:
        yield runtime.case(model)


@contextmanager
def opened_runtime() -> Iterator[Runtime]:
    """The runtime alone, for a task that is about all models."""
    with airflow_errors():
        settings = load_settings()
        for password in (urlsplit(settings.require_database_url()).password, *(settings.mlflow_login or ())[1:]):
            if password:
                mask_secret(password)
        from perennial.pipeline import open_runtime

        runtime = open_runtime(settings)
        try:
            yield runtime
        finally:
            runtime.close()
