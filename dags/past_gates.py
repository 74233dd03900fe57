"""``perennial__past_gates``: two people's word past failed gates, given by tags in MLflow, for all models.

Airflow takes a file for one of DAGs when it names it.
"""

from perennial.orchestration.dag import upkeep_dag
from perennial.orchestration.past_gates import WATCH, PastGatesOperator

with upkeep_dag("perennial__past_gates", schedule="@continuous"):
    PastGatesOperator(
        task_id="past_gates",
        task_display_name="Hear two people's word past failed gates",
        execution_timeout=2 * WATCH,
    )
