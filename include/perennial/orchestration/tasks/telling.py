"""The last task of every run: whoever has to know is told. A teardown: it never decides the colour of a run."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context, task
from airflow.sdk.log import mask_secret

from perennial.config.notify import merged
from perennial.errors import ChannelUnavailable, PerennialError
from perennial.orchestration.declared import sound_models
from perennial.orchestration.errors import FAILURE
from perennial.orchestration.session import opened_runtime
from perennial.orchestration.tasks.step import step

if TYPE_CHECKING:
    from perennial.notifying import Channels, Told
    from perennial.pipeline import Case

log = logging.getLogger(__name__)

OUTCOMES = {
    "monitor": ("halt", "blind", "stay", "retrain"),
    "retrain": ("snapshot", "fit", "evaluate", "register", "sign_off", "review", "promote", "conclude"),
}
"""Tasks whose failure stands in the ledger, as a decision or an outcome, and is told of from there."""


@step("Tell who has to know")
def tell(case: Case, kind: str) -> None:
    """What is new and what is over, of the model of this run. A channel that fails is named, and tried again later."""
    case.prepare()
    said(told_of(case, tasks_of_run(kind)))


def told_of(case: Case, tasks: Mapping[str, str | None]) -> Told:
    """Tell of one model."""
    from perennial.notifying import channels_of, notify

    channels = channels_of(case.config.notify, case.settings)
    _mask(channels)
    return notify(case.config, store=case.store, channels=channels, now=datetime.now(UTC), tasks=tasks)


def told_anyway(case: Case) -> None:
    """Tell of a model, and go on whatever that meets: the maintenance tells of it, or is red for it."""
    try:
        said(told_of(case, {}))
    except Exception:
        log.exception("%s: nobody could be told now; the maintenance tries again", case.model)


@task(task_display_name="Tell who has to know")
def tell_all() -> None:
    """The same of every model, and of what is about all of them.

    Raises ChannelUnavailable where a channel did not take what it was given: Airflow tries again, and ends red then.
    """
    from perennial.notifying import channels_of, notify_of_stack

    failed: list[str] = []
    problems: list[PerennialError] = []
    with opened_runtime() as runtime:
        configs = sound_models()
        for config in configs:
            try:
                case = runtime.case(config)
                case.prepare()
                failed += said(told_of(case, {}))
            except PerennialError as error:
                log.exception("%s", config.model)
                problems.append(error)
        channels = channels_of(merged(config.notify for config in configs), runtime.settings)
        _mask(channels)
        tasks = tasks_of_run("maintenance")
        failed += said(notify_of_stack(store=runtime.store, channels=channels, now=datetime.now(UTC), tasks=tasks))
        if problems:
            raise problems[0]
        if failed:
            raise ChannelUnavailable("; ".join(dict.fromkeys(failed)))


def said(done: Told) -> list[str]:
    """Log what became of it; returns what failed."""
    for title in done.sent:
        log.info("told: %s", title)
    for title in done.unrouted:
        log.warning("nobody is told, no channel is declared for it (notify in model.yaml): %s", title)
    if done.n_quiet:
        log.info("%d messages wait for the end of quiet hours", done.n_quiet)
    for _, why in done.failed:
        log.error("%s; the maintenance tries again", why)
    return [why for _, why in done.failed]


def tasks_of_run(kind: str) -> dict[str, str | None]:
    """The tasks of this run that are over: what failed in each, or None. Those of ``OUTCOMES`` are left out."""
    context = get_current_context()
    ti, run_id = context["ti"], context["dag_run"].run_id
    states: Mapping[str, Any] = ti.get_task_states(ti.dag_id, run_ids=[run_id]).get(run_id, {})
    own = {name: state for name, state in states.items() if name not in OUTCOMES.get(kind, ()) and name != ti.task_id}
    return {
        f"{kind}: {name}": _why(ti, name) if state == "failed" else None
        for name, state in own.items()
        if state in ("failed", "success")
    }


def _why(ti: Any, name: str) -> str:
    return str(ti.xcom_pull(name, key=FAILURE) or "see its log")


def _mask(channels: Channels) -> None:
    for url in channels.urls.values():
        mask_secret(url)
