"""Whether a retrain may be made because an alert fires: what speaks against any retrain speaks against this one."""

from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import Decision
from perennial.decision.against import against, against_any
from perennial.decision.facts import Facts, gather
from perennial.decision.prospects import too_few_to_judge
from perennial.decision.record import recorded
from perennial.store import Store


def read_against_alerted(config: ModelConfig, *, store: Store) -> tuple[str, ...]:
    """Everything that speaks against a retrain as of the newest window that was decided about; empty for nothing.

    Raises StoreUnavailable.
    """
    newest = ledger.newest_decision(store, config.model)
    last = recorded(store, newest.entry_id) if newest else None
    if last is None:
        return ("nothing was decided about this model yet",)
    state = ledger.release_state(store, config.model)
    facts = gather(config, last.window, store=store, state=state, champion_alias=state.champion)
    return against_alerted(config, last, facts)


def against_alerted(config: ModelConfig, last: Decision, facts: Facts) -> tuple[str, ...]:
    """The same for what is known about the window of the ``last`` decision. Pure.

    A halt and a blind window are mended by people, a bake ends by itself, and a request that is open is this one's too.

    >>> from perennial.contracts import ReleaseState
    >>> from perennial.evidence.stretches import TrainingRows
    >>> last = Decision(decision_id="d", model="m", window=day(0), action="stay", reasons=(), champion="3",
    ...     bake="passed")
    >>> facts = Facts(window=day(0), state=ReleaseState(model="m", champion="3"), champion_alias="3",
    ...     rows=TrainingRows(n_new=9_000))
    >>> against_alerted(flights, last, facts)
    ()
    >>> from dataclasses import replace
    >>> against_alerted(flights, replace(last, action="halt", reasons=("broken schema",)), facts)
    ('the newest window is no ground for a retrain: halt: broken schema',)
    >>> baking = replace(facts, state=replace(facts.state, in_bake=True))
    >>> against_alerted(flights, last, baking), len(against_alerted(flights, last, replace(facts, rows=TrainingRows())))
    (('version 3 is in its bake: no retrain until it ends',), 1)
    """
    state = facts.state
    if last.action in ("halt", "blind"):
        return (f"the newest window is no ground for a retrain: {last.action}: {'; '.join(last.reasons)}",)
    if state.bake == "running":
        return (f"version {state.champion} is in its bake: no retrain until it ends",)
    opened = tuple(f"the request {one.run_id} is open: {one.cause}" for one in state.open_requests)
    if state.champion is None:
        return (*opened, *against_any(config, facts), *too_few_to_judge(config, facts.rows, state))
    return (*opened, *against(config, facts))
