"""The local stack: PostgreSQL, MLflow and Airflow as supervised processes of this machine, on loopback only."""

from perennial.stack.layout import Ports, StackLayout
from perennial.stack.processes import StackStatus, down, purge, up

__all__ = ["Ports", "StackLayout", "StackStatus", "down", "purge", "up"]
