"""The task of ``<model>__guard``: a version in its bake is looked at without labels."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from perennial.orchestration.tasks.step import step

if TYPE_CHECKING:
    from perennial.pipeline import Case

log = logging.getLogger(__name__)


@step("Look at what the service counts")
def look(case: Case) -> str:
    """The figures of the version in its bake keep their bounds, or it is rolled back at once.

    Before that the service is asked whom the alias names: another version than the ledger's is dealt with as every run
    would. Where no version is in its bake nothing else is asked, and nothing but the ledger read; where no setting says
    what serves the model, nobody can be asked.
    """
    from perennial.pipeline.guarded import guard, notice

    for said in notice(case):
        log.warning("%s", said)
    if not case.state().in_bake:
        return "idle"
    if case.settings.serving_url(case.model) is None:
        log.warning("a version is in its bake, and nobody guards it: PERENNIAL_SERVING_URLS names no service")
        return "unwatched"
    from perennial.provenance.taken_back import keep

    done = guard(case, now=datetime.now(UTC))
    log.info("%s: %s", done.look.status, done.look.reason)
    for signal in done.look.signals:
        log.info("%s %s: %s", signal.status, signal.name, signal.detail)
    if done.release is not None:
        log.warning("version %s serves instead of %s", done.release.version, done.release.previous)
        keep(case)
    if done.followed is not None:
        log.info("%s", done.followed.reason)
    return done.look.status
