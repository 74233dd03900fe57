"""Who may see a model, and who may act on it: Airflow's permissions on the model's DAGs, asked every time."""

from dataclasses import dataclass
from typing import Literal

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models.dag import DagModel
from fastapi import HTTPException

from perennial.config import ModelConfig, read_models
from perennial.settings import load_settings


@dataclass(frozen=True, slots=True)
class Right:
    """What Airflow has to allow on one of a model's DAGs."""

    dag: Literal["retrain", "rollback"]
    method: Literal["POST", "PUT"]
    entity: DagAccessEntity


REVIEW = Right("retrain", "PUT", DagAccessEntity.HITL_DETAIL)
"""To answer for a person whom a run waits for, as Airflow's own human-in-the-loop tasks ask it."""
ACKNOWLEDGE = Right("retrain", "POST", DagAccessEntity.RUN)
ROLL_BACK = Right("rollback", "POST", DagAccessEntity.RUN)


def seen(user: GetUserDep) -> list[ModelConfig]:
    """The models whose monitor DAG the user may read."""
    configs, _ = read_models(load_settings().models_dir)
    readable = get_auth_manager().get_authorized_dag_ids(user=user, method="GET")
    return [config for config in configs if f"{config.model}__monitor" in readable]


def readable(model: str, user: GetUserDep) -> ModelConfig:
    """The model, or 404 for one that is not there or that the user may not see: nobody learns which."""
    found = next((config for config in seen(user) if config.model == model), None)
    if found is None:
        raise HTTPException(404, "no such model, or none that you may see")
    return found


def may(user: GetUserDep, config: ModelConfig, right: Right) -> bool:
    """Whether Airflow lets the user do it."""
    dag_id = f"{config.model}__{right.dag}"
    allowed: bool = get_auth_manager().is_authorized_dag(
        method=right.method,
        access_entity=right.entity,
        details=DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id)),
        user=user,
    )
    return allowed


def actable(model: str, user: GetUserDep, right: Right) -> ModelConfig:
    """The model, 404 as :func:`readable`, or 403 for one that the user may only read."""
    config = readable(model, user)
    if not may(user, config, right):
        raise HTTPException(403, f"you may not act on {config.model}: Airflow's {right.dag} DAG does not let you")
    return config
