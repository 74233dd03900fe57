"""From a task to what it made in MLflow."""

from typing import Any

from airflow.sdk import BaseOperator, BaseOperatorLink
from airflow.sdk.bases.xcom import BaseXCom
from airflow.sdk.definitions.xcom_arg import PlainXComArg

from perennial.settings import load_settings

VERSION_URL, REPORT_URL = "model_version_url", "report_url"


class ModelVersionLink(BaseOperatorLink):
    """The page of the model version in the MLflow UI, where its gates stand and a reviewer sets the tag."""

    name = "Model version in MLflow"
    xcom_key = VERSION_URL

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:  # noqa: ARG002 - Airflow's signature
        """The address that the task left, or an empty text when it made no version."""
        found = BaseXCom.get_value(ti_key=ti_key, key=VERSION_URL)
        return str(found or "")


class ReportLink(BaseOperatorLink):
    """The page of a backtest, among the artifacts of its MLflow run."""

    name = "Report in MLflow"
    xcom_key = REPORT_URL

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:  # noqa: ARG002 - Airflow's signature
        """The address that the task left, or an empty text when there is no report."""
        found = BaseXCom.get_value(ti_key=ti_key, key=REPORT_URL)
        return str(found or "")


def linked(result: Any) -> Any:
    """Give the task that makes ``result`` the link."""
    if isinstance(result, PlainXComArg):
        result.operator.operator_extra_links = (ModelVersionLink(),)
    return result


def with_report(result: Any) -> Any:
    """Give the task that makes ``result`` the link to its report."""
    if isinstance(result, PlainXComArg):
        result.operator.operator_extra_links = (ReportLink(),)
    return result


def leave_report(ti: Any, experiment_id: str, run_id: str) -> None:
    """Leave the address of a report for the link of this task."""
    root = load_settings().require_mlflow_uri().rstrip("/")
    ti.xcom_push(REPORT_URL, f"{root}/#/experiments/{experiment_id}/runs/{run_id}/artifacts/backtest/backtest.html")


def leave_link(ti: Any, model: str, version: str) -> None:
    """Leave the address of a model version for the link of this task."""
    ti.xcom_push(VERSION_URL, f"{load_settings().require_mlflow_uri().rstrip('/')}/#/models/{model}/versions/{version}")
