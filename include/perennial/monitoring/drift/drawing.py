"""Evidently's page of a window beside the reference. No signal rests on it, and nothing waits for it."""

from perennial.config import ModelConfig
from perennial.contracts import Subject, Window
from perennial.evidence.samples import read_sample
from perennial.monitoring.drift.evidently_report import measure
from perennial.monitoring.drift.screening import Pair
from perennial.monitoring.drift.signals import screened
from perennial.monitoring.reference import fetch_reference
from perennial.registry import Registry
from perennial.store import Store


def draw_drift(
    config: ModelConfig, window: Window, version: str | None, *, store: Store, registry: Registry
) -> str | None:
    """Draw a sample of a window's rows beside those that ``version`` was fitted and judged on, column by column.

    Returns where in the storage the page lies; None when there is nothing to draw: no version, a reference that is
    gone, no column with values on both sides. Raises StoreUnavailable, StorageUnavailable and RegistryUnavailable.
    """
    reference = None if version is None else fetch_reference(registry, config.model, version)[0]
    if reference is None:
        return None
    subject = Subject.of_run(config.model, window, version)
    columns = screened(config, subject, read_sample(config, window, store=store), reference)
    pairs = [column for column in columns if isinstance(column, Pair) and column.method.method != "psi_quantile"]
    html = measure(pairs).html
    if html is None:
        return None
    path = report_path(config, window)
    with store.storage.write(path) as stream:
        stream.write(html.encode())
    return path


def report_path(config: ModelConfig, window: Window) -> str:
    """Where the page of a window lies in the storage.

    >>> report_path(flights, day(0))
    'reports/flight_delay/20130101T000000Z-20130102T000000Z.html'
    """
    return f"reports/{config.model}/{window.key}.html"
