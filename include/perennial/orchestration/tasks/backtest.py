"""The task of ``<model>__backtest``, for someone who wonders what another policy would have done."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from airflow.sdk import get_current_context

from perennial.orchestration.links import leave_report
from perennial.orchestration.tasks.retrain import fit_pool
from perennial.orchestration.tasks.step import step

if TYPE_CHECKING:
    from perennial.pipeline import Case

__all__ = ["TIMEOUT", "fit_pool", "replay"]

TIMEOUT = timedelta(hours=6)
"""For a year of windows, a dozen policies and a recipe that takes minutes; a policy more costs minutes."""

log = logging.getLogger(__name__)


@step("Replay the history")
def replay(case: Case) -> str:
    """The policies of the form, side by side with the model's own; the report lies in MLflow."""
    from perennial.backtest.apart import BacktestJob, report

    context = get_current_context()
    params = context["params"]
    since, until = (datetime.fromisoformat(text) if text else None for text in (params["since"], params["until"]))
    asked = BacktestJob(policies=params["policies"], since=since, until=until, people=params["people"])
    experiment_id, mlflow_run_id = report(
        case.config,
        asked,
        run_id=context["dag_run"].run_id,
        store=case.store,
        registry=case.registry,
        models_dir=case.settings.models_dir,
        timeout_s=(TIMEOUT - timedelta(minutes=10)).total_seconds(),
    )
    log.info("MLflow run %s holds the report", mlflow_run_id)
    leave_report(context["ti"], experiment_id, mlflow_run_id)
    return mlflow_run_id
