"""The tasks of ``<model>__rollback``, for someone who has to act by hand."""

import logging
from typing import Any

from airflow.sdk import get_current_context

from perennial.contracts import to_record
from perennial.orchestration.links import leave_link
from perennial.orchestration.moments import last_monitored
from perennial.orchestration.session import opened
from perennial.orchestration.step import step

log = logging.getLogger(__name__)


@step("Roll back")
def roll_back(model: str) -> dict[str, Any]:
    """The version of the form, or the last one that passed its bake, serves again."""
    from perennial import pipeline

    context = get_current_context()
    run, params = context["dag_run"], context["params"]
    with opened(model) as (config, runtime):
        pipeline.reconcile(config, runtime=runtime)
        release = pipeline.roll_back(
            config,
            runtime=runtime,
            actor=run.triggering_user_name or "airflow",
            reason=params["reason"],
            at=last_monitored(model, runtime=runtime) or run.run_after,
            version=params["version"],
        )
    log.info("version %s serves instead of %s", release.version, release.previous)
    leave_link(context["ti"], model, release.version)
    return to_record(release)


@step("Verify")
def verify(model: str) -> str | None:
    """Ledger and registry name the same champion."""
    from perennial import pipeline

    with opened(model) as (config, runtime):
        return pipeline.verify(config, runtime=runtime).champion
