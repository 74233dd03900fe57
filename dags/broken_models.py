"""No DAG: the import error, in the Airflow UI, of every ``model.yaml`` that is wrong.

Airflow drops all DAGs of a file that can not be imported, so this must not stand in the files that make DAGs.
"""

from perennial.orchestration.declared import require_all_models

require_all_models()
