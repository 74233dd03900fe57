"""The policy: what to do about one window. Pure, total, and every branch says why in figures.

The first rule that applies decides:

1. data that was not published, or an alias moved by hand: **halt**. Nothing else is decided on such ground.
2. a later window was decided already: **stay**. What an old window shows is recorded, and never acted on.
3. the champion failed its bake: **rollback** to the version that was trusted last. Without one there is nothing to go
   back to; the champion keeps serving, and its failed bake counts as a reason to retrain (rule 8), since it would
   otherwise serve for ever although it is known to disappoint.
4. a signal of the role ``halt`` is breached in what this run measured: **halt**.
5. no champion yet: **retrain** for the first time once a training and its holdout have enough labelled rows.
6. in bake: **stay**. A retrain now would be compared with a champion that nobody trusts yet. Past the bake's deadline:
   **blind**. Neither trust nor a rollback may rest on missing labels.
7. nothing was measured for longer than labels are waited for: **blind**, in a bake and before the first champion too.
8. a retrain is wanted (it would gain more than its price, k of n scheduled windows and the newest measured one, an aged
   champion, a failed bake with nothing to go back to) and nothing speaks against it (a hold, a quiet period, the
   cooldown, the budget, too few new labels): **retrain**. Else **stay**; but a champion that is known to disappoint and
   can not be replaced is **blind**, once the cooldown is over.

A champion's age is that of the newest row it was *fitted* on, not the time since its promotion: after a rollback the
old version is as old as its data, whatever the day of its return. A candidate that was refused beside it answers for
its age: it is asked for again once that is ``max_age`` ago, and not in every window meanwhile.
"""

from collections.abc import Sequence
from datetime import timedelta

from perennial.config import ModelConfig, Policy
from perennial.contracts import Action, Decision, Signal, SignalName, SignalStatus, Window, digest_of
from perennial.decision.against import against, against_any, cooling, data_of_a_retrain
from perennial.decision.facts import Facts
from perennial.decision.sequence import breached_often, by_name, in_places, last_windows, lasting, status_of
from perennial.decision.wording import day, figures, span
from perennial.errors import first_of

Ruling = tuple[Action, tuple[str, ...]]
"""What to do, and why."""


def decide(config: ModelConfig, facts: Facts) -> Decision:
    """What is to be done about ``facts.window``. The same facts give the same decision, id included.

    A halt and a blind window carry their cause in their id: once that is mended, the same window is decided anew. So it
    is after an acknowledgement of a hold over the data that it speaks of, which is part of the id too.

    >>> from dataclasses import replace
    >>> from perennial.contracts import ReleaseState
    >>> facts = Facts(window=day(0), state=ReleaseState(model="flight_delay"), champion_alias=None)
    >>> decide(flights, facts).action, decide(flights, replace(facts, halted="broken schema")).action
    ('stay', 'halt')
    """
    action, reasons = _judge(config, facts)
    if action == "retrain" and facts.refused:
        reasons = (*reasons, facts.refused)
    cause = reasons if action in ("halt", "blind") else ()
    known = (sorted(facts.batch_ids), *_acknowledged(config, facts))
    decision_id = digest_of("decision", config.model, facts.window.key, *known, *cause)
    measured = facts.measured
    return Decision(
        decision_id=decision_id,
        model=config.model,
        window=facts.window,
        action=action,
        reasons=reasons,
        champion=facts.state.champion,
        bake="blind" if _is_bake_overdue(config, facts) else facts.state.bake,
        breached=tuple(signal.name for signal in measured if signal.status == "breached"),
        unknown=tuple(signal.name for signal in measured if signal.status == "unknown"),
        undecided=tuple(signal.name for signal in measured if signal.status == "undecided"),
        retrain_run_id=f"retrain__{decision_id}" if action == "retrain" else None,
    )


def _judge(config: ModelConfig, facts: Facts) -> Ruling:
    if halted := _grounds_to_halt(facts):
        return "halt", halted
    if facts.newest_decided is not None and facts.newest_decided > facts.window.end:
        return "stay", (
            f"a later window, up to {day(facts.newest_decided)}, was decided already: this one is measured and "
            "recorded, and not acted on",
        )
    if facts.state.bake == "failed" and (target := facts.state.fallback):
        return "rollback", (
            f"version {facts.state.champion} failed its bake{_bake_figures(facts)}; version {target} passed its own",
        )
    if grounds := _breaches_that_halt(facts):
        return "halt", grounds
    return _on_sound_ground(config, facts)


def _on_sound_ground(config: ModelConfig, facts: Facts) -> Ruling:
    if facts.state.champion is None:
        return _first_training(config, facts)
    if facts.state.bake == "running":
        return _baking(config, facts)
    return _maintained(config, facts)


def _maintained(config: ModelConfig, facts: Facts) -> Ruling:
    """What to do about a champion that is not in its bake: stay with it, or replace it."""
    if facts.blind:
        return "blind", (facts.blind, *(f"wanted: {reason}" for reason in _wanted(config, facts)))
    wanted = _wanted(config, facts)
    if not wanted:
        return "stay", (_quiet(config, facts),)
    blocks = against(config, facts)
    if not blocks:
        return "retrain", wanted
    reasons = (*(f"wanted: {reason}" for reason in wanted), *blocks)
    stranded = facts.state.bake == "failed" and not cooling(config.policy, facts)
    return ("blind", (*reasons, _exits(facts, "mend what speaks against a retrain"))) if stranded else ("stay", reasons)


def _grounds_to_halt(facts: Facts) -> tuple[str, ...]:
    moved = facts.state.divergence(facts.champion_alias)
    return tuple(reason for reason in (facts.halted, moved) if reason)


def _breaches_that_halt(facts: Facts) -> tuple[str, ...]:
    model = facts.state.model
    exits = (
        f"mend the data and run this window again, or let a person decide on another version ({model}__retrain with "
        "review: manual), or give the signal another role"
    )
    breached = [found for found in facts.measured if found.role == "halt" and found.status == "breached"]
    return tuple(f"{figures(found)}, and its role is halt: {exits}" for found in breached)


def _baking(config: ModelConfig, facts: Facts) -> Ruling:
    since = day(facts.state.champion_since) if facts.state.champion_since else "its promotion"
    past = f", promoted {facts.state.past_gates}," if facts.state.past_gates else ""
    in_bake = f"version {facts.state.champion}{past} is in its bake since {since}"
    if not _is_bake_overdue(config, facts):
        return ("blind", (facts.blind,)) if facts.blind else ("stay", (f"{in_bake}: no retrain until it ends",))
    unknown = [
        f"{found.name} of {day(found.window.start)}: {found.detail}"
        for found in facts.signals
        if found.family == "bake" and found.status in ("unknown", "undecided")
    ]
    missing = f"not known: {first_of(unknown, most=2)}" if unknown else "no more windows of it have their labels"
    return "blind", (
        f"{in_bake} and neither passed nor failed by its deadline (bake.deadline): {config.bake.windows} windows that "
        f"show it together were not measured; {missing}",
        *([facts.blind] if facts.blind else []),
        _exits(facts, "have the labels mended and run this window again"),
    )


def _is_bake_overdue(config: ModelConfig, facts: Facts) -> bool:
    since = facts.state.champion_since
    return facts.state.bake == "running" and since is not None and facts.window.end >= config.bake_ends_by(since)


def _exits(facts: Facts, mend: str) -> str:
    model = facts.state.model
    back = f"; or roll back by hand (perennial rollback {model} --reason ...)" if facts.state.fallback else ""
    return f"{mend}{back}; or let a person decide on another version ({model}__retrain with review: manual)"


def _bake_figures(facts: Facts) -> str:
    found = [signal for signal in facts.newest if signal.family == "bake" and signal.status == "breached"]
    said = first_of(map(figures, found)) if found else facts.state.bake_reason
    return f" ({said})" if said else ""


def _first_training(config: ModelConfig, facts: Facts) -> Ruling:
    train, holdout = config.training.min_train_rows, config.signoff.min_holdout_rows
    counts = (
        f"{facts.rows.n_train} labelled rows to train on ({train} needed) and {facts.rows.n_holdout} later ones to "
        f"judge by ({holdout} needed)"
    )
    if facts.rows.n_train < train or facts.rows.n_holdout < holdout:
        reasons: tuple[str, ...] = (f"no champion yet, and too little to make one: {counts}",)
    elif blocks := against_any(config, facts):
        reasons = ("wanted: a first champion", *blocks)
    else:
        return "retrain", (f"no champion yet: {counts}",)
    return ("blind", (facts.blind, *reasons)) if facts.blind else ("stay", reasons)


def _wanted(config: ModelConfig, facts: Facts) -> tuple[str, ...]:
    """Every reason to retrain; empty when there is none."""
    reasons = [] if facts.state.bake != "failed" else [_stranded(facts)]
    k, n = config.policy.breaches.k, config.policy.breaches.n
    for name, history in _histories(config, facts).items():
        if SignalName.family_of(name) == "gain":
            if _worth_it(history):
                reasons.append(_gain(history))
        elif breached_often(statuses := _counted(config, history), k=k, n=n):
            measured = next(signal for signal in reversed(history) if signal is not None and signal.value is not None)
            reasons.append(
                f"{name} breached in {statuses.count('breached')} of its last {len(history)} windows "
                f"(policy: {k} of {n}), the newest included: {figures(measured)}"
            )
    age = _age(facts)
    if age is not None and age > config.policy.max_age and not _refreshed(config.policy, facts):
        reasons.append(
            f"version {facts.state.champion} was fitted on data up to {span(age)} ago, more than "
            f"{span(config.policy.max_age)}"
        )
    return tuple(reasons)


def _counted(config: ModelConfig, history: Sequence[Signal | None]) -> list[SignalStatus]:
    statuses = [status_of(signal) for signal in history]
    return lasting(statuses) if config.policy.breaches.sticky else statuses


def _worth_it(history: Sequence[Signal | None]) -> bool:
    """Gains are added up over windows: the newest sum says it all, and no other has to agree."""
    return breached_often([status_of(signal) for signal in history], k=1, n=len(history))


def _gain(history: Sequence[Signal | None]) -> str:
    newest = next(signal for signal in reversed(history) if signal is not None and signal.value is not None)
    return f"{newest.detail}; price {newest.threshold:.4g}"


def _stranded(facts: Facts) -> str:
    return (
        f"version {facts.state.champion} fell below its bound in its bake{_bake_figures(facts)}, but there is no "
        "stable version to go back to"
    )


def _histories(config: ModelConfig, facts: Facts) -> dict[str, tuple[Signal | None, ...]]:
    """The retrain signals of the present champion in their last ``n`` scheduled windows. A bake has a rule of its own.

    A gain that was measured by the last retrain request has had its answer.

    A window takes its place whatever became of it: halted, not measured, or served by another version. What waits for
    its labels has none yet, where the signal is one of performance.
    """
    answered = facts.state.last_answered_at
    asking = [
        signal
        for signal in facts.signals
        if signal.role == "retrain"
        and signal.version == facts.state.champion
        and signal.family != "bake"
        and not (signal.family == "gain" and answered is not None and signal.as_of <= answered)
    ]
    return {name: in_places(_places(config, facts, found), found) for name, found in by_name(asking).items()}


def _places(config: ModelConfig, facts: Facts, found: list[Signal]) -> tuple[Window, ...]:
    measured = {signal.window for signal in found}
    needs_labels = found[0].family in ("performance", "gain")
    return last_windows(
        facts.window,
        config.policy.breaches.n,
        every=config.schedule.every,
        seen=facts.seen,
        waiting=(window for window in facts.waiting if needs_labels and window not in measured),
        excluded=facts.state.excluded,
    )


def _age(facts: Facts) -> timedelta | None:
    state = facts.state
    since = state.lineage.train.end if state.lineage else state.champion_since
    return facts.window.end - since if since else None


def _refreshed(policy: Policy, facts: Facts) -> bool:
    """Whether a candidate was refused beside this champion within ``max_age``: that answered for its age as well."""
    state, asked = facts.state, facts.state.last_answered_at
    if asked is None or (state.champion_since is not None and asked <= state.champion_since):
        return False
    return facts.window.end - asked <= policy.max_age


def _acknowledged(config: ModelConfig, facts: Facts) -> tuple[str, ...]:
    """What was said of the holds that touch the window: the data of a retrain, or the windows that are counted."""
    window, counted = facts.window, config.policy.breaches.n * (facts.window.end - facts.window.start)
    touched = (
        *data_of_a_retrain(config, window),
        Window(start=window.end - counted - config.label.max_wait, end=window.end),
    )
    return tuple(
        f"{hold.entry_id}: {'without' if hold.excluded else 'with'} its rows"
        for hold in facts.state.holds
        if hold.acknowledged and any(hold.stretch.overlaps(stretch) for stretch in touched)
    )


def _quiet(config: ModelConfig, facts: Facts) -> str:
    k, n = config.policy.breaches.k, config.policy.breaches.n
    histories = _histories(config, facts)
    if not any(signal and signal.value is not None for history in histories.values() for signal in history):
        nothing = f"no signal of version {facts.state.champion} that could ask for a retrain is measured yet"
        return nothing + (f"; not known: {first_of(histories)}" if histories else "")
    newest = {name: _counted(config, history)[-1:] for name, history in histories.items()}
    unknown = [name for name, last in newest.items() if last == ["unknown"]]
    note = f"; not known: {first_of(unknown)}" if unknown else ""
    breached = [name for name, last in newest.items() if last == ["breached"]]
    once = f"; breached now, but not often enough: {first_of(breached)}" if breached else ""
    return f"none of {len(histories)} retrain signals breached in {k} of its last {n} windows{once}{note}"
