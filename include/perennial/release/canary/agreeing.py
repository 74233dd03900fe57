"""Whether MLflow says of the canary what the ledger does: what a crash left is gone on with, a hand's doing is told."""

from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts.tags import CANARY
from perennial.ledger import History
from perennial.ledger.canaries import live_canary
from perennial.registry import Registry
from perennial.registry.versions import alias_version, version_exists
from perennial.release.agreement import Finding, point_canary, report
from perennial.release.canary.ramp import mend_cut_off
from perennial.release.canary.telling import end_of, tell
from perennial.store import Store
from perennial.store.locks import HeldLock


def agree_on_canary(
    config: ModelConfig, history: History, *, lock: HeldLock, store: Store, registry: Registry
) -> list[Finding]:
    """Finish what was cut off; a canary that a hand took away in MLflow is ended, anything else set to what the ledger
    says, whatever ``release.moved_alias`` is: nobody approved that a version answers more. The caller holds the lock.
    """
    mended: list[Finding] = []
    if done := mend_cut_off(history, lock=lock, store=store, registry=registry):
        sentence = f"{config.model}: told the service what was cut off: {done.intent.reason}"
        mended.append(Finding(said=sentence, mended=True))
    lock.require()
    history = ledger.read(store, config.model)
    found, alias = live_canary(history), alias_version(registry, config.model, CANARY)
    if found is not None and alias != found.version and (signoff := history.signoff(found.signoff)):
        gone = not version_exists(registry, config.model, found.version)
        why = "it was deleted in MLflow" if gone else "a hand took the alias canary away in MLflow"
        reason = f"{found.named}, was taken back: {why}"
        tell(end_of(signoff, found, "stopped", reason), history, lock=lock, store=store, registry=registry)
        return [*mended, Finding(said=f"{config.model}: {reason}", mended=True)]
    if not point_canary(history, registry):
        return mended
    named = f"version {found.version} with {100 * found.share:g} % of the requests" if found else "no version"
    sentence = f"{config.model}: MLflow's alias canary was on {alias or 'nothing'}, or its share another one, by hand"
    state = ledger.release_state(store, config.model)
    report(sentence, alias=CANARY, found=alias, config=config, state=state, store=store)
    return [*mended, Finding(said=f"{sentence}: it says again {named}, as the ledger does", mended=True)]
