"""The verdict as a reviewer reads it, on the version's page in MLflow. Pure."""

from perennial.config import ModelConfig
from perennial.contracts import Evaluation, Gate, Record, Signoff, Window
from perennial.contracts.tags import (
    MOST_CHARACTERS,
    PAST_GATES,
    REASON_TAG,
    REVIEWER_TAG,
    SECOND_TAG,
    SIGNOFF_TAG,
)
from perennial.signoff.conditions.figures import shown

REPORT = "signoff/report.html"
"""Where the artifacts of a run hold the page of its version's newest signoff."""

DELIVERIES = "signoff/deliveries.html"
"""Where they hold that of the deliveries and files that the version was made of."""

_LENGTHS = (10_000, 400, 200, 120, 80, 40)


def describe(config: ModelConfig, signoff: Signoff, evaluation: Evaluation, record: Record | None = None) -> str:
    """The verdict as Markdown, as the MLflow UI renders it on the version's page. Pure.

    MLflow keeps 5,000 characters: where all that there is to say is longer, sentences and flags are cut to what fits,
    and the page of the signoff has the whole.

    >>> describe(flights, signed, evaluation).splitlines()[0]
    '### Signoff of flight_delay version 4: all gates passed'
    """
    for longest in _LENGTHS:
        text = _described(config, signoff, evaluation, record, longest)
        if len(text) <= MOST_CHARACTERS:
            return text
    return f"{text[: MOST_CHARACTERS - 1]}…"


def _described(
    config: ModelConfig, signoff: Signoff, evaluation: Evaluation, record: Record | None, longest: int
) -> str:
    """The description with no sentence longer than ``longest`` characters."""
    n_failed = sum(not gate.passed for gate in signoff.gates)
    verdict = "all gates passed" if signoff.passed else f"{n_failed} of {len(signoff.gates)} gates failed"
    rival = f"champion version {signoff.champion_seen}" if signoff.champion_seen else "the constant predictor"
    rows = "\n".join(
        f"| {gate.name} | {_verdict(gate)} | {_figure(gate.value)}{_interval(gate)} "
        f"| {'-' if gate.bound is None else shown(gate.bound)} "
        f"| {_cut(_in_a_cell(gate.detail), longest)} |"
        for gate in signoff.gates
    )
    return f"""### Signoff of {signoff.model} version {signoff.version}: {verdict}

{config.title}

{_what_next(config, signoff)}
{_flags(signoff, longest)}
| gate | verdict | value | bound | why |
|---|---|---|---|---|
{rows}

- fitted on {fitted_on(signoff)}
- judged on {dates(signoff.holdout)}, {evaluation.n_rows} labelled rows
- compared with {rival} on {evaluation.n_paired_rows} of these rows
- as of {signoff.as_of:%Y-%m-%d %H:%M} UTC, artifact digest `{signoff.artifact_digest[:16]}`
- more in its run's artifact `{REPORT}`; the deliveries and files that it was made of in `{DELIVERIES}`, and with what \
became of it in `perennial lineage version {signoff.model} {signoff.version}`
{"" if record is None else f"- the gates so far: {record}"}
"""


def _flags(signoff: Signoff, longest: int) -> str:
    """What the reviewer has to know of the data, as a section; empty without flags."""
    if not signoff.flags:
        return ""
    shown_first = signoff.flags[: max(1, longest // 40)]
    found = "\n".join(f"- {_cut(_in_a_cell(str(flag)), longest)}" for flag in shown_first)
    if len(shown_first) < len(signoff.flags):
        found += f"\n- and {len(signoff.flags) - len(shown_first)} more"
    return f"""
**The data it was made from is flagged.** Find out whether the world changed or the data is faulty before you approve:

{found}
"""


def _what_next(config: ModelConfig, signoff: Signoff) -> str:
    if not signoff.passed:
        return f"The policy does not promote it; the next retrain makes another candidate. {_past_gates(signoff)}"
    if signoff.review == "auto":
        return "No review is asked for: it is promoted by the policy."
    hours = config.signoff.review.deadline.total_seconds() / 3600
    unsure = ", ".join(gate.name for gate in signoff.borderline)
    why = f" Passed on rows that could not have seen what was asked: {unsure}." if unsure else ""
    two = config.signoff.review.people > 1
    names = "`reviewer` and `second_reviewer` to two people's names" if two else "`reviewer` to your name"
    return (
        f"**It waits for your review.** In the list of tags below set {names}, and then `signoff` to "
        f"`approved` or `rejected`; `signoff.reason` takes your reason.{_not_by(config, signoff)} Without an answer "
        f"within {shown(hours)} h it is rejected. An approval expires when the champion changes.{why}"
    )


def _past_gates(signoff: Signoff) -> str:
    if signoff.closed:
        closed = ", ".join(gate.name for gate in signoff.closed)
        return f"Nobody's word goes past {closed}: it asks whether this is what was judged."
    asked = signoff.requested_by
    other = "" if asked in ("", "policy") else f", neither of them {_in_a_cell(asked)} who asked for it,"
    return (
        f"Where a gate is wrong, two people{other} may promote it all the same: their names in `{REVIEWER_TAG}` and "
        f"`{SECOND_TAG}`, why in `{REASON_TAG}`, and then `{PAST_GATES}` in `{SIGNOFF_TAG}`. It is marked until its "
        "bake has passed."
    )


def _not_by(config: ModelConfig, signoff: Signoff) -> str:
    if signoff.requested_by in ("", "policy") or config.signoff.review.by_requester:
        return ""
    return f" {_in_a_cell(signoff.requested_by)} asked for it and can not approve it."


def _verdict(gate: Gate) -> str:
    if not gate.passed:
        return "**FAILED**"
    return "passed, borderline" if gate.borderline else "passed"


def fitted_on(signoff: Signoff) -> str:
    """The stretches that a candidate was fitted on, the newest first.

    >>> from dataclasses import replace
    >>> fitted_on(replace(signed, train=day(8), earlier=(day(0), day(1)))).count(" to ")
    3
    """
    return ", and ".join(dates(stretch) for stretch in (signoff.train, *reversed(signoff.earlier)))


def dates(window: Window) -> str:
    """A stretch with its hours."""
    return f"{window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M} UTC"


def _interval(gate: Gate) -> str:
    return f" ({gate.interval})" if gate.interval else ""


def _figure(value: float | None) -> str:
    return "missing" if value is None else shown(value)


def _cut(text: str, longest: int) -> str:
    """A sentence of so many characters at most.

    >>> _cut("too long", 4), _cut("fits", 4)
    ('too…', 'fits')
    """
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _in_a_cell(detail: str) -> str:
    return " ".join(detail.split()).replace("|", "\\|")
