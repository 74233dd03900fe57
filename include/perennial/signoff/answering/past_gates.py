"""Two people's word for a version that failed its gates. What it is worth is judged again when it is promoted."""

from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import Evaluation, PastGates, Review, Signoff, from_record
from perennial.contracts.tags import ENTRY_TAG
from perennial.errors import SignoffError, first_of
from perennial.ledger import History
from perennial.registry import Registry, artifact_digest
from perennial.registry.runs import log_page
from perennial.registry.versions import version_tags
from perennial.signoff.report.card import CARD, card
from perennial.signoff.report.describing import REPORT
from perennial.signoff.report.page import page
from perennial.signoff.review import Circumstances, changes, record_review
from perennial.store import Store


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
    told = f"{word} (entered by {entered_by})"
    if signoff.flags:
        told += f", in spite of {first_of(signoff.flags)}"
    review = Review(
        model=signoff.model,
        version=signoff.version,
        verdict="approved",
        reviewer=" and ".join(word.by),
        reason=told,
        past_gates=word,
    )
    record_review(config, signoff, review, store=store, registry=registry)
    _show(config, signoff, word, history, registry=registry)
    return signoff


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
