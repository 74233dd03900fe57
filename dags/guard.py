"""``<model>__guard``: a version in its bake is judged by what the scoring service counts, every few minutes; and
whenever an alias moved, it is seen whether a release moved it.

Airflow takes a file for one of DAGs when it names it.
"""

from perennial.orchestration.dag import model_dag
from perennial.orchestration.declared import declared_models
from perennial.orchestration.moved import whenever_moved
from perennial.orchestration.tasks import guard, telling

for config in declared_models():
    if "serving" in config.model_fields_set:
        with model_dag(config, "guard", params={}, schedule=whenever_moved(config)):
            guard.look(config.model) >> telling.tell(config.model, "guard").as_teardown()
