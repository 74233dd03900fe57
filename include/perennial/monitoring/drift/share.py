"""How much of what the champion uses has drifted. Pure."""

from collections.abc import Mapping
from dataclasses import replace

from perennial.config import ModelConfig
from perennial.contracts import Signal, SignalName, Subject
from perennial.errors import first_of

SHARE = "weighted_share"


def weighted_share(
    config: ModelConfig, subject: Subject, of_feature: Mapping[str, Signal], importance: dict[str, float] | None
) -> Signal:
    """The share of the champion's importance that sits in drifted features, by the signal that speaks for each.

    A feature without a distance, or undecided, may have drifted: the share is breached when it reaches the bound
    without them, unknown when it could reach it with those without a distance, undecided when it could with both, and
    ok only when it could not.

    >>> weighted_share(flights, subject, {}, None).status
    'unknown'
    """
    if importance is None:
        why = f"the feature importance of version {subject.version} is gone from the registry"
        return unknown_share(config, subject, why)
    weights = {name: max(0.0, importance.get(name, 0.0)) for name in config.features}
    total, most = sum(weights.values()), config.signals.drift.weighted_share
    if not total > 0:
        return unknown_share(config, subject, f"no feature of version {subject.version} has any importance")

    def share_of(*statuses: str) -> float:
        among = (weights[name] for name, signal in of_feature.items() if signal.status in statuses)
        return round(sum(among) / total, 9)

    def named(status: str) -> str:
        return first_of([name for name, signal in of_feature.items() if signal.status == status])

    share = share_of("breached")
    if share < most <= share_of("breached", "unknown"):
        open_share = share_of("unknown")
        why = f"{share:.2f} of the importance drifted, and {open_share:.2f} has no distance: {named('unknown')}"
        return unknown_share(config, subject, why)
    found = subject.known(
        SignalName.drift(SHARE),
        config.signals.drift.weighted_share_role,
        share,
        threshold=most,
        breached=share >= most,
        detail=f"drifted: {named('breached')}" if share else "no feature drifted",
    )
    if share < most <= share_of("breached", "unknown", "undecided"):
        why = f"{found.detail}; undecided, {share_of('undecided'):.2f} of the importance: {named('undecided')}"
        return replace(found, status="undecided", detail=why)
    return found


def unknown_share(config: ModelConfig, subject: Subject, why: str) -> Signal:
    """The share where it can not be said, and why.

    >>> unknown_share(flights, subject, "gone").threshold
    0.5
    """
    drift = config.signals.drift
    return subject.unknown(SignalName.drift(SHARE), drift.weighted_share_role, why, threshold=drift.weighted_share)
