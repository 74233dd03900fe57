"""The metrics, each declared once: its task, its direction, its function, its range, its influence."""

from perennial.statistics.metrics import binary, classes, regression
from perennial.statistics.metrics.declared import METRICS, Influence, Metric, compute

__all__ = ["METRICS", "Influence", "Metric", "binary", "classes", "compute", "regression"]
