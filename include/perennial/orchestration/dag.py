"""A DAG as this house makes it: who owns it, what it says of itself, how it retries."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, Param
from airflow.sdk.definitions.param import ParamsDict

from perennial.config import ModelConfig
from perennial.orchestration.docs import DESCRIPTIONS, describe

RETRIES: dict[str, Any] = {
    "retries": 5,
    "retry_delay": timedelta(seconds=5),
    "retry_exponential_backoff": 3.0,
    "max_retry_delay": timedelta(minutes=10),
    "execution_timeout": timedelta(hours=1),
}
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


@contextmanager
def model_dag(config: ModelConfig, kind: str, *, params: dict[str, Param], **options: Any) -> Iterator[DAG]:
    """The DAG ``<model>__<kind>``: each of its tasks runs once at a time, transient errors are tried again over some
    ten minutes.

    ``options`` are those of a DAG: its schedule, its start, whether it catches up, and how many runs may go on at once,
    which is one unless given.
    """
    with DAG(
        f"{config.model}__{kind}",
        description=f"{DESCRIPTIONS[kind]}: {config.title}",
        doc_md=describe(config, kind),
        tags={config.model, kind, config.task, *config.tags},
        default_args={"owner": config.owner, "max_active_tis_per_dag": 1, **RETRIES},
        **{
            "schedule": None,
            "start_date": config.schedule.start,
            "catchup": False,
            "max_active_runs": 1,
            **options,
        },
    ) as dag:
        yield dag
    # Given last: Airflow copies a DAG's params deeply, several times for every task, which all read them from the DAG.
    dag.params = ParamsDict(params)


def upkeep_dag(dag_id: str, **options: Any) -> DAG:
    """The DAG ``perennial__<kind>``, about all models."""
    kind = dag_id.removeprefix("perennial__")
    return DAG(
        dag_id,
        description=DESCRIPTIONS[kind],
        doc_md=DESCRIPTIONS[kind],
        tags={"perennial", kind},
        default_args={"owner": "perennial", **RETRIES},
        start_date=EPOCH,
        catchup=False,
        max_active_runs=1,
        **options,
    )


def start_each(task_id: str, title: str, runs: Any) -> Any:
    """A task that starts each of the ``runs`` that another one lists (DAG, run id, form), the same run once."""
    once = TriggerDagRunOperator.partial(
        task_id=task_id, task_display_name=title, logical_date=None, skip_when_already_exists=True
    )
    return once.expand_kwargs(runs)
