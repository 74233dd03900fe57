"""How a plain function becomes a task here."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from airflow.sdk import task
from airflow.sdk.bases.decorator import Task

P = ParamSpec("P")
R = TypeVar("R")


def step(name: str, **options: Any) -> Callable[[Callable[P, R]], Task[P, R]]:
    """A task with a name for people; its result is one reference for the next task, and no noise in the log."""
    decorator = task(task_display_name=name, multiple_outputs=False, show_return_value_in_logs=False, **options)
    return cast("Callable[[Callable[P, R]], Task[P, R]]", decorator)
