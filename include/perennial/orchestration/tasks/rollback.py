"""The tasks of ``<model>__rollback``, for someone who has to act by hand."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow.sdk import get_current_context

from perennial.contracts import Release
from perennial.orchestration.links import leave_link
from perennial.orchestration.tasks.step import step

if TYPE_CHECKING:
    from perennial.pipeline import Case

log = logging.getLogger(__name__)


@step("Roll back")
def roll_back(case: Case) -> Release:
    """The version of the form, or the last one that passed its bake, serves again."""
    from perennial.provenance.taken_back import keep

    context = get_current_context()
    run, params = context["dag_run"], context["params"]
    case.begin()
    release = case.roll_back(
        actor=run.triggering_user_name or "airflow",
        reason=params["reason"],
        at=case.last_monitored() or run.run_after,
        run_id=run.run_id,
        version=params["version"],
    )
    log.info("version %s serves instead of %s", release.version, release.previous)
    keep(case)
    leave_link(context["ti"], case.model, release.version)
    return release


@step("Verify")
def verify(case: Case) -> str | None:
    """Ledger, registry and, where a setting names it, the scoring service have the same champion."""
    champion = case.verify().champion
    if followed := case.verify_traffic():
        log.info(followed.reason)
    return champion
