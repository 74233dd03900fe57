"""The case: everything that is done about one model, one method a step.

The Airflow tasks, the command line and the demo call these, and nothing below them.
"""

from perennial.pipeline.case import Case
from perennial.pipeline.runtime import Runtime, open_runtime

__all__ = ["Case", "Runtime", "open_runtime"]
