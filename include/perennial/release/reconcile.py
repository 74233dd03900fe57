"""Ledger and registry after a crash, and after a hand in the registry: every disagreement is mended or told."""

from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import PastGates, ReleaseState, Signoff, from_record
from perennial.contracts.tags import CHALLENGER, CHAMPION, STABLE
from perennial.errors import ReleaseError
from perennial.ledger import History
from perennial.registry import Registry
from perennial.registry.versions import alias_version, delete_alias, set_alias, version_exists
from perennial.release.agreement import Finding, mend_tags, point, report, stable_of
from perennial.release.canary.agreeing import agree_on_canary
from perennial.release.intent import finish_pending
from perennial.release.marking import unmark
from perennial.release.rollback import roll_back
from perennial.store import Store
from perennial.store.locks import RELEASE, model_lock

BY_HAND = "a hand in MLflow"
"""Under whose name a rollback is recorded that was made by moving the alias."""


def follow_bake(config: ModelConfig, *, store: Store, registry: Registry) -> None:
    """Let the alias ``stable`` name the version trusted last; one promoted past its gates is marked so no longer.

    Raises LockTimeout, RegistryUnavailable.
    """
    with model_lock(store, config.model, RELEASE):
        history = ledger.read(store, config.model)
        _stable(config, history.state, store, registry)
        _unmarked(history, registry)


def reconcile(config: ModelConfig, *, store: Store, registry: Registry) -> tuple[str, ...]:
    """What :func:`repair` does and finds, in sentences; without the tags. Every run of a model begins with it."""
    return tuple(found.said for found in repair(config, store=store, registry=registry, tags=False))


def repair(config: ModelConfig, *, store: Store, registry: Registry, tags: bool = True) -> tuple[Finding, ...]:
    """Finish what a crash cut off, and have aliases and (with ``tags``) the tags of all released versions agree with
    the ledger; an alias moved by hand is recorded, and treated as ``release.moved_alias`` says.

    Returns each thing done or found; empty when ledger and registry agree. Raises IntegrityError when an alias was
    moved by hand in the middle of a release and is not to be put back, LockTimeout, RegistryUnavailable,
    StoreUnavailable.
    """
    with model_lock(store, config.model, RELEASE) as lock:
        history, done = finish_pending(config, lock=lock, store=store, registry=registry)
        found = [Finding(said=done, mended=True)] if done else []
        gone = _gone(config, history.state, store, registry)
        found += gone
        history = ledger.read(store, config.model) if gone else history
        adopted = _champion(config, history.state, store, registry, found)
        found += _stable(config, history.state, store, registry)
        found += agree_on_canary(config, history, lock=lock, store=store, registry=registry)
        found += _challenger(config, history, store, registry)
        found += _unmarked(history, registry)
        if tags and (versions := mend_tags(history.state, registry)):
            sentence = f"{config.model}: the tags of version {', '.join(versions)} said otherwise than the ledger"
            found.append(Finding(said=sentence, mended=True))
    if adopted is not None:
        found.append(_adopted(config, history, adopted, store, registry))
    return tuple(found)


def _champion(
    config: ModelConfig, state: ReleaseState, store: Store, registry: Registry, found: list[Finding]
) -> str | None:
    """What is to be said of the alias ``champion`` goes to ``found``; a version that is to be adopted is returned."""
    alias, policy = alias_version(registry, config.model, CHAMPION), config.release.moved_alias
    moved = state.divergence(alias)
    if moved is None:
        return None
    report(moved, alias=CHAMPION, found=alias, config=config, state=state, store=store)
    if policy == "adopt" and alias in state.trusted:
        return alias
    if policy == "revert" and state.champion not in state.gone:
        point(registry, config.model, CHAMPION, state.champion)
        where = f"back to version {state.champion}" if state.champion else "away"
        moved = f"{config.model}: MLflow's alias champion was on {_named(alias)}, moved by hand: set {where}"
        found.append(Finding(said=moved, mended=True))
    else:
        found.append(Finding(said=moved, mended=False))
    return None


def _adopted(config: ModelConfig, history: History, version: str, store: Store, registry: Registry) -> Finding:
    """A hand moved the alias to where a rollback may go: that is recorded as one."""
    last = history.entries[-1]
    moved = f"MLflow's alias champion was moved by hand to version {version}"
    try:
        made = roll_back(
            config,
            store=store,
            registry=registry,
            actor=BY_HAND,
            reason="the alias champion was moved in MLflow",
            at=last.at,
            run_id=last.entry_id,
            version=version,
        )
    except ReleaseError as error:  # its files are others than were promoted, say
        return Finding(said=f"{config.model}: {moved}, and is not taken for a rollback: {error}", mended=False)
    said = f"{config.model}: {moved}, and is taken for a rollback from version {made.previous}"
    return Finding(said=said, mended=True)


def _named(version: str | None) -> str:
    return f"version {version}" if version else "nothing"


def _unmarked(history: History, registry: Registry) -> list[Finding]:
    """A champion whose bake has passed does no longer bear the mark that it was promoted past its gates."""
    promotion, state = history.last("promotion", "rollback"), history.state
    word = promotion.payload.get("past_gates") if promotion else None
    if not promotion or not word or state.past_gates or state.champion in state.gone:
        return []
    version = str(promotion.version)
    if not unmark(registry, history.model, version, from_record(PastGates, word)):
        return []
    sentence = f"{history.model}: version {version}, promoted past its gates, has passed its bake"
    return [Finding(said=sentence, mended=True)]


def _gone(config: ModelConfig, state: ReleaseState, store: Store, registry: Registry) -> list[Finding]:
    """Versions that serve or are trusted, and were deleted in MLflow: noted once, for they never come back."""
    found = []
    for version in (state.champion, *state.trusted):
        if version is None or version in state.gone or version_exists(registry, config.model, version):
            continue
        what = "which serves" if version == state.champion else "which a rollback could go to"
        message = f"{config.model}: version {version}, {what}, was deleted in MLflow"
        report(message, gone=version, config=config, state=state, store=store)
        found.append(Finding(said=message, mended=version != state.champion))
    return found


def _stable(config: ModelConfig, state: ReleaseState, store: Store, registry: Registry) -> list[Finding]:
    """The alias ``stable`` names the version trusted last. One step behind, it was a passed bake that was cut off."""
    expected, found = stable_of(state), alias_version(registry, config.model, STABLE)
    if found == expected:
        return []
    there = [version for version in state.stable if version not in state.gone]
    before = there[-2] if len(there) > 1 else None
    if expected is not None and (found == before or (found is None and state.stable[-1] in state.gone)):
        set_alias(registry, config.model, STABLE, expected)
        sentence = f"{config.model}: moved the alias stable to version {expected}, which had passed its bake"
        return [Finding(said=sentence, mended=True)]
    mend = f"set it back to version {expected} in MLflow" if expected else "delete it in MLflow"
    message = (
        f"{config.model}: MLflow's alias stable is {f'on version {found}' if found else 'gone'}, the ledger trusts "
        f"{f'version {expected}' if expected else 'none'} last, so someone moved it by hand: {mend}"
    )
    report(message, alias=STABLE, found=found, config=config, state=state, store=store)
    if config.release.moved_alias == "revert":
        point(registry, config.model, STABLE, expected)
        message = f"{config.model}: MLflow's alias stable was on {_named(found)}: set to {_named(expected)}"
        return [Finding(said=message, mended=True)]
    return [Finding(said=message, mended=False)]


def _challenger(config: ModelConfig, history: History, store: Store, registry: Registry) -> list[Finding]:
    """The alias ``challenger`` names a version that passed its gates and may still be released. Unanswered signoffs are
    left to their deadline; what serves, was rolled back, rejected or overtaken was left behind by a cut-off step."""
    version = alias_version(registry, config.model, CHALLENGER)
    if version is None:
        return []
    if why := why_left_behind(history, version):
        delete_alias(registry, config.model, CHALLENGER)
        return [Finding(said=f"{config.model}: version {version} is challenger no longer: it {why}", mended=True)]
    if any(item.version == version for item in history.of("signoff")):
        return []
    message = f"{config.model}: MLflow's alias challenger is on version {version}, of which the ledger has no signoff"
    report(message, alias=CHALLENGER, found=version, config=config, state=history.state, store=store)
    if config.release.moved_alias == "revert":
        delete_alias(registry, config.model, CHALLENGER)
        return [Finding(said=f"{message}: taken away", mended=True)]
    return [Finding(said=f"{message}, so someone set it by hand: delete it in MLflow", mended=False)]


def why_left_behind(history: History, version: str) -> str | None:
    """Why a challenger will not be released any more; None where it may be, or its signoff has no answer yet. Pure.

    >>> why_left_behind(History("m", (entry("rollback", "1", previous="2"),)), "2")
    'was rolled back'
    """
    state = history.state
    if version == state.champion:
        return "serves"
    if version in state.rolled_back:
        return "was rolled back"
    signed = [item for item in history.of("signoff") if item.version == version]
    signoff = from_record(Signoff, signed[-1].payload["signoff"]) if signed else None
    if signoff is None:
        return None
    answer = history.review_of(signoff)
    if not signoff.passed or (answer is not None and answer.verdict == "rejected"):
        return "was refused"
    if answer is not None and (release := history.released_after(signed[-1])):
        return f"was overtaken by version {release.version}"
    return None
