"""``<model>__backtest``: someone tries policies on the model's history and reads the report in MLflow.

Airflow takes a file for one of DAGs when it names it.
"""

from perennial.orchestration.dag import model_dag
from perennial.orchestration.declared import declared_models
from perennial.orchestration.forms import backtest_form
from perennial.orchestration.links import with_report
from perennial.orchestration.tasks import backtest

fit_pool = backtest.fit_pool()
for config in declared_models():
    with model_dag(config, "backtest", params=backtest_form()):
        replay = backtest.replay.override(execution_timeout=backtest.TIMEOUT, pool=fit_pool)
        with_report(replay(config.model))
