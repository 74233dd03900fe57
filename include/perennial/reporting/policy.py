"""The policy of a model in plain sentences, of ``model.yaml`` alone: the console and the docs of its DAGs say it.

Airflow reads this whenever it parses the DAG files: nothing heavy is imported here.
"""

from collections.abc import Iterator

from perennial.config import ModelConfig
from perennial.contracts import SignalRole
from perennial.decision.wording import day, span

Sentence = tuple[str, str]
"""What it is about, and the sentence."""


def policy_in_words(config: ModelConfig) -> tuple[Sentence, ...]:
    """What starts a retrain, what speaks against one, who answers for it, and what takes it back. Pure.

    >>> words = dict(policy_in_words(flights))
    >>> words["price of a retrain"]
    'What a fresh model would gain in roc_auc, added up over the windows since the last retrain, has to exceed 0.02, and to be above zero at a confidence of 95%.'
    >>> words["budget"]
    'At most 4 retrains are requested within 90d.'
    """  # noqa: E501  # a sentence is one line
    return tuple(_sentences(config))


def roles_in_words(config: ModelConfig) -> dict[SignalRole, tuple[str, ...]]:
    """The signals of each role with their thresholds, those first that ask for a retrain; roles without one not. Pure.

    >>> roles_in_words(flights)["retrain"]
    ('gain of a retrain in roc_auc above 0.02',)
    """
    found: dict[SignalRole, list[str]] = {"retrain": [], "halt": [], "alert": [], "watch": []}
    for role, words in _signals(config):
        found[role].append(words)
    return {role: tuple(words) for role, words in found.items() if words}


def _sentences(config: ModelConfig) -> Iterator[Sentence]:
    policy, breaches, label = config.policy, config.policy.breaches, config.label
    yield from _of_data(config)
    for role, words in roles_in_words(config).items():
        yield f"signals of the role {role}", f"{'; '.join(words)}."
    sticky = " A window whose interval spans the bound counts as the one before it." if breaches.sticky else ""
    yield (
        "how often",
        f"A signal of the role retrain asks for one once it was breached in {breaches.k} of the last {breaches.n} "
        f"scheduled windows, the newest measured one of them.{sticky}",
    )
    if config.signals.gain.probe != "none":
        yield "price of a retrain", _price(config)
    yield "age", f"A champion whose newest training row is older than {span(policy.max_age)} is fitted again."
    yield "cooldown", f"No retrain is requested within {span(policy.cooldown)} of the one before."
    yield "news", f"None is requested before {policy.min_new_labels:,} labels are in since the champion's holdout."
    spent = "" if policy.budget.cpu_s is None else f", and fits take at most {policy.budget.cpu_s:,.0f} CPU seconds"
    n = policy.budget.retrains
    retrains = f"{n} retrain{'s are' if n > 1 else ' is'} requested"
    yield "budget", f"At most {retrains}{spent} within {span(policy.budget.per)}."
    for quiet in policy.quiet:
        yield "quiet", f"None from {day(quiet.start)} to {day(quiet.end)}: {quiet.reason}."
    yield (
        "blind",
        f"Where nothing is measured {span(label.max_wait)} after a window ended, or a bake lacks its evidence, the run "
        "is red.",
    )
    yield from _of_candidates(config)


def _of_data(config: ModelConfig) -> Iterator[Sentence]:
    rules = config.validation
    most = "" if rules.max_rows is None else f" or above {rules.max_rows:,}"
    yield (
        "deliveries",
        f"One with more than {rules.max_share_bad:.4g} of its rows bad, below {rules.min_rows:,} rows{most}, is halted "
        "and not published.",
    )
    yield (
        "labels",
        f"A window is measured once {config.label.mature_share:.4g} of its labels are in; as a rule they are "
        f"{span(config.label.delay)} after it.",
    )


def _signals(config: ModelConfig) -> Iterator[tuple[SignalRole, str]]:
    """Each signal that has a bound of its own, with its role."""
    signals = config.signals
    for name, wanted in signals.performance.items():
        side = "below" if config.metric(name).more_is_better else "above"
        lost = "" if wanted.max_loss is None else f", or {wanted.max_loss:g} worse than on its holdout"
        yield wanted.role, f"{name} surely {side} {wanted.bound:g}{lost}"
    if signals.gain.probe != "none":
        yield signals.gain.role, f"gain of a retrain in {config.gain_metric_name} above {config.price:g}"
    drift = signals.drift
    yield drift.weighted_share_role, f"{drift.weighted_share:.0%} of the champion's importance in drifted features"
    yield (
        drift.features_role,
        f"a feature that drifted ({drift.number.method} {drift.number.threshold:g} of numbers, "
        f"{drift.category.method} {drift.category.threshold:g} of categories)",
    )
    yield drift.score_role, "a score that drifted"
    yield signals.quality.role, f"nulls up by {signals.quality.max_null_increase:g}, and other faults of the data"
    if signals.slices.columns or signals.slices.find:
        found = ["the worst one that is found"] if signals.slices.find else []
        yield signals.slices.role, f"slices: {', '.join([*signals.slices.columns, *found])}"
    if signals.fairness.columns:
        yield (
            signals.fairness.role,
            f"groups of {', '.join(signals.fairness.columns)} apart by more than {signals.fairness.bound:g}",
        )


def _price(config: ModelConfig) -> str:
    return (
        f"What a fresh model would gain in {config.gain_metric_name}, added up over the windows since the last "
        f"retrain, has to exceed {config.price:g}, and to be above zero at a confidence of "
        f"{config.signals.gain.confidence:.0%}."
    )


def _of_candidates(config: ModelConfig) -> Iterator[Sentence]:
    gates = [f"{name} {bounds_in_words(gate.min, gate.max)}" for name, gate in config.signoff.metrics.items()]
    versus, review, bake = config.signoff.versus_champion, config.signoff.review, config.bake
    guards = [f"{name} at most {margin:g} worse" for name, margin in config.guards.items()]
    margin = (
        f"not surely worse in {versus.metric} by {versus.margin:g}"
        if versus.margin is not None
        else f"better in {versus.metric} by {versus.min_gain:g}"
    )
    yield "gates", f"{', '.join(gates)}; {', '.join([f'than the champion {margin}', *guards])}, on the same rows."
    people = "two people approve" if review.people > 1 else "one person approves"
    named = ", each under a login" if review.identity == "verified" else ""
    yield (
        "review",
        f"{review.mode}; {review.first_version} for the first version, {review.after_rollback} after a rollback. Where "
        f"it asks, {people}{named} within {span(review.deadline)}.",
    )
    if config.release.strategy == "shadow":
        yield "shadow", f"An approved version answers {config.release.min_rows:,} rows in the shadow before it serves."
    better = config.metric(bake.metric).more_is_better
    yield (
        "bake",
        f"{bake.windows} windows: {bake.metric} {'at least' if better else 'at most'} {bake.bound:g}, and at most "
        f"{bake.max_deficit:g} worse than the last stable version, each and together; more than "
        f"{bake.allowed_failures} failures take it back.",
    )


def bounds_in_words(low: float | None, high: float | None) -> str:
    """Bounds in words. Pure.

    >>> bounds_in_words(0.6, None), bounds_in_words(0.1, 0.9)
    ('at least 0.6', 'between 0.1 and 0.9')
    """
    if low is None:
        return f"at most {high:g}"
    return f"at least {low:g}" if high is None else f"between {low:g} and {high:g}"
