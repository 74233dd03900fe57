"""Who is told of what happens to a model, and when not."""

from perennial.config.notify.declared import SEVERITIES, Notify, Quiet, Route, Severity, merged

__all__ = ["SEVERITIES", "Notify", "Quiet", "Route", "Severity", "merged"]
