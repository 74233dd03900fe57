"""Starts a run of a DAG as its form in Airflow would, under the name of whoever pressed the button."""

from dataclasses import dataclass

from airflow.api.common.trigger_dag import trigger_dag
from airflow.exceptions import DagNotFound, DagRunAlreadyExists
from airflow.models.dag import DagModel
from airflow.utils.session import create_session
from airflow.utils.types import DagRunTriggeredByType
from fastapi import HTTPException

from perennial.contracts import digest_of


@dataclass(frozen=True, slots=True)
class Started:
    """A run; one of a paused DAG waits."""

    run_id: str
    paused: bool


def start_rollback(model: str, version: str, reason: str, *, user_name: str, form: str) -> Started:
    """A run of ``<model>__rollback``; a form that is sent twice starts it once. 409 where Airflow has no such DAG."""
    dag_id, run_id = f"{model}__rollback", f"console__{digest_of('rollback', model, form)}"
    try:
        trigger_dag(
            dag_id,
            triggered_by=DagRunTriggeredByType.UI,
            triggering_user_name=user_name,
            run_id=run_id,
            conf={"version": version, "reason": reason},
        )
    except DagRunAlreadyExists:
        pass
    except DagNotFound as error:
        raise HTTPException(409, f"Airflow does not know {dag_id} yet") from error
    with create_session(scoped=False) as session:
        known = session.get(DagModel, dag_id)
        return Started(run_id, bool(known and known.is_paused))
