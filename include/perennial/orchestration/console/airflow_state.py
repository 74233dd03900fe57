"""What the console asks Airflow's own database: when runs come, and which run was about a window."""

from collections.abc import Iterable, Sequence

from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from sqlalchemy import select

from perennial.contracts import Window, parse_moment
from perennial.orchestration.console.pages.overview import NextRun

_LOOKED_AT = 200


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
