"""What a DAG says of itself in the Airflow UI, from ``model.yaml`` alone."""

from perennial.config import ModelConfig
from perennial.reporting.policy import policy_in_words

DESCRIPTIONS = {
    "monitor": "Takes one window of logs in, measures it, and decides",
    "retrain": "Trains a candidate, judges it, and promotes it if it is better",
    "rollback": "Takes the champion back to a version that passed its bake",
    "guard": (
        "Looks at a version in its bake by what the scoring service counts, and takes it back on a breach; and at "
        "aliases that moved"
    ),
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
{policy}

Everything here is declared in `{model}/model.yaml`; what happened is told by `perennial timeline {model}`.
"""


def describe(config: ModelConfig, kind: str) -> str:
    """The page of one DAG, as Markdown: what it does, and the policy of its model in words.

    >>> page = describe(flights, "monitor").splitlines()
    >>> page[0], next(line for line in page if "cooldown" in line)
    ('# Will a flight from New York arrive more than 15 minutes late?', '| cooldown | No retrain is requested within 10d of the one before. |')
    """  # noqa: E501  # a line of the page is one line
    return _PAGE.format(
        title=config.title,
        description=DESCRIPTIONS[kind],
        task=config.task,
        n_features=len(config.features),
        windows=f"every {config.schedule.every}" if config.schedule.every else f"by cron, {config.schedule.cron}",
        policy="\n".join(f"| {subject} | {_cell(words)} |" for subject, words in policy_in_words(config)),
        model=config.model,
    )


def _cell(words: str) -> str:
    r"""Words as a cell of a Markdown table.

    >>> _cell("a|b")
    'a\\|b'
    """
    return " ".join(words.replace("|", r"\|").split())
