"""The section ``release`` of ``model.yaml``."""

from typing import Annotated, Literal

from pydantic import Field

from perennial.config.release.ab import AB
from perennial.config.release.canary import Canary
from perennial.config.release.guards import Guards
from perennial.config.values import Strict

MovedAlias = Literal["report", "revert", "adopt"]


class Releases(Strict):
    """How a version that passed its gates takes office, and what is done about an alias in MLflow that is not where
    the ledger says, with no release under way.

    ``strategy: direct``: once its review approved it; ``canary``: once it answered growing shares of the requests
    after that, as ``canary`` says; ``ab``: once it was better than the champion on labelled rows, each on a share of
    the requests, as ``ab`` says; ``shadow``: once it has answered in the shadow as well. It is then compared with the
    champion on the rows that both answered since the signoff, in windows whose labels are in: at least ``min_rows`` of
    them, with an interval. It is rejected where the whole interval of its gain in ``metric`` (that of
    ``signoff.versus_champion`` unless it is given) lies below ``-margin``, and as blind where there were not enough
    rows by ``signoff.review.deadline``. Without a champion, and where someone waived the comparison with it, nothing is
    asked of the shadow.

    ``moved_alias``: it is reported and left alone, and windows halt until someone acts (``report``); set back to where
    the ledger says (``revert``); or, where the alias ``champion`` was moved to a version that a rollback may go to,
    taken for a rollback and recorded as one, and else reported (``adopt``). It is found whenever a run of the model
    begins, by the hourly maintenance, and, of ``champion`` and ``stable``, by a run that begins within some seconds of
    ``serving.poll_s`` where the model has a section ``serving``; each finding is in the ledger.

    ``guards``: what the scoring service measures of a version in its bake, and rolls it back for, without labels.
    """

    moved_alias: MovedAlias = "report"
    # left out where nobody gave them, so that what was written before they existed keeps its digest
    strategy: Literal["direct", "shadow", "canary", "ab"] = Field(
        default="direct", exclude_if=lambda value: value == "direct"
    )
    metric: str | None = Field(default=None, exclude_if=lambda value: value is None)
    margin: Annotated[float, Field(ge=0)] = Field(default=0.0, exclude_if=lambda value: value == 0)
    min_rows: Annotated[int, Field(ge=30)] = Field(default=1_000, exclude_if=lambda value: value == 1_000)  # noqa: PLR2004
    canary: Canary = Field(default=Canary(), exclude_if=lambda value: value == Canary())
    ab: AB = Field(default=AB(), exclude_if=lambda value: value == AB())
    guards: Guards = Field(default=Guards(), exclude_if=lambda value: value == Guards())

    @property
    def by_shares(self) -> bool:
        """Whether an approved version answers shares of the requests before it serves."""
        return self.strategy in ("canary", "ab")

    @property
    def shares(self) -> list[float]:
        """Those shares, in percent, one after the other."""
        return [self.ab.share] if self.strategy == "ab" else self.canary.shares
