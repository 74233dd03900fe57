"""Ledger and aliases after a crash, and after a hand in the registry."""

from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import LedgerEntry, PastGates, ReleaseState, digest_of, from_record
from perennial.contracts.tags import CHAMPION, STABLE
from perennial.ledger import History
from perennial.registry import Registry
from perennial.registry.versions import alias_version, set_alias, version_exists
from perennial.release.intent import finish_pending
from perennial.release.marking import unmark
from perennial.store import Store
from perennial.store.locks import RELEASE, model_lock


def follow_bake(config: ModelConfig, *, store: Store, registry: Registry) -> None:
    """Let the alias ``stable`` name the version trusted last; one promoted past its gates is marked so no longer.

    Raises LockTimeout, RegistryUnavailable.
    """
    with model_lock(store, config.model, RELEASE):
        history = ledger.read(store, config.model)
        _stable(config, history.state, store, registry)
        _unmarked(history, registry)


def reconcile(config: ModelConfig, *, store: Store, registry: Registry) -> tuple[str, ...]:
    """Finish what a crash cut off, and say so; an alias moved by hand is reported, in the ledger too, and left alone.

    Returns one sentence for each thing done or found; empty when ledger and registry agree. Raises IntegrityError when
    an alias was moved by hand in the middle of a release, LockTimeout, RegistryUnavailable, StoreUnavailable.
    """
    with model_lock(store, config.model, RELEASE) as lock:
        history, done = finish_pending(config, lock=lock, store=store, registry=registry)
        state, said = history.state, [done] if done else []
        said += _gone(config, state, store, registry)
        state = ledger.release_state(store, config.model) if said else state
        champion = alias_version(registry, config.model, CHAMPION)
        if moved := state.divergence(champion):
            said.append(_report(moved, alias=CHAMPION, found=champion, config=config, state=state, store=store))
        said += _stable(config, state, store, registry)
        said += _unmarked(history, registry)
    return tuple(said)


def _unmarked(history: History, registry: Registry) -> list[str]:
    """A champion whose bake has passed does no longer bear the mark that it was promoted past its gates."""
    promotion, state = history.last("promotion", "rollback"), history.state
    word = promotion.payload.get("past_gates") if promotion else None
    if not promotion or not word or state.past_gates or state.champion in state.gone:
        return []
    version = str(promotion.version)
    if not unmark(registry, history.model, version, from_record(PastGates, word)):
        return []
    return [f"{history.model}: version {version}, promoted past its gates, has passed its bake"]


def _gone(config: ModelConfig, state: ReleaseState, store: Store, registry: Registry) -> list[str]:
    """Versions that serve or are trusted, and were deleted in MLflow: noted once, for they never come back."""
    said = []
    for version in (state.champion, *state.trusted):
        if version is None or version in state.gone or version_exists(registry, config.model, version):
            continue
        what = "which serves" if version == state.champion else "which a rollback could go to"
        message = f"{config.model}: version {version}, {what}, was deleted in MLflow"
        said.append(_report(message, gone=version, config=config, state=state, store=store))
    return said


def _stable(config: ModelConfig, state: ReleaseState, store: Store, registry: Registry) -> list[str]:
    """The alias ``stable`` names the version trusted last. One step behind, it was a passed bake that was cut off."""
    stable = [version for version in state.stable if version not in state.gone]
    expected = stable[-1] if stable else None
    found = alias_version(registry, config.model, STABLE)
    if found == expected:
        return []
    before = stable[-2] if len(stable) > 1 else None
    if expected is not None and found == before:
        set_alias(registry, config.model, STABLE, expected)
        return [f"{config.model}: moved the alias stable to version {expected}, which had passed its bake"]
    mend = f"set it back to version {expected} in MLflow" if expected else "delete it in MLflow"
    message = (
        f"{config.model}: MLflow's alias stable is {f'on version {found}' if found else 'gone'}, the ledger trusts "
        f"{f'version {expected}' if expected else 'none'} last, so someone moved it by hand: {mend}"
    )
    return [_report(message, alias=STABLE, found=found, config=config, state=state, store=store)]


def _report(
    message: str,
    *,
    alias: str | None = None,
    found: str | None = None,
    gone: str | None = None,
    config: ModelConfig,
    state: ReleaseState,
    store: Store,
) -> str:
    """Put a finding into the ledger, once while this champion serves; the event time is that of the last entry."""
    last = ledger.entries(store, state.model, last=1)
    since = state.champion_since.isoformat() if state.champion_since else None
    entry = LedgerEntry(
        entry_id=digest_of("integrity", state.model, alias or "version", gone or found, state.champion, since),
        model=state.model,
        kind="integrity",
        at=last[0].at if last else config.schedule.start,
        actor="reconcile",
        reason=message,
        version=gone or found,
        payload={"alias": alias, "found": found, "ledger": state.champion, "gone": gone},
    )
    ledger.append(store, entry)
    return message
