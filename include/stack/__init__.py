"""The local stack: PostgreSQL, MLflow and Airflow as supervised processes of this machine, on loopback only."""

from stack.layout import Ports, StackLayout
from stack.processes import StackStatus, down, purge, up

__all__ = ["Ports", "StackLayout", "StackStatus", "down", "purge", "up"]
