"""docs/reference/metrics.md, from perennial.exposition.families and perennial.serving.metrics."""

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily

from perennial.exposition.families import MACHINE_METRICS, METRICS
from perennial.serving.metrics import Metrics
from reference_pages.markdown import code, joined, table

INTRODUCTION = """
# Metrics

What Prometheus reads. This page is generated from `include/perennial/exposition/` and `include/perennial/serving/` by
`make docs`; edit those, not the page. Units are seconds and bytes; a counter ends with `_total`; a share is a ratio
from 0 to 1. What is not known has no sample, and never a zero.
"""
OF_MODELS = """
## Of the pipeline

`GET /perennial/metrics` of Airflow's API server, for whoever says `PERENNIAL_METRICS_TOKEN` as a bearer token. Each has
the label `model`. *Event time* is that of the windows: it stands still where no window is decided about.
"""
OF_MACHINE = """
## Of the machine

On the same page, without the label `model`: the machine whose web server answers, the store, and Airflow's pools
([alerts](../runbook.md#alerts)). In a container memory and processors are the machine's.
"""
OF_SERVICES = """
## Of a scoring service

`GET /metrics` of `perennial serve` ([how](../how-to/run-the-scoring-service.md)).
"""


def page() -> str:
    """The whole page as Markdown."""
    return joined(
        INTRODUCTION,
        OF_MODELS,
        table(["metric", "kind", "labels", "is"], [_row(*one[:4]) for one in METRICS]),
        OF_MACHINE,
        table(["metric", "kind", "labels", "is"], [_row(*one[:4]) for one in MACHINE_METRICS]),
        OF_SERVICES,
        table(["metric", "kind", "labels", "is"], list(_of_services())),
    )


def _row(kind: type, name: str, about: str, labels: tuple[str, ...]) -> tuple[str, str, str, str]:
    counts = kind is CounterMetricFamily
    full = f"perennial_{name}{'_total' if counts else ''}"
    return code(full), "counter" if counts else "gauge", ", ".join(map(code, labels)), about


def _of_services() -> list[tuple[str, str, str, str]]:
    on = CollectorRegistry()
    made = Metrics(registry=on)
    labels = {one._name: one._labelnames for one in vars_of(made)}  # type: ignore[attr-defined]
    return sorted(
        (
            code(f"{found.name}{'_total' if found.type == 'counter' else ''}"),
            found.type,
            ", ".join(map(code, labels.get(found.name, getattr(found, "_labelnames", ())))),
            found.documentation,
        )
        for found in on.collect()
    )


def vars_of(made: Metrics) -> list[object]:
    """The metrics of a service, as they are declared."""
    found = (getattr(made, name) for name in Metrics.__dataclass_fields__)
    return [one for one in found if hasattr(one, "_labelnames")]
