"""What an alert of Prometheus starts: one run for one firing, written to the ledger before it is started."""

from perennial.pipeline.alerts.acting import RETRIED_FOR, Alert, AlertAnswer, answer

__all__ = ["RETRIED_FOR", "Alert", "AlertAnswer", "answer"]
