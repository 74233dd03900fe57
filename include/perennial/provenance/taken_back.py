"""What is known of why a version was taken back: what was measured, on which data it was made, who let it through."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from html import escape
from typing import TYPE_CHECKING

from perennial import ledger
from perennial.contracts import Decision, Flag, Interval, LedgerEntry, Signoff, Window, digest_of, from_record
from perennial.contracts.measured.hindsight import Hindsight
from perennial.errors import PermanentError
from perennial.evidence.deliveries.traced import TracedBatch
from perennial.ledger import History
from perennial.pages.html import document, table
from perennial.provenance.lineage import of_version

if TYPE_CHECKING:
    from perennial.pipeline import Case


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """A breached signal as a decision keeps it; ``window`` is the key of the one it speaks of."""

    name: str
    window: str
    value: float | None
    threshold: float | None
    detail: str
    interval: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenBack:
    """A rollback, and what stands beside it.

    ``signals`` are the breached ones among those that its decision was made on, none for one by hand; ``bake`` says
    how the version's probation ended, and what each window showed. ``flags`` are the findings that the version was
    approved with, ``approved_by`` who did. ``deliveries`` are those that it was made of and the version that came back
    was not, None where either's are not known, with ``why_not`` in words. ``hindsight`` says whether it was right, None
    before that is known.
    """

    model: str
    entry_id: str
    version: str
    back: str
    at_window: Window | None
    by: str
    reason: str
    signals: tuple[Breach, ...]
    bake: tuple[str, ...]
    flags: tuple[Flag, ...]
    approved_by: str
    deliveries: tuple[TracedBatch, ...] | None
    why_not: str = ""
    hindsight: Hindsight | None = None


def taken_back(case: Case, version: str | None = None) -> TakenBack:
    """The last rollback, or the last of ``version``. Raises PermanentError when there is none, RegistryUnavailable."""
    history = ledger.read(case.store, case.model)
    made = [item for item in history.of("rollback") if version in (None, item.payload["previous"])]
    if not made:
        what = f"version {version} was" if version else "no version was ever"
        no = " not" if version else ""
        raise PermanentError(f"{case.model}: {what}{no} taken back; `perennial timeline {case.model}` says what was")
    rollback = made[-1]
    went, back = str(rollback.payload["previous"]), str(rollback.version)
    decided, signals = _decided(case, rollback)
    signed, approved_by = _approved(history, went)
    deliveries, why_not = _only_in(case, went, back)
    return TakenBack(
        model=case.model,
        entry_id=rollback.entry_id,
        version=went,
        back=back,
        at_window=decided,
        by=rollback.actor,
        reason=rollback.reason,
        signals=signals,
        bake=_bake(history, went),
        flags=signed.flags if signed else (),
        approved_by=approved_by,
        deliveries=deliveries,
        why_not=why_not,
        hindsight=_looked_back(case, rollback),
    )


def _decided(case: Case, rollback: LedgerEntry) -> tuple[Window | None, tuple[Breach, ...]]:
    """The window of the decision that a rollback carried out, and the breached signals it was made on."""
    entry = ledger.entry(case.store, str(rollback.payload.get("decision_id")))
    if entry is None:
        return None, ()
    breached = [item for item in entry.payload["signals"] if item["status"] == "breached"]
    kept = [{one.name: item[one.name] for one in fields(Breach)} for item in breached]
    window = from_record(Decision, entry.payload["decision"]).window
    return window, tuple(from_record(Breach, item) for item in kept)


def _bake(history: History, version: str) -> tuple[str, ...]:
    """How a version's last bake ended and why, and what each of its windows showed; nothing where it did not. Pure."""
    ended = [item for item in history.of("bake") if item.version == version]
    if not ended:
        return ()
    windows = ended[-1].payload["windows"]
    return (ended[-1].reason, *(f"{one['window']}: {one['verdict']}, {one['detail']}" for one in windows))


def _approved(history: History, version: str) -> tuple[Signoff | None, str]:
    """The signoff by which a version was promoted last, and who answered it. Pure."""
    promotions = [item for item in history.of("promotion") if item.version == version]
    if not promotions:
        return None, "nobody: the ledger holds no promotion of it"
    promotion = promotions[-1]
    signed = history.entry(str(promotion.payload.get("signoff")))
    if signed is None:
        return None, promotion.actor
    answers = [item for item in history.of("review") if item.payload["signoff"] == signed.entry_id]
    return from_record(Signoff, signed.payload["signoff"]), answers[-1].actor if answers else promotion.actor


def _only_in(case: Case, went: str, back: str) -> tuple[tuple[TracedBatch, ...] | None, str]:
    """The deliveries that one version was made of and the other was not, or why they are not known."""
    held: list[tuple[TracedBatch, ...]] = []
    for version in (went, back):
        try:
            found = of_version(case, version)
        except PermanentError as error:
            return None, str(error)
        if found.snapshot is None:
            return None, f"version {version} was not made by a retrain of this database"
        held.append(found.deliveries)
    known = {item.seq for item in held[1]}
    return tuple(item for item in held[0] if item.seq not in known), ""


def _looked_back(case: Case, rollback: LedgerEntry) -> Hindsight | None:
    entry = ledger.entry(case.store, digest_of("hindsight", rollback.entry_id))
    return from_record(Hindsight, entry.payload["hindsight"]) if entry else None


def keep(case: Case, version: str | None = None) -> TakenBack:
    """The same, kept as the page ``rollback/<entry>.html`` of the MLflow run that made the version; again replaces it.

    A version that is gone from MLflow has no run to keep it with. Raises as :func:`taken_back`.
    """
    from perennial.registry.runs import log_page
    from perennial.registry.versions import source_run, version_exists

    found = taken_back(case, version)
    if version_exists(case.registry, case.model, found.version):
        run_id = source_run(case.registry, case.model, found.version)
        log_page(case.registry, run_id, f"rollback/{found.entry_id[:12]}.html", page(found))
    return found


def page(found: TakenBack) -> str:
    """What is known of a rollback, as a page that stands alone. Pure."""
    title = f"{found.model}: version {found.version} was taken back"
    parts = [f"<h1>{escape(title)}</h1>", f"<p>{escape(summary(found))}</p>"]
    for heading, headings, rows in tables(found):
        parts.append(f"<h2>{escape(heading)}</h2>")
        parts.append(table(headings, rows) if rows else f"<p>{escape(found.why_not or 'none')}</p>")
    return document(title, parts)


def summary(found: TakenBack) -> str:
    """Who took which version back, why, and whether that was right, in a sentence or two. Pure."""
    after = found.hindsight
    right = {True: "was right", False: "was wrong", None: "can not be judged"}
    ending = (
        f"by the labelled rows after it, it {right[after.right]}: {after.metric} of {found.back} was better by "
        f"{after.realised}"
        if after
        else "whether it was right is not known yet"
    )
    return (
        f"{found.by} took version {found.version} back to {found.back}: {found.reason}. It had been approved by "
        f"{found.approved_by}; {ending}."
    )


Table = tuple[str, tuple[str, ...], list[tuple[str, ...]]]


def tables(found: TakenBack) -> Iterator[Table]:
    """What was measured, the bake, the flags it was approved with, and the data only it was made of. Pure."""
    yield (
        "Breached signals of the decision",
        ("signal", "window", "value", "bound", "detail"),
        [(one.name, one.window, figure(one), shown(one.threshold), one.detail) for one in found.signals],
    )
    yield "Its bake", ("how it ended, and each window",), [(line,) for line in found.bake]
    yield (
        "Flags on its data when it was approved",
        ("flag", "window", "finding"),
        [(flag.name, flag.window.key, flag.detail) for flag in found.flags],
    )
    yield (
        f"Deliveries that it was made of and version {found.back} was not",
        ("delivery", "source", "window", "rows", "files"),
        [
            (str(one.seq), one.source, one.window.key, f"{one.n_published:,}", ", ".join(one.files[:2]))
            for one in found.deliveries or ()
        ],
    )


def figure(signal: Breach) -> str:
    """A signal's value with its interval."""
    interval = signal.interval
    return shown(signal.value) + (f" ({interval.low:.4g} to {interval.high:.4g})" if interval else "")


def shown(value: float | None) -> str:
    """A figure, or a dash.

    >>> shown(None), shown(0.123456)
    ('-', '0.1235')
    """
    return "-" if value is None else f"{value:.4g}"
