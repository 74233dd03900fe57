"""What speaks against a retrain that is wanted: a hold, a quiet period, cooldown, budget, no news, no rows. Pure."""

from perennial.config import ModelConfig, Policy
from perennial.contracts import Window
from perennial.decision.facts import Facts
from perennial.decision.prospects import nothing_new, too_few_to_judge
from perennial.decision.wording import day, span
from perennial.evidence.training.earlier import earlier_stretches


def against(config: ModelConfig, facts: Facts) -> tuple[str, ...]:
    """Everything that speaks against a retrain now; empty when nothing does."""
    n_new, needed = facts.rows.n_new, config.policy.min_new_labels
    reason = f"too little news: {n_new} labels since the champion's holdout, {needed} needed"
    few = (reason,) if n_new < needed else too_few_to_judge(config, facts.rows, facts.state)
    return (*against_any(config, facts), *few)


def against_any(config: ModelConfig, facts: Facts) -> tuple[str, ...]:
    """What speaks against every retrain, the first one too."""
    policy = config.policy
    said = (*held(config, facts), *hushed(policy, facts), *cooling(policy, facts), *spent(policy, facts))
    return (*said, *nothing_new(config, facts.refusal))


def held(config: ModelConfig, facts: Facts) -> tuple[str, ...]:
    """Holds that reach into the data a retrain would use, should its holdout end as much as a window early."""
    return tuple(
        f"held: {day(hold.stretch.start)} to {day(hold.stretch.end)} lies in the data of a retrain and waits for an "
        f"acknowledgement ({hold.reason}); hold {hold.entry_id}"
        for hold in facts.state.holds_over(*data_of_a_retrain(config, facts.window))
    )


def data_of_a_retrain(config: ModelConfig, window: Window) -> tuple[Window, ...]:
    """The stretches that a retrain as of the end of ``window`` could use rows of. Pure."""
    judged = config.training.holdout + config.label.delay
    start = window.start - judged - config.training.train
    earlier = earlier_stretches(config, Window(start=start, end=window.end - judged))
    return (*earlier, Window(start=start, end=window.end))


def hushed(policy: Policy, facts: Facts) -> tuple[str, ...]:
    """That the window ends in a quiet period. Pure."""
    return tuple(
        f"quiet: {quiet.reason}, {day(quiet.start)} to {day(quiet.end)}: the policy asks for no retrain"
        for quiet in policy.quiet
        if quiet.start <= facts.window.end < quiet.end
    )


def cooling(policy: Policy, facts: Facts) -> tuple[str, ...]:
    """That the last retrain was requested too lately. Pure."""
    last = facts.state.last_request_at
    if last is None or facts.window.end - last >= policy.cooldown:
        return ()
    return (f"cooldown: the last retrain was requested as of {day(last)}, less than {span(policy.cooldown)} ago",)


def spent(policy: Policy, facts: Facts) -> tuple[str, ...]:
    """That no retrain, or no CPU second for one, is left of the budget. Pure."""
    budget, since = policy.budget, facts.window.end - policy.budget.per
    n_requests = sum(moment > since for moment in facts.state.request_times)
    cpu_s = sum(seconds for moment, seconds in facts.state.fits.values() if moment > since)
    reasons = []
    if n_requests >= budget.retrains:
        reasons.append(f"budget: {n_requests} retrains requested within {span(budget.per)}, {budget.retrains} allowed")
    if budget.cpu_s is not None and cpu_s >= budget.cpu_s:
        reasons.append(
            f"budget: fits took {cpu_s:.0f} CPU seconds within {span(budget.per)}, {budget.cpu_s:.0f} allowed"
        )
    return tuple(reasons)
