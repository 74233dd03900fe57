"""The pages of the reference, each made from the code that it describes."""

from collections.abc import Callable

from reference_pages import cli, ledger, metrics, mlflow_tags, model_yaml, settings, tables

PAGES: dict[str, Callable[[], str]] = {
    "cli.md": cli.page,
    "ledger.md": ledger.page,
    "metrics.md": metrics.page,
    "mlflow-tags.md": mlflow_tags.page,
    "model-yaml.md": model_yaml.page,
    "settings.md": settings.page,
    "tables.md": tables.page,
}
