"""The section ``alerts`` of ``model.yaml``: which alerts of Prometheus start a run of the model."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from perennial.config.values import PositiveDuration, Strict

AlertName = Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]{0,99}$")]
Started = Literal["monitor", "retrain"]


class Alerts(Strict):
    """What an alert that fires starts, by its name: the ``monitor`` DAG about the last window that is over, or a
    ``retrain``, where nothing speaks against one.

    An alert that is not named starts nothing. At most ``at_most`` runs of the model are started by alerts within
    ``per``; an alert that still fires asks again when Alertmanager repeats it.
    """

    starts: dict[AlertName, Started] = Field(default={})
    at_most: Annotated[int, Field(ge=1)] = 4
    per: PositiveDuration = timedelta(days=1)
