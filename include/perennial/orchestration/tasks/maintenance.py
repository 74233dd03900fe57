"""The tasks of ``perennial__maintenance``: upkeep of all models, one after the other, whatever befalls one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow.sdk import get_current_context, task

from perennial.contracts import digest_of
from perennial.errors import IntegrityError, PerennialError, TransientError
from perennial.orchestration.declared import sound_models
from perennial.orchestration.session import opened_runtime

if TYPE_CHECKING:
    from perennial.pipeline import Case

log = logging.getLogger(__name__)


@task(task_display_name="Remove old staged files")
def sweep() -> None:
    """Delete what was staged and published longer ago than ``validation.keep_staging``."""
    now = datetime.now(UTC)
    _for_every_model(lambda case: log.info("%s: %d files removed", case.model, case.sweep(now=now)))


@task(task_display_name="List deliveries again")
def list_again() -> list[dict[str, object]]:
    """What to run again: the windows whose files changed after they were staged, as arguments of ``run_again``.

    A run is named after its window and the files that there are, so that one change starts one run. Where none are
    left there is nothing to read: that is only said.
    """
    now = datetime.now(UTC)
    found: list[dict[str, object]] = []

    def one(case: Case) -> None:
        changed = case.list_again(now=now)
        for each in changed:
            log.warning(
                "%s: the files of %s of %s to %s changed since they were staged, %d by now%s",
                case.model,
                each.source,
                each.window.start.isoformat(),
                each.window.end.isoformat(),
                each.n_files,
                "" if each.n_files else ": bring them back, or run the monitor again with this window, which halts it",
            )
        for window in dict.fromkeys(each.window for each in changed):
            of_it = [each for each in changed if each.window == window]
            if all(each.n_files for each in of_it):
                files = digest_of(*(f"{each.source} {each.listing}" for each in of_it))
                found.append(
                    {
                        "trigger_dag_id": f"{case.model}__monitor",
                        "trigger_run_id": f"again__{window.key}__{files[:12]}",
                        "conf": {"window_start": window.start.isoformat(), "window_end": window.end.isoformat()},
                    }
                )

    _for_every_model(one)
    return found


@task(task_display_name="Expire reviews")
def expire_reviews() -> None:
    """Reject what nobody answered in time, and what was signed off against another champion."""
    now = datetime.now(UTC)

    def one(case: Case) -> None:
        for review in case.expire_reviews(now=now):
            log.warning("%s version %s: %s", review.model, review.version, review.reason)

    _for_every_model(one)


@task(task_display_name="Find requests that nobody ran")
def open_requests() -> list[dict[str, object]]:
    """What to start: the retrain requests without an outcome and without a run, as arguments of ``dispatch``.

    A run has the request's own id, so that starting it twice makes one. A request whose run has ended without writing
    an outcome gets its outcome here.
    """
    now, ti = datetime.now(UTC), get_current_context()["ti"]
    found: list[dict[str, object]] = []

    def one(case: Case) -> None:
        dag_id = f"{case.model}__retrain"
        for request in case.unattended(now=now):
            if ti.get_dr_count(dag_id, run_ids=[request.run_id]) == 0:
                log.warning("%s: nobody ran the request %s: %s", case.model, request.run_id, request.cause)
                conf = {"request": request.request_id}
                found.append({"trigger_dag_id": dag_id, "trigger_run_id": request.run_id, "conf": conf})
            elif ti.get_dr_count(dag_id, run_ids=[request.run_id], states=["success", "failed"]):
                outcome = case.conclude_unattended(request.request_id)
                log.warning("%s: the request %s: %s", case.model, request.run_id, outcome)

    _for_every_model(one)
    return found


@task(task_display_name="Check releases")
def check_releases() -> None:
    """Finish what a crash cut off, and hold the registry against the ledger: aliases, tags and files; and the service.

    A canary that is past its deadline is taken back.
    """
    from perennial.pipeline.mending import repair

    def one(case: Case) -> None:
        for repaired in case.begin():
            log.warning("%s", repaired)
        if late := case.expire_canary(now=datetime.now(UTC)):
            log.warning("%s: %s", case.model, late)
        found = repair(case)
        for item in found:
            log.warning("%s", item.said)
        if left := [item.said for item in found if item.mended is False]:
            raise IntegrityError("; ".join(left))

    _for_every_model(one)


@task(task_display_name="Prove the ledger")
def prove_ledger() -> dict[str, str]:
    """Every entry is what was written, and follows the one before; the digest of each model's newest, to be kept.

    Airflow keeps these heads in a database of its own: who cuts entries off at the end leaves a chain that is whole.
    """
    with opened_runtime() as runtime:
        proven, unprotected = runtime.prove_ledger(), runtime.why_unprotected()
    if unprotected:
        log.warning("%s", unprotected)
    for chain in proven:
        log.info("%s: %d entries, the newest has the digest %s", chain.model, chain.n_entries, chain.head)
    return {chain.model: chain.head for chain in proven}


def _for_every_model(work: Callable[[Case], None]) -> None:
    with opened_runtime() as runtime:
        problems: list[PerennialError] = []
        for config in sound_models():
            try:
                case = runtime.case(config)
                case.prepare()
                work(case)
            except PerennialError as error:
                log.exception("%s", config.model)
                problems.append(error)
        transient = [error for error in problems if isinstance(error, TransientError)]
        if transient:
            raise transient[0]
        if problems:
            raise IntegrityError("; ".join(str(error) for error in problems))
