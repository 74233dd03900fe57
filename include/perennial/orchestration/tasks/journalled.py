"""One JSON line for a step that runs as a task, beside the log that Airflow keeps of it (:mod:`perennial.journal`)."""

from __future__ import annotations

import logging
import resource
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from perennial.apart import forking
from perennial.settings import load_settings

if TYPE_CHECKING:
    from perennial.journal import Took
    from perennial.journal.line import Outcome

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Handed:
    """What a step was given and gave, as far as it came."""

    given: list[Any] = field(default_factory=list)
    result: Any = None


@contextmanager
def journalled(model: str) -> Iterator[Handed]:
    """Keep a line of the step within the block. It stops no step: what keeps it from being written is logged.

    A task that is killed leaves none. Outside of a task nothing is kept.
    """
    handed, began = Handed(), _now()
    outcome: Outcome = "ok"
    problem = ""
    try:
        yield handed
    except AirflowSkipException as skipped:
        outcome, problem = "skipped", str(skipped)
        raise
    except BaseException as error:
        outcome = "failed"
        problem = str(error) if isinstance(error, AirflowFailException) else f"{type(error).__name__}: {error}"
        raise
    finally:
        try:
            _keep(model, handed, _since(began), outcome, problem)
        except Exception:
            log.warning("the line of this step was not kept", exc_info=True)


def _keep(model: str, handed: Handed, took: Took, outcome: Outcome, problem: str) -> None:
    from perennial.journal import folder_of, keep, line_of

    try:
        ti = get_current_context()["ti"]
    except RuntimeError:  # no task
        return
    settings = load_settings()
    line = line_of(
        at=datetime.now(UTC),
        model=model,
        dag=ti.dag_id,
        run_id=ti.run_id,
        step=ti.task_id,
        try_number=ti.try_number,
        outcome=outcome,
        took=took,
        given=handed.given,
        result=handed.result,
        problem=problem,
        hidden=settings.hidden,
    )
    keep(line, folder_of(settings.home), days=settings.step_log_days)


def _now() -> tuple[float, float]:
    return time.monotonic(), sum(usage.ru_utime + usage.ru_stime for usage in _used()) + forking.used().cpu_s


def _since(began: tuple[float, float]) -> Took:
    from perennial.journal import Took

    seconds, cpu_s = _now()
    peak_kb = max(forking.used().peak_kb, *(usage.ru_maxrss for usage in _used()))
    return Took(seconds=seconds - began[0], cpu_s=cpu_s - began[1], peak_mb=peak_kb / 1024)


def _used() -> Iterable[resource.struct_rusage]:
    """Of this process, and of those that it waited for."""
    return [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
