"""Starts a run of a DAG as its form in Airflow would, under the name of whoever asked for it."""

from dataclasses import dataclass
from typing import Any

from airflow.api.common.trigger_dag import trigger_dag
from airflow.exceptions import DagNotFound, DagRunAlreadyExists
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from airflow.utils.types import DagRunTriggeredByType
from fastapi import HTTPException
from sqlalchemy.exc import IntegrityError

from perennial.contracts import digest_of


@dataclass(frozen=True, slots=True)
class Started:
    """A run; one of a paused DAG waits."""

    run_id: str
    paused: bool


def start_rollback(model: str, version: str, reason: str, *, user_name: str, form: str) -> Started:
    """A run of ``<model>__rollback``; a form that is sent twice starts it once. 409 where Airflow has no such DAG."""
    run_id = f"console__{digest_of('rollback', model, form)}"
    given = {"version": version, "reason": reason}
    return start(f"{model}__rollback", run_id, given, user_name=user_name, by=DagRunTriggeredByType.UI)


def start(
    dag_id: str, run_id: str, given: dict[str, Any], *, user_name: str, by: DagRunTriggeredByType, unknown: int = 409
) -> Started:
    """A run of a DAG, which is there already where one of this id is. ``unknown`` where Airflow has no such DAG."""
    try:
        trigger_dag(dag_id, triggered_by=by, triggering_user_name=user_name, run_id=run_id, conf=given)
    except DagRunAlreadyExists:
        pass
    except IntegrityError:  # two at once: the other one was faster
        if DagRun.find_duplicate(dag_id=dag_id, run_id=run_id) is None:
            raise
    except DagNotFound as error:
        raise HTTPException(unknown, f"Airflow does not know {dag_id} yet") from error
    with create_session(scoped=False) as session:
        known = session.get(DagModel, dag_id)
        return Started(run_id, bool(known and known.is_paused))
