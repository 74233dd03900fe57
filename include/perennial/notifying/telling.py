"""Tells of what is new and of what is over: kept first, then sent, so that a killed process sends at most once more."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from perennial import ledger
from perennial.config import ModelConfig
from perennial.config.notify import Notify
from perennial.contracts import from_record, to_record
from perennial.ledger import History
from perennial.notifying import texts
from perennial.notifying.channels import send
from perennial.notifying.events import TOLD_FOR
from perennial.notifying.found import faults, find, resolved
from perennial.notifying.incidents import Incident
from perennial.notifying.situation import Situation
from perennial.notifying.texts import Text
from perennial.settings import Settings
from perennial.store import Store, signals
from perennial.store.notices import kept
from perennial.store.notices.kept import Kept, Notice, Phase

STACK = "perennial"
"""The model of incidents that are about all models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels:
    """Where messages go: the routes, the URL of each channel by its variable (never shown), the console's address."""

    routes: Notify
    urls: Mapping[str, str] = field(repr=False)
    console: str | None = None


def channels_of(routes: Notify, settings: Settings) -> Channels:
    """The channels of these routes, with what the environment holds of them."""
    return Channels(routes=routes, urls=settings.channel_urls(routes), console=settings.console)


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A message that is to go to a channel."""

    fingerprint: str
    phase: Phase
    channel: str
    text: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What became of one call: titles that were sent, ``(channel, why)`` that failed, and what lasts and is silent.

    ``n_quiet`` messages wait for the end of quiet hours; ``unrouted`` are titles of incidents whose severity has no
    channel.
    """

    sent: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]
    n_quiet: int
    unrouted: tuple[str, ...]


def notify(
    config: ModelConfig,
    *,
    store: Store,
    channels: Channels,
    now: datetime,
    tasks: Mapping[str, str | None] | None = None,
) -> Told:
    """Keep what is new and what is over of a model, and tell whoever has not been told. Raises StoreUnavailable.

    ``tasks`` are those of the run that calls, with what failed in them. Twice the same call sends nothing twice.
    """
    seen = read(config, store=store, now=now, tasks=tasks or {})
    found = find(config, seen)
    return _tell(config.model, seen, found, store=store, channels=channels)


def notify_of_stack(*, store: Store, channels: Channels, now: datetime, tasks: Mapping[str, str | None]) -> Told:
    """The same of tasks that are about all models. Raises StoreUnavailable."""
    seen = Situation(now=now, history=History(STACK, ()), lasting=_lasting(store, STACK), tasks=tasks)
    return _tell(STACK, seen, tuple(faults(STACK, seen)), store=store, channels=channels)


def pending(config: ModelConfig, *, store: Store, channels: Channels, now: datetime) -> tuple[tuple[str, Text], ...]:
    """What :func:`notify` would send now, by channel; nothing is kept or sent. Raises StoreUnavailable."""
    seen = read(config, store=store, now=now, tasks={})
    found = find(config, seen)
    over = resolved(seen, found)
    known = kept.lately(store, config.model, since=now - TOLD_FOR)
    as_if = [
        replace(one, resolution=over[one.fingerprint], resolved_at=now) if one.fingerprint in over else one
        for one in known
    ]
    here = {one.fingerprint for one in known}
    new = [one for one in _new(seen, found) if one.fingerprint not in here]
    due, _ = plan((*as_if, *new), kept.notices_of(store, here), channels=channels, now=now)
    return tuple((one.channel, one.text) for one in due)


def read(config: ModelConfig, *, store: Store, now: datetime, tasks: Mapping[str, str | None]) -> Situation:
    """What incidents of a model are derived from, as it stands in the store. Raises StoreUnavailable."""
    lasting = _lasting(store, config.model)
    alerts = [one for one in lasting if one.kind == "alert"]
    names = {name for one in alerts for name in one.names}
    since = min((one.since for one in alerts), default=now)
    return Situation(
        now=now,
        history=ledger.read(store, config.model),
        newest=ledger.newest_decision(store, config.model),
        measured=signals.around(store, config.model),
        known=signals.last_known(store, config.model, names=names, since=since) if names else (),
        lasting=lasting,
        tasks=tasks,
    )


def plan(
    known: tuple[Kept, ...], notices: tuple[Notice, ...], *, channels: Channels, now: datetime
) -> tuple[tuple[Due, ...], int]:
    """The messages that are due, and how many wait for the end of quiet hours. Pure.

    A resolved incident that a channel was never told of is not told there at all; an event is, once.
    """
    status = {(one.fingerprint, one.phase, one.channel): one.status for one in notices}
    due, n_quiet = [], 0
    for one in known:
        incident = from_record(Incident, one.record)
        route = channels.routes.route(incident.severity)
        for phase, channel in _wanted(one, incident, route.channels, status):
            if route.quiet is not None and route.quiet.holds(now):
                n_quiet += 1
            else:
                text = _text(one, incident, phase, channels.console)
                due.append(Due(fingerprint=one.fingerprint, phase=phase, channel=channel, text=text))
    return tuple(due), n_quiet


def _wanted(
    one: Kept, incident: Incident, names: list[str], status: Mapping[tuple[str, Phase, str], str]
) -> Iterator[tuple[Phase, str]]:
    over = incident.lasts and one.resolved_at is not None
    for channel in dict.fromkeys(names):
        opened = status.get((one.fingerprint, "opened", channel))
        if over and opened in ("sent", "lost", "sending", "resending"):
            if status.get((one.fingerprint, "resolved", channel)) not in ("sent", "lost"):
                yield "resolved", channel
        elif not over and opened not in ("sent", "lost"):
            yield "opened", channel


def _text(one: Kept, incident: Incident, phase: Phase, console: str | None) -> Text:
    if phase == "opened":
        return texts.opened(incident, console=console)
    return texts.resolved(incident, resolution=one.resolution, console=console)


def _tell(model: str, seen: Situation, found: tuple[Incident, ...], *, store: Store, channels: Channels) -> Told:
    kept.keep(store, model, opened=_new(seen, found), resolved=resolved(seen, found), now=seen.now)
    known = kept.lately(store, model, since=seen.now - TOLD_FOR)
    notices = kept.notices_of(store, [one.fingerprint for one in known])
    due, n_quiet = plan(known, notices, channels=channels, now=seen.now)
    sent, failed = [], []
    for one in due:
        if not kept.claim(store, one.fingerprint, one.phase, one.channel, now=seen.now):
            continue
        problem = send(one.channel, one.text, urls=channels.urls)
        kept.record_end(store, one.fingerprint, one.phase, one.channel, problem=problem)
        if problem:
            failed.append((one.channel, problem))
        else:
            sent.append(one.text.title)
    lasting = [from_record(Incident, one.record) for one in known if one.resolved_at is None]
    unrouted = [one for one in lasting if not channels.routes.route(one.severity).channels]
    titles = tuple(texts.opened(one, console=None).title for one in unrouted)
    return Told(sent=tuple(sent), failed=tuple(failed), n_quiet=n_quiet, unrouted=titles)


def _new(seen: Situation, found: tuple[Incident, ...]) -> tuple[Kept, ...]:
    """What was not known yet, as it is kept: an incident that lasts is known by its kind and its subject."""
    known = {(one.kind, one.subject) for one in seen.lasting}
    return tuple(
        Kept(
            fingerprint=one.fingerprint,
            kind=one.kind,
            subject=one.subject,
            record=to_record(one),
            opened_at=seen.now,
            resolved_at=None if one.lasts else seen.now,
        )
        for one in found
        if not one.lasts or (one.kind, one.subject) not in known
    )


def _lasting(store: Store, model: str) -> tuple[Incident, ...]:
    return tuple(from_record(Incident, one.record) for one in kept.lasting(store, model))
