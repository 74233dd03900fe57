"""Two people's word for a version that failed its gates. What it is worth is judged again when it is promoted."""

from collections.abc import Mapping

from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import Evaluation, PastGates, Review, Signoff, from_record
from perennial.contracts.tags import (
    ENTRY_TAG,
    NOTE_TAG,
    PAST_GATES,
    REASON_TAG,
    REVIEWER_TAG,
    SECOND_TAG,
    SIGNOFF_TAG,
)
from perennial.errors import SignoffError, first_of
from perennial.ledger import History
from perennial.registry import Registry, artifact_digest
from perennial.registry.runs import log_page
from perennial.registry.versions import set_version_tags, version_tags
from perennial.signoff.answering.polling import Reviewers
from perennial.signoff.answering.watching import says_past_gates
from perennial.signoff.report.card import CARD, card
from perennial.signoff.report.describing import REPORT
from perennial.signoff.report.page import page
from perennial.signoff.review import IN_AIRFLOW_ALONE, Circumstances, changes, record_review
from perennial.signoff.signing import FAILED
from perennial.store import Store

BY_TAGS = "tags in MLflow, which do not say whose account wrote them"
_LONGEST_NOTE = 1000


def go_past_gates(
    config: ModelConfig,
    version: str,
    *,
    by: tuple[str, ...],
    reason: str,
    entered_by: str,
    store: Store,
    registry: Registry,
) -> Signoff:
    """The newest signoff of a version, which failed, with two people's word in the ledger that it is promoted anyway.

    ``entered_by`` is the account that wrote their names. The same word again changes nothing; the first one stands.
    Raises SignoffError for a version without a signoff, one that passed, one that can not be loaded or is not what was
    judged, for names that are not those of two other people, and when champion, files, rules or signoff changed since.
    """
    history = ledger.read(store, config.model)
    signoff = _newest(history, version)
    standing = history.review_of(signoff)
    if standing is not None and standing.past_gates is not None:
        _show(config, signoff, standing.past_gates, history, registry=registry)
        return signoff
    word = PastGates(
        gates=tuple(gate.name for gate in signoff.failed),
        by=tuple(" ".join(name.split()) for name in by),
        reason=" ".join(reason.split()),
    )
    if flaw := signoff.flaw_of(word):
        raise SignoffError(f"{flaw}; nothing was promoted")
    if changed := changes(signoff, _circumstances(config, signoff, history, registry=registry)):
        raise SignoffError(f"{config.model} version {version}: {changed} since the signoff; request a retrain")
    noted = f"{word} (entered by {entered_by})"
    if signoff.flags:
        noted += f", in spite of {first_of(signoff.flags)}"
    review = Review(
        model=signoff.model,
        version=signoff.version,
        verdict="approved",
        reviewer=" and ".join(word.by),
        reason=noted,
        past_gates=word,
    )
    if record_review(config, signoff, review, store=store, registry=registry).past_gates != word:
        raise SignoffError(
            f"{config.model} version {version}: another answer reached the ledger first; nothing was done"
        )
    _show(config, signoff, word, history, registry=registry)
    return signoff


def go_past_gates_by_tags(config: ModelConfig, version: str, *, store: Store, registry: Registry) -> Signoff:
    """:func:`go_past_gates` under the names and for the reason that the version's tags hold. Raises as it does."""
    if config.signoff.review.identity == "verified":
        raise SignoffError(f"{IN_AIRFLOW_ALONE}; past failed gates, with perennial promote --past-gates")
    tags = version_tags(registry, config.model, version)
    if lacking := flaw_in_tags(_newest(ledger.read(store, config.model), version), tags):
        raise SignoffError(lacking)
    return go_past_gates(
        config,
        version,
        by=(tags[REVIEWER_TAG], tags[SECOND_TAG]),
        reason=tags.get(REASON_TAG, ""),
        entered_by=BY_TAGS,
        store=store,
        registry=registry,
    )


def flaw_in_tags(signoff: Signoff, tags: Mapping[str, str]) -> str:
    """What tags lack to be two people's word, in words for whoever wrote them; empty where nothing does. Pure.

    What is wrong with the version itself is left to :meth:`Signoff.flaw_of`.

    >>> from dataclasses import replace
    >>> from perennial.contracts import Gate
    >>> lost = Gate(name="slice/origin", passed=False, value=-0.05, bound=-0.02, detail="origin=JFK loses")
    >>> failed = replace(signed, gates=(lost,), passed=False)
    >>> tags = {"signoff": "past gates", "reviewer": "ada", "signoff.reason": "JFK is closed"}
    >>> flaw_in_tags(failed, tags)
    'tag second_reviewer is empty: write your name, an approval without one is none'
    >>> flaw_in_tags(failed, {**tags, "signoff": "past the gate", "second_reviewer": "bob"})
    "tag signoff = 'past the gate' is not understood: write past gates"
    """
    if signoff.closed or not signoff.failed:
        return ""
    if not says_past_gates(said := tags.get(SIGNOFF_TAG, "")):
        return f"tag {SIGNOFF_TAG} = {said!r} is not understood: write {PAST_GATES}"
    return Reviewers(people=2, not_by=signoff.requested_by).missing(tags)


def accept_tags(registry: Registry, name: str, version: str) -> None:
    """The word in the tags has been carried out: nothing is to be said of it, or done again. Raises as the registry."""
    set_version_tags(registry, name, version, {SIGNOFF_TAG: "approved", NOTE_TAG: ""})


def refuse_tags(registry: Registry, name: str, version: str, why: str) -> None:
    """Say on the version why its tags promoted nothing, and take the word away: it is to be written again.

    Raises as the registry.
    """
    note = f"{why}. Mend it, and write {PAST_GATES} into the tag {SIGNOFF_TAG} again"
    set_version_tags(registry, name, version, {NOTE_TAG: note[:_LONGEST_NOTE], SIGNOFF_TAG: FAILED})


def _show(config: ModelConfig, signoff: Signoff, word: PastGates, history: History, *, registry: Registry) -> None:
    """On the page of the signoff and the model card. The version's own page is marked when it is promoted."""
    entry = history.entry(signoff.signoff_id)
    if entry is not None and (judged := entry.payload.get("evaluation")):
        evaluation = from_record(Evaluation, judged)
        log_page(registry, evaluation.mlflow_run_id, REPORT, page(config, signoff, evaluation, word=word))
        log_page(registry, evaluation.mlflow_run_id, CARD, card(config, signoff, evaluation, word=word))


def _newest(history: History, version: str) -> Signoff:
    entries = [item for item in history.of("signoff") if item.version == version]
    if not entries:
        raise SignoffError(f"{history.model}: the ledger holds no signoff of a version {version}")
    return from_record(Signoff, entries[-1].payload["signoff"])


def _circumstances(config: ModelConfig, signoff: Signoff, history: History, *, registry: Registry) -> Circumstances:
    entry = history.entry(signoff.signoff_id)
    release = history.released_after(entry) if entry else None
    return Circumstances(
        entry=version_tags(registry, signoff.model, signoff.version).get(ENTRY_TAG),
        tags={},
        champion=history.state.champion,
        digest=artifact_digest(registry, signoff.model, signoff.version),
        since=None,
        config_digest=config.digest,
        overtaken=release.version if release else None,
    )
