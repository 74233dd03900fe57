"""Airflow imports this module by its name in each of its processes, before anything else of the project."""

from perennial.orchestration.preload import preload_if_scheduler

__all__: list[str] = []  # nothing here overrides one of Airflow's settings

preload_if_scheduler()
