"""One look of the guards at a version in its bake, and the rollback that follows a breach; and at a moved alias."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from perennial.contracts import LedgerEntry, Release
from perennial.errors import ConfigError
from perennial.pipeline.case import Case

if TYPE_CHECKING:
    from perennial.release.guarded.looking import Look


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """What a look found, the rollback where it was breached, and that the service followed it."""

    look: Look
    release: Release | None = None
    followed: LedgerEntry | None = None


def notice(case: Case) -> tuple[str, ...]:
    """What is done and found where the aliases ``champion`` and ``stable`` name other versions than the ledger; nothing
    where not.

    MLflow is asked once. Only where it names another version a look begins as every run does, under the lock. While a
    release is under way nothing is found. Raises as :meth:`Case.begin`.
    """
    from perennial.contracts.tags import CHAMPION, STABLE
    from perennial.registry.versions import aliases_of
    from perennial.release.agreement import stable_of

    state = case.state()
    if state.pending is not None:
        return ()
    named, expected = aliases_of(case.registry, case.model), {CHAMPION: state.champion, STABLE: stable_of(state)}
    return case.begin() if any(named.get(alias) != version for alias, version in expected.items()) else ()


def guard(case: Case, *, now: datetime) -> Guarded:
    """Look once; a breach is rolled back by the same path as a failed bake, and at traffic.

    Raises ConfigError where no setting says where the model is served, ServiceSilent and ServiceBehind as
    :func:`perennial.release.guarded.looking.look`, ReleaseError where there is nothing to go back to.
    """
    from perennial.release.guarded.looking import look

    url, key = case.settings.serving_url(case.model), case.settings.serving_key
    if url is None:
        raise ConfigError(f"{case.model}: nobody says where it is served: set PERENNIAL_SERVING_URLS")
    secret = key.get_secret_value() if key else None
    found = look(case.config, url, key=secret, store=case.store, registry=case.registry, now=now)
    if found.decision_id is None:
        return Guarded(look=found)
    release = case.carry_out(found.decision_id)
    if not isinstance(release, Release):
        return Guarded(look=found)
    return Guarded(look=found, release=release, followed=case.verify_traffic())
