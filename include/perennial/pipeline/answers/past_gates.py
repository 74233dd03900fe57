"""A version that failed its gates serves on two people's word: from the command line and from its tags, one way."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from perennial.contracts import Release
from perennial.errors import PermanentError

if TYPE_CHECKING:
    from perennial.pipeline import Case

_log = logging.getLogger(__name__)


def by_command(case: Case, version: str, *, by: tuple[str, ...], reason: str, entered_by: str) -> Release:
    """Their word as somebody typed it; ``entered_by`` is that account. Raises SignoffError, ReleaseError."""
    from perennial.signoff.answering.past_gates import go_past_gates

    signed = go_past_gates(
        case.config,
        version,
        by=by,
        reason=reason,
        entered_by=entered_by,
        store=case.store,
        registry=case.registry,
    )
    return case.promote(signed.signoff_id)


def by_tags(case: Case, version: str) -> Release | None:
    """Their word as the tags of the version hold it; None where it promoted nothing, and the tags say at once why.

    Twice gives the same release. Raises RegistryUnavailable, RegistryRefused, StoreUnavailable, LockTimeout: the word
    still stands in the tags then, and is to be asked for again.
    """
    from perennial.signoff.answering.past_gates import accept_tags, go_past_gates_by_tags, refuse_tags

    try:
        signed = go_past_gates_by_tags(case.config, version, store=case.store, registry=case.registry)
        release = case.promote(signed.signoff_id)
    except PermanentError as error:
        _log.warning("%s version %s, past its gates: refused: %s", case.model, version, error)
        refuse_tags(case.registry, case.model, version, str(error))
        return None
    accept_tags(case.registry, case.model, version)
    return release
