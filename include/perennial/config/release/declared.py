"""The section ``release`` of ``model.yaml``."""

from typing import Literal

from perennial.config.values import Strict

MovedAlias = Literal["report", "revert", "adopt"]


class Releases(Strict):
    """What is done about an alias in MLflow that is not where the ledger says, with no release under way.

    ``moved_alias``: it is reported and left alone, and windows halt until someone acts (``report``); set back to where
    the ledger says (``revert``); or, where the alias ``champion`` was moved to a version that a rollback may go to,
    taken for a rollback and recorded as one, and else reported (``adopt``). It is found whenever a run of the model
    begins, and by the hourly maintenance; each finding is in the ledger.
    """

    moved_alias: MovedAlias = "report"
