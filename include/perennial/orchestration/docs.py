"""What a DAG says of itself in the Airflow UI, from ``model.yaml`` alone."""

from perennial.config import ModelConfig

DESCRIPTIONS = {
    "monitor": "Takes one window of logs in, measures it, and decides",
    "retrain": "Trains a candidate, judges it, and promotes it if it is better",
    "rollback": "Takes the champion back to a version that passed its bake",
    "guard": "Looks at a version in its bake by what the scoring service counts, and takes it back on a breach",
    "backtest": "Tries policies on the model's history, beside its own, and changes nothing",
    "maintenance": (
        "Removes old staged files, rejects reviews whose deadline has passed, starts retrains that nobody ran, and "
        "checks that the ledger is whole and agrees with the registry"
    ),
    "past_gates": (
        "Watches the versions that failed their gates in MLflow: promotes one on the word of two people in its tags, "
        "or writes there why not"
    ),
}

_PAGE = """\
# {title}

{description}.

| | |
|---|---|
| task | {task}, {n_features} features |
| windows | {windows} |
| data | halts above {max_share_bad:.1%} bad rows or below {min_rows:,} rows |
| performance | {performance} |
| drift | more than {weighted_share:.0%} of the champion's importance in drifted features |
| retrains after | {k} of {n} scheduled windows breached, and the newest measured; at most {retrains} in {per} |
| gates | {gates}; {metric} better than the champion's by {min_gain:g} |
| review | {review} |
| bake | {bake_windows} windows: {bake_metric} against {bake_bound:g} |
| blind, and red | nothing measured {max_wait} after a window ended, or a bake without its evidence |

Everything here is declared in `{model}/model.yaml`; what happened is told by `perennial timeline {model}`.
"""


def describe(config: ModelConfig, kind: str) -> str:
    """The page of one DAG, as Markdown.

    >>> describe(flights, "monitor").splitlines()[0]
    '# Will a flight from New York arrive more than 15 minutes late?'
    """
    gates = [f"{name} {_bounds(gate.min, gate.max)}" for name, gate in config.signoff.metrics.items()]
    signals = [
        f"{name} {'at least' if config.metric(name).more_is_better else 'at most'} {signal.bound:g} ({signal.role})"
        for name, signal in config.signals.performance.items()
    ]
    return _PAGE.format(
        title=config.title,
        description=DESCRIPTIONS[kind],
        task=config.task,
        n_features=len(config.features),
        windows=f"every {config.schedule.every}" if config.schedule.every else f"by cron, {config.schedule.cron}",
        max_share_bad=config.validation.max_share_bad,
        min_rows=config.validation.min_rows,
        performance=", ".join(signals),
        weighted_share=config.signals.drift.weighted_share,
        k=config.policy.breaches.k,
        n=config.policy.breaches.n,
        retrains=config.policy.budget.retrains,
        per=config.policy.budget.per,
        gates=", ".join(gates),
        metric=config.signoff.versus_champion.metric,
        min_gain=config.signoff.versus_champion.min_gain,
        review=_review(config),
        max_wait=config.label.max_wait,
        bake_windows=config.bake.windows,
        bake_metric=config.bake.metric,
        bake_bound=config.bake.bound,
        model=config.model,
    )


def _review(config: ModelConfig) -> str:
    asked = config.signoff.review
    return f"{asked.mode}; {asked.first_version} for the first version, {asked.after_rollback} after a rollback"


def _bounds(low: float | None, high: float | None) -> str:
    """Bounds in words.

    >>> _bounds(0.6, None)
    'at least 0.6'
    >>> _bounds(0.1, 0.9)
    'between 0.1 and 0.9'
    """
    if low is None:
        return f"at most {high:g}"
    return f"at least {low:g}" if high is None else f"between {low:g} and {high:g}"
