"""``<model>__rollback``: someone takes the champion back by hand and says why."""

from airflow.sdk import chain

from perennial.orchestration.dag import model_dag
from perennial.orchestration.declared import declared_models
from perennial.orchestration.forms import rollback_form
from perennial.orchestration.tasks import rollback, telling

for config in declared_models():
    with model_dag(config, "rollback", params=rollback_form()):
        tell = telling.tell(config.model, "rollback").as_teardown()
        chain(rollback.roll_back(config.model), rollback.verify(config.model), tell)
