"""What a task read and wrote, for the events that Airflow's OpenLineage provider sends, where it has somewhere to."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context

if TYPE_CHECKING:
    from perennial.pipeline import Case

log = logging.getLogger(__name__)


def name_datasets(case: Case, given: list[Any], result: Any) -> None:
    """Say what the step that was ``given`` records and gave ``result`` read and wrote, in the task that is running.

    They become its inlets and outlets, where the provider looks for them once the task has ended. It stops no step:
    what keeps them from being named is logged. Without a transport nothing is imported or looked at.
    """
    try:
        from airflow.providers.openlineage import conf

        if conf.is_disabled():
            return
        from openlineage.client.event_v2 import Dataset

        from perennial.provenance.datasets import touched

        found, task = touched(case, given, result), get_current_context()["ti"].task
        task.inlets, task.outlets = (
            [Dataset(namespace=one.namespace, name=one.name) for one in names] for names in (found.read, found.written)
        )
    except Exception as error:
        # without its text and its trace, which may hold an address with a password
        log.warning("what this task read and wrote is missing in its OpenLineage event: %s", type(error).__name__)
