"""``perennial__maintenance``: the upkeep of all models, every hour."""

from airflow.sdk import CronTriggerTimetable

from perennial.orchestration.dag import start_each, upkeep_dag
from perennial.orchestration.tasks import maintenance, telling

with upkeep_dag("perennial__maintenance", schedule=CronTriggerTimetable("17 * * * *", timezone="UTC")):
    upkeep = [
        maintenance.sweep(),
        maintenance.expire_reviews(),
        maintenance.check_releases(),
        maintenance.prove_ledger(),
    ]
    run_again = start_each("run_again", "Run windows again whose files changed", maintenance.list_again())
    dispatch = start_each("dispatch", "Start the requests that nobody ran", maintenance.open_requests())
    [*upkeep, run_again, dispatch] >> telling.tell_all().as_teardown(on_failure_fail_dagrun=True)
