"""How a step of a case becomes a task: records go in and out of Airflow here, by the annotations of the step."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import is_dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast, get_args, get_type_hints

from airflow.sdk import task
from airflow.sdk.bases.decorator import Task

from perennial.contracts import from_record, to_record
from perennial.orchestration.lineage import name_datasets
from perennial.orchestration.session import opened
from perennial.orchestration.tasks.journalled import journalled

if TYPE_CHECKING:
    from perennial.pipeline import Case

P = ParamSpec("P")
R = TypeVar("R")
Body = Callable[Concatenate["Case", P], R]


def decoded(kind: Any, value: Any) -> Any:
    """What a step was handed through Airflow, as its annotation says; what is no record passes as it is.

    >>> from perennial.contracts import Window
    >>> decoded(Window, {"start": "2013-01-01T00:00:00Z", "end": "2013-01-02T00:00:00Z"}).key
    '20130101T000000Z-20130102T000000Z'
    >>> decoded(str, "labels"), decoded(Window | None, None)
    ('labels', None)
    """
    record = next((one for one in (kind, *get_args(kind)) if is_dataclass(one)), None)
    return from_record(record, value) if isinstance(record, type) and value is not None else value


def encoded(value: Any) -> Any:
    """What a step returns, as Airflow may keep it: records as JSON-ready dictionaries, the rest as it is.

    >>> from perennial.contracts import Window
    >>> encoded(day(0))["start"], encoded("labels")
    ('2013-01-01T00:00:00Z', 'labels')
    """
    return to_record(value) if is_dataclass(value) and not isinstance(value, type) else value


def body_of(step_of_case: Body[P, R]) -> Callable[..., Any]:
    """A step over records as a function over what XCom holds; the case becomes the model's name."""

    @wraps(step_of_case)
    def run(model: str, *given: Any, **named: Any) -> Any:
        kinds = get_type_hints(step_of_case, localns={"Case": object})
        names = list(inspect.signature(step_of_case).parameters)[1:]
        arguments = dict(zip(names, given, strict=False)) | named
        records = {name: decoded(kinds.get(name), value) for name, value in arguments.items()}
        with journalled(model) as handed, opened(model) as case:
            handed.given = list(records.values())
            handed.result = cast("Any", step_of_case)(case, **records)
            name_datasets(case, handed.given, handed.result)
            return encoded(handed.result)

    _, *parameters = inspect.signature(step_of_case).parameters.values()
    model = inspect.Parameter("model", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    untyped = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters]
    run.__signature__ = inspect.Signature([model, *untyped])  # type: ignore[attr-defined]  # Airflow binds by it
    del run.__wrapped__  # or Airflow would ask the step itself, which wants a case
    run.__annotations__ = {}
    return run


def step(name: str, **options: Any) -> Callable[[Body[P, R]], Task[Any, Any]]:
    """A task with a name for people over one step of a case; what it returns goes to the next task, not to the log."""
    decorator = task(task_display_name=name, multiple_outputs=False, show_return_value_in_logs=False, **options)
    return lambda step_of_case: cast("Task[Any, Any]", decorator(body_of(step_of_case)))


def branch(name: str, **options: Any) -> Callable[[Body[P, str]], Task[Any, Any]]:
    """As :func:`step`, for one that answers with the id of the task to follow."""
    decorator = task.branch(task_display_name=name, **options)
    return lambda step_of_case: cast("Task[Any, Any]", decorator(body_of(step_of_case)))
