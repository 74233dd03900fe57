"""``perennial__maintenance``: the upkeep of all models, every hour."""

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import CronTriggerTimetable

from perennial.orchestration.dag import upkeep_dag
from perennial.orchestration.tasks import maintenance, telling

with upkeep_dag("perennial__maintenance", schedule=CronTriggerTimetable("17 * * * *", timezone="UTC")):
    upkeep = [
        maintenance.sweep(),
        maintenance.expire_reviews(),
        maintenance.check_releases(),
        maintenance.prove_ledger(),
    ]
    run_again = TriggerDagRunOperator.partial(
        task_id="run_again",
        task_display_name="Run windows again whose files changed",
        logical_date=None,
        skip_when_already_exists=True,
    ).expand_kwargs(maintenance.list_again())
    dispatch = TriggerDagRunOperator.partial(
        task_id="dispatch",
        task_display_name="Start the requests that nobody ran",
        logical_date=None,
        skip_when_already_exists=True,
    ).expand_kwargs(maintenance.open_requests())
    [*upkeep, run_again, dispatch] >> telling.tell_all().as_teardown(on_failure_fail_dagrun=True)
