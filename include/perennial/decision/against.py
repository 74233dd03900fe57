"""What speaks against a retrain that is wanted: a hold, the cooldown, the budget, too little news. Pure."""

from perennial.config import ModelConfig, Policy
from perennial.contracts import Window
from perennial.decision.facts import Facts
from perennial.decision.wording import day, span


def against(config: ModelConfig, facts: Facts) -> tuple[str, ...]:
    """Everything that speaks against a retrain now; empty when nothing does."""
    reasons = [*held(config, facts), *cooling(config.policy, facts), *spent(config.policy, facts)]
    if facts.rows.n_new < config.policy.min_new_labels:
        reasons.append(
            f"too little news: {facts.rows.n_new} labels since the champion's holdout, "
            f"{config.policy.min_new_labels} needed"
        )
    return tuple(reasons)


def held(config: ModelConfig, facts: Facts) -> tuple[str, ...]:
    """Holds that reach into the data a retrain would use, should its holdout end as much as a window early."""
    return tuple(
        f"held: {day(hold.stretch.start)} to {day(hold.stretch.end)} lies in the data of a retrain and waits for an "
        f"acknowledgement ({hold.reason}); hold {hold.entry_id}"
        for hold in facts.state.holds_over(data_of_a_retrain(config, facts.window))
    )


def data_of_a_retrain(config: ModelConfig, window: Window) -> Window:
    """The stretch that a retrain as of the end of ``window`` could use rows of. Pure."""
    reach = config.training.train + config.training.holdout + config.label.delay + (window.end - window.start)
    return Window(start=window.end - reach, end=window.end)


def cooling(policy: Policy, facts: Facts) -> tuple[str, ...]:
    """That the last retrain was requested too lately. Pure."""
    last = facts.state.last_request_at
    if last is None or facts.window.end - last >= policy.cooldown:
        return ()
    return (f"cooldown: the last retrain was requested as of {day(last)}, less than {span(policy.cooldown)} ago",)


def spent(policy: Policy, facts: Facts) -> tuple[str, ...]:
    """That no retrain is left of the budget. Pure."""
    since = facts.window.end - policy.budget.per
    n_requests = sum(moment > since for moment in facts.state.request_times)
    if n_requests < policy.budget.retrains:
        return ()
    return (
        f"budget: {n_requests} retrains requested within {span(policy.budget.per)}, {policy.budget.retrains} allowed",
    )
