"""Runs below a run: what was tried on the way to a candidate."""

from collections.abc import Mapping, Sequence
from typing import Literal

from mlflow.entities import Metric, Param, RunTag

from perennial.registry.client import Registry, asking

PARENT = "mlflow.parentRunId"
"""The tag by which MLflow's pages show one run below another."""
Status = Literal["FINISHED", "FAILED", "KILLED"]


def log_below(
    registry: Registry,
    parent_id: str,
    *,
    name: str,
    params: Mapping[str, object],
    metrics: Mapping[str, Sequence[float]],
    tags: Mapping[str, str],
    status: Status,
    at_ms: int,
) -> str:
    """A run below another, complete and ended; its id.

    Each metric has a value a step, from 0 on; ``at_ms`` (event time, milliseconds since 1970) is the time of all.
    Raises RegistryUnavailable.
    """
    with asking(registry, f"logging {name} below run {parent_id}"):
        client = registry.client
        experiment_id = client.get_run(parent_id).info.experiment_id
        run_id = str(client.create_run(experiment_id, run_name=name, tags={**tags, PARENT: parent_id}).info.run_id)
        client.log_batch(
            run_id,
            metrics=[
                Metric(metric, value, at_ms, step)
                for metric, values in metrics.items()
                for step, value in enumerate(values)
            ],
            params=[Param(key, str(value)) for key, value in params.items()],
            tags=[RunTag("mlflow.source.type", "JOB")],
        )
        client.set_terminated(run_id, status)
    return run_id
