"""What a message says: what, where, how bad, since when, what was done by itself, what is asked, and a link."""

from dataclasses import dataclass

from perennial.errors import redacted
from perennial.notifying.incidents import RUNBOOK, TITLES, Incident

LONGEST = 1200
"""Characters of a sentence; what a channel takes at least is some 4,000 for all of a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A message. ``kind`` is one of Apprise's: ``failure``, ``warning``, ``info`` or ``success``."""

    title: str
    body: str
    kind: str


def opened(incident: Incident, *, console: str | None) -> Text:
    """The message that tells of an incident. ``console`` is the address of the pages in Airflow, without a slash."""
    lines = [
        f"What: {_bounded(incident.what)}",
        f"Since: {incident.since:%Y-%m-%d %H:%M} UTC",
        f"Done by itself: {_bounded(incident.done)}",
        f"Asked of you: {_bounded(incident.asked)}",
        *_where(incident, console),
    ]
    kind = {"critical": "failure", "warning": "warning", "info": "info"}[incident.severity]
    title = f"{incident.severity.upper()} {incident.model}: {_title(incident)}"
    return Text(title=title, body="\n".join(lines), kind=kind)


def resolved(incident: Incident, *, resolution: str, console: str | None) -> Text:
    """The message that tells of its end."""
    lines = [
        f"Over: {_bounded(resolution)}",
        f"It was: {_bounded(incident.what)}",
        f"Since: {incident.since:%Y-%m-%d %H:%M} UTC",
        *_where(incident, console),
    ]
    return Text(title=f"RESOLVED {incident.model}: {_title(incident)}", body="\n".join(lines), kind="success")


def _title(incident: Incident) -> str:
    """The kind in words, with its subject where that is short and says something.

    >>> of = {"model": "m", "severity": "info", "began": "e", "since": day(0).start, "what": "", "done": "",
    ...     "asked": "", "lasts": False}
    >>> _title(Incident(kind="promoted", subject="4", **of)), _title(Incident(kind="halted", subject="", **of))
    ('version 4 promoted', 'halted')
    """
    words, subject = TITLES[incident.kind], incident.subject
    if incident.kind in ("promoted", "rolled_back"):
        return f"version {subject} {words}"
    if incident.kind == "review":
        return f"{words} for version {subject}"
    if incident.kind in ("alert", "fault"):
        return f"{words} ({subject})"
    return words


def _where(incident: Incident, console: str | None) -> list[str]:
    page = "" if incident.model == "perennial" else f"models/{incident.model}"
    link = [f"Link: {console}/{page}"] if console else []
    return [*link, f"Runbook: docs/{RUNBOOK[incident.kind]}", f"Incident: {incident.fingerprint[:12]}"]


def _bounded(text: str) -> str:
    """One line without a secret, cut where it is too long.

    >>> _bounded("s3://KEY:SECRET@bucket is\\n  away")
    's3://***@bucket is away'
    """
    line = redacted(" ".join(text.split()))
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
