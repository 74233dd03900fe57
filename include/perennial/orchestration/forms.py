"""The forms of manual runs."""

from airflow.sdk import Param


def _optional_moment(title: str, description: str) -> Param:
    return Param(None, description, title=title, type=["null", "string"], format="date-time")


def monitor_form() -> dict[str, Param]:
    """Which window; without one a run takes the window that its data interval names.

    >>> list(monitor_form())
    ['window_start', 'window_end']
    """
    return {
        "window_start": _optional_moment(
            "Window from", "First moment of event time. Empty: the window of the data interval."
        ),
        "window_end": _optional_moment("Window until", "The first moment that is no longer in it."),
    }


def retrain_form() -> dict[str, Param]:
    """As of when, why, and who has to agree.

    >>> list(retrain_form())
    ['as_of', 'reason', 'review', 'without_comparison', 'anyway']
    """
    return {
        "as_of": _optional_moment(
            "As of", "What arrived later is not used. Empty: the end of the last monitored window."
        ),
        "reason": Param("asked for by hand", title="Reason", type="string", minLength=1),
        "review": Param(
            "policy",
            title="Review",
            description="manual makes a human look at the candidate; it can not be weaker than the model's own policy.",
            enum=["policy", "auto", "manual"],
        ),
        "without_comparison": Param(
            False,
            title="Without comparison",
            description="Take it upon yourself, with your reason: the champion can not be scored. A person reviews.",
            type="boolean",
        ),
        "anyway": Param(
            False,
            title="Anyway",
            description="Make the candidate though it can not pay: too few rows to judge it by, or nothing new to fit.",
            type="boolean",
        ),
    }


def backtest_form() -> dict[str, Param]:
    """Which policies, on which stretch, and whether people answer.

    >>> list(backtest_form())
    ['policies', 'since', 'until', 'people']
    """
    return {
        "policies": Param(
            {"patient": {"policy": {"cooldown": "28d"}}},
            title="Policies",
            description="By name: parts of model.yaml to lay over the model's own, key by key.",
            type="object",
            additionalProperties={"type": "object"},
        ),
        "since": _optional_moment("From", "The first window that is replayed. Empty: the first of the history."),
        "until": _optional_moment("Until", "The end of the last one. Empty: the last of the history."),
        "people": Param(
            "approve",
            title="People",
            description="approve: they answer reviews and holds at once; absent: they never answer.",
            enum=["approve", "absent"],
        ),
    }


def rollback_form() -> dict[str, Param]:
    """To which version, and why.

    >>> list(rollback_form())
    ['version', 'reason']
    """
    return {
        "version": Param(
            None,
            title="Version",
            description="One that passed its bake. Empty: the last such version before the champion.",
            type=["null", "string"],
        ),
        "reason": Param(title="Reason", description="It goes to the ledger.", type="string", minLength=3),
    }
