"""What the console asks Airflow's own database: when runs come, which run was about a window, how long tasks wait."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.pool import Pool
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from perennial.contracts import Window, parse_moment
from perennial.errors import StoreUnavailable
from perennial.exposition import PoolFigures
from perennial.orchestration.console.pages.overview import NextRun

_LOOKED_AT = 200
_WAITING = (TaskInstanceState.SCHEDULED, TaskInstanceState.QUEUED)


def next_runs(models: Iterable[str]) -> dict[str, NextRun]:
    """By model, when its monitor DAG runs next; without those that Airflow does not know."""
    of_dags = {f"{model}__monitor": model for model in models}
    query = select(DagModel.dag_id, DagModel.is_paused, DagModel.next_dagrun_create_after)
    with create_session(scoped=False) as session:
        rows = session.execute(query.where(DagModel.dag_id.in_(of_dags))).all()
    return {of_dags[dag_id]: NextRun(at=at, paused=paused) for dag_id, paused, at in rows}


def runs_about(model: str, window: Window) -> Sequence[str]:
    """The ids of the monitor runs about a window, by interval or form, newest first; of the newest 200."""
    query = (
        select(DagRun.run_id, DagRun.data_interval_start, DagRun.data_interval_end, DagRun.conf)
        .where(DagRun.dag_id == f"{model}__monitor")
        .order_by(DagRun.id.desc())
        .limit(_LOOKED_AT)
    )
    with create_session(scoped=False) as session:
        rows = session.execute(query).all()
    return [run_id for run_id, start, end, conf in rows if _is_of(window, start, end, conf)]


def _is_of(window: Window, start: object, end: object, conf: object) -> bool:
    asked = conf if isinstance(conf, dict) else {}
    if not asked.get("window_start"):
        return (start, end) == (window.start, window.end)
    try:
        given = (parse_moment(str(asked["window_start"])), parse_moment(str(asked.get("window_end"))))
    except ValueError:
        return False
    return given == (window.start, window.end)


def pools(now: datetime) -> tuple[PoolFigures, ...]:
    """Every pool, by name. Raises StoreUnavailable where Airflow's database does not answer.

    A task waits from the time at which nothing but a free slot was missing: for one of the pool, or for a worker.
    """
    since = func.min(func.coalesce(TaskInstance.scheduled_dttm, TaskInstance.queued_dttm))
    query = (
        select(TaskInstance.pool, TaskInstance.state, func.count(), since)
        .where(TaskInstance.state.in_((*_WAITING, TaskInstanceState.RUNNING)))
        .group_by(TaskInstance.pool, TaskInstance.state)
    )
    try:
        with create_session(scoped=False) as session:
            names = {str(name) for name in session.scalars(select(Pool.pool))}
            rows = session.execute(query).all()
    except SQLAlchemyError as error:
        raise StoreUnavailable(f"Airflow's database does not answer: {type(error).__name__}") from error
    waiting, running = Counter[str](), Counter[str]()
    waited_s = dict.fromkeys(names, 0.0)
    for pool, state, n_tasks, begun in rows:
        (running if state == TaskInstanceState.RUNNING else waiting)[pool] += n_tasks
        if state in _WAITING and begun is not None:
            waited_s[pool] = max(waited_s.get(pool, 0.0), (now - begun).total_seconds())
    return tuple(
        PoolFigures(pool=pool, n_waiting=waiting[pool], n_running=running[pool], waited_s=waited_s.get(pool, 0.0))
        for pool in sorted({*names, *waiting, *running})
    )
