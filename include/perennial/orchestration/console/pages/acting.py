"""The pages on which somebody acts: what is about to be done, a reason that is asked for, and two buttons at most."""

from collections.abc import Sequence
from html import escape

from perennial.config import ModelConfig
from perennial.contracts import Hold, ReleaseState, Review
from perennial.orchestration.console.pages.parts import dated, days, trail, whole
from perennial.pages.html import Link, table
from perennial.pipeline.answers.verified import AskedReview

LONGEST_REASON = 2000


def form(token: str, fields: str, buttons: Sequence[tuple[str, str]]) -> str:
    """A form to its own page: a reason, the token of this login and this page, and a button for each answer.

    >>> form("t'", "", [("approved", "Approve")]).count("required")
    1
    """
    pressed = "".join(
        f'<button type="submit" name="answer" value="{escape(value)}">{escape(label)}</button>'
        for value, label in buttons
    )
    return (
        f'<form method="post"><input type="hidden" name="token" value="{escape(token)}">{fields}'
        '<label for="reason">Reason, which goes to the ledger</label><textarea id="reason" name="reason" rows="3" '
        f'maxlength="{LONGEST_REASON}" required></textarea><div>{pressed}</div></form>'
    )


def review_page(
    config: ModelConfig, asked: AskedReview, *, root: str, token: str | None, name: str, problem: str = ""
) -> str:
    """The page of a signoff, and the form for whoever may answer; ``token`` is None for those who may not."""
    signoff, place = asked.signoff, f"models/{config.model}/reviews/{asked.signoff.signoff_id}"
    steps = trail(root, (config.model, f"models/{config.model}"), (f"review of version {signoff.version}", place))
    body = list(asked.parts) or [f"<h1>Signoff of {escape(config.model)} version {escape(signoff.version)}</h1>"]
    parts = [*body[:1], _answer(config, asked, token, name, problem), *body[1:]]
    return whole(f"Review of {config.model} version {signoff.version}", parts, trail=steps)


def _answer(config: ModelConfig, asked: AskedReview, token: str | None, name: str, problem: str) -> str:
    signoff, people = asked.signoff, config.signoff.review.people
    if asked.answer is not None:
        return _answered(asked.answer)
    if not signoff.passed or signoff.review != "manual":
        return "<p>No person is asked about it here.</p>"
    said = f'<p class="bad">{escape(problem)}</p>' if problem else ""
    if asked.approved_by:
        said += f"<p>Approved by {escape(' and '.join(asked.approved_by))}: a second person has to agree.</p>"
    elif people > 1:
        said += "<p>An approval takes two people; one is enough to reject.</p>"
    if token is None:
        return f"<p>You may read this, and not answer it.</p>{said}"
    if signoff.requested_by not in ("", "policy") and not config.signoff.review.by_requester:
        said += f"<p>{escape(signoff.requested_by)} asked for this retrain, and can not approve it.</p>"
    fields = f"<p>You answer as <strong>{escape(name)}</strong>.</p>"
    return said + form(token, fields, [("approved", "Approve"), ("rejected", "Reject")])


def _answered(answer: Review) -> str:
    mark = "good" if answer.verdict == "approved" else "bad"
    where = "under their own login, in Airflow" if answer.verified else "by tags, or by the policy"
    return (
        f'<p><span class="{mark}">{escape(answer.verdict)}</span> by {escape(answer.reviewer)}, {where}: '
        f"{escape(answer.reason)}</p>"
    )


def rollback_page(
    config: ModelConfig, state: ReleaseState, *, root: str, token: str | None, name: str, problem: str = ""
) -> str:
    """Which version would serve again, and the form that starts the DAG which does it."""
    steps = trail(root, (config.model, f"models/{config.model}"), ("roll back", f"models/{config.model}/rollback"))
    parts = [
        f"<h1>Roll {escape(config.model)} back</h1>",
        f'<p class="bad">{escape(problem)}</p>' if problem else "",
        f"<p>Version {escape(state.champion or 'none')} serves, since {dated(state.champion_since)}. The version that "
        "you choose takes its place at once, and the one that serves is not promoted again.</p>",
    ]
    if not state.trusted:
        parts.append("<p>There is no version to go back to: none but the champion passed its bake.</p>")
    elif token is None:
        parts.append("<p>You may read this, and not roll back.</p>")
    else:
        versions = "".join(
            f'<option value="{escape(one)}">version {escape(one)}</option>' for one in reversed(state.trusted)
        )
        choice = f'<label for="version">Go back to</label><select id="version" name="version">{versions}</select>'
        fields = f"<p>You do this as <strong>{escape(name)}</strong>.</p>{choice}"
        parts.append(form(token, fields, [("roll back", "Roll back")]))
    return whole(f"Roll {config.model} back", parts, trail=steps)


def rolling_back_page(config: ModelConfig, run_id: str, *, paused: bool, root: str) -> str:
    """Said once the run is there."""
    dag = f"{config.model}__rollback"
    held = f"<p class=odd>The DAG {escape(dag)} is paused: unpause it, and the run begins.</p>" if paused else ""
    parts = [
        "<h1>The rollback is on its way</h1>",
        f"<p>It runs in Airflow, and ends red where it was refused, saying why.</p>{held}",
        table(("its run",), [(Link(run_id, f"/dags/{dag}/runs/{run_id}"),)]),
    ]
    return whole("The rollback is on its way", parts, trail=trail(root, (config.model, f"models/{config.model}")))


def hold_page(config: ModelConfig, hold: Hold, *, root: str, token: str | None, name: str, problem: str = "") -> str:
    """A held stretch, and the form for someone's word on it."""
    place = f"models/{config.model}/holds/{hold.entry_id}"
    parts = [
        f"<h1>Held: {days(hold.stretch)}</h1>",
        f"<p>{escape(hold.reason)}</p>",
        f'<p class="bad">{escape(problem)}</p>' if problem else "",
    ]
    if hold.acknowledged:
        kept = "left out of training" if hold.excluded else "kept for training"
        parts.append(f"<p>It was acknowledged; its rows are {kept}. The first word stands.</p>")
    elif token is None:
        parts.append("<p>You may read this, and not acknowledge it.</p>")
    else:
        parts.append("<p>Retraining on this stretch goes on after your word. It can not be taken back.</p>")
        fields = f"<p>You say this as <strong>{escape(name)}</strong>.</p>"
        answers = [("exclude", "Leave its rows out of training"), ("include", "Keep its rows")]
        parts.append(form(token, fields, answers))
    steps = trail(root, (config.model, f"models/{config.model}"), ("hold", place))
    return whole(f"{config.model}: hold", parts, trail=steps)
