"""``<model>__monitor``: one window of logs comes in, is measured, and something is decided."""

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import TriggerRule

from perennial.orchestration.dag import model_dag
from perennial.orchestration.declared import declared_models
from perennial.orchestration.forms import monitor_form
from perennial.orchestration.tasks import monitor, telling
from perennial.orchestration.timetables import timetable

LONGEST_FIRST = 10  # above whatever is measured beside it: where slots are few, the decision waits for the longest

for config in declared_models():
    model = config.model
    with model_dag(
        config,
        "monitor",
        params=monitor_form(),
        schedule=timetable(config.schedule, config.grace),
        catchup=config.schedule.catchup,
    ):
        window = monitor.open_window(model)

        published = {}
        for source in ("predictions", "labels"):
            staged = monitor.stage.override(task_id=f"stage_{source}", task_display_name=f"Stage {source}")
            audited = monitor.audit.override(task_id=f"audit_{source}", task_display_name=f"Audit {source}")
            publish = monitor.publish.override(
                task_id=f"publish_{source}",
                task_display_name=f"Publish {source}",
                trigger_rule=TriggerRule.NONE_FAILED,  # labels of earlier windows count though predictions are halted
            )
            batch = staged(model, window, source)
            published[source] = publish(model, batch, audited(model, batch))
        published["predictions"] >> published["labels"]
        shadow = [monitor.take_shadow(model, window)] if config.sources.shadow else []
        published["labels"] >> shadow  # which nothing that is measured or decided waits for

        of_predictions = [monitor.measure_drift(model, window), monitor.measure_quality(model, window)]
        gain = monitor.measure_gain.override(priority_weight=LONGEST_FIRST)
        of_labels = [monitor.measure_performance(model, window), gain(model, window)]
        bake = monitor.settle_bake(model, window)
        page = monitor.draw_drift(model, window, of_predictions[0])
        decided = monitor.decide(model, window)
        published["predictions"] >> of_predictions  # which need no labels: halted ones do not stop them
        for measured in of_labels:
            list(published.values()) >> measured
        [*of_predictions, *of_labels] >> bake >> decided
        [*of_predictions, published["labels"]] >> decided  # a halted delivery skips what lies between

        ends = [
            EmptyOperator(task_id="stay", task_display_name="Stay"),
            monitor.halt(model, decided["decision"]),
            monitor.blind(model, decided["decision"]),
            monitor.rollback(model, decided["decision"]),
            TriggerDagRunOperator(
                task_id="retrain",
                task_display_name="Retrain",
                trigger_dag_id=f"{model}__retrain",
                trigger_run_id=decided["run_id"],
                conf=decided["request"],
                logical_date=None,
                skip_when_already_exists=True,
            ),
        ]
        tell = telling.tell(model, "monitor").as_teardown()
        decided >> ends >> tell
        [*shadow, page] >> tell
