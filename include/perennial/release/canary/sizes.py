"""Whether the arms of an A/B are as large as was declared: where they are not, their labels prove nothing."""

from dataclasses import replace
from datetime import datetime

from perennial.config import ModelConfig
from perennial.contracts import Estimate, ReleaseState, Signoff, Window
from perennial.evidence.answers import demands_of
from perennial.evidence.deliveries.arms import size_arms
from perennial.release.canary.judging import Labels
from perennial.statistics.comparing.arms import share_of_arm
from perennial.store import Store

_N_SHARES = 2
"""That of the rows which were answered, and that of the rows with labels."""
WHY: dict[str, str] = {
    "that were answered": "the log loses rows of one of them, or has rows that nobody routed, or the champion answered "
    "for the version, or a few keys ask for many rows (name the key in signals.uncertainty.block_by)",
    "with labels": "labels of one of them stay away",
}
"""What may be wrong where the share of such rows is another one than declared, and all before it was right."""


def sized(
    config: ModelConfig,
    signoff: Signoff,
    windows: tuple[Window, ...],
    *,
    share: float,
    state: ReleaseState,
    as_of: datetime,
    store: Store,
) -> Labels | None:
    """Why nothing may be compared: the share (0 to 1) of the challenger is surely another one than it was told, or
    could not be told by the horizon. None where it may be. Raises StoreUnavailable.
    """
    alpha = config.release.ab.sample_ratio_alpha
    if alpha is None:
        return None
    both = size_arms(
        config,
        windows,
        champion=str(signoff.champion_seen),
        challenger=signoff.version,
        as_of=as_of,
        excluded=state.excluded,
        store=store,
    )
    # C. Bonferroni: all looks and both shares together err with probability alpha at most
    each = replace(demands_of(config), confidence=1 - alpha / (_N_SHARES * config.release.ab.windows))
    found = [share_of_arm(one.n_new, one.n_both, share, demands=each) for one in both]
    shares = dict(zip(WHY, found, strict=True))
    return said_of_sizes(config, shares, share=share, version=signoff.version, n_windows=len(windows))


def said_of_sizes(
    config: ModelConfig, shares: dict[str, Estimate], *, share: float, version: str, n_windows: int
) -> Labels | None:
    """What the shares of the challenger say of the one it was told. Pure.

    >>> def told(value, error, n_windows=4):
    ...     seen = Estimate(value=value, interval=around(value, error, 900, 28, 0.999))
    ...     return said_of_sizes(flights, {"with labels": seen}, share=0.5, version="8", n_windows=n_windows)
    >>> told(0.46, 0.02), told(0.54, 0.02)
    (None, None)
    >>> found = told(0.46, 0.005)
    >>> found.verdict, found.reason.split(", and")[0]
    ('blind', 'sample ratio: version 8 has 46 % (44.16 to 47.84) of the 900 rows with labels')
    >>> told(0.54, 0.005, n_windows=1).verdict
    'blind'
    >>> few = {"with labels": Estimate(value=0.5, problem="3 blocks")}
    >>> [said_of_sizes(flights, few, share=0.5, version="8", n_windows=n).verdict for n in (1, 4)]
    ['waiting', 'blind']
    """
    asked = config.release.ab
    for what, found in shares.items():
        seen = found.interval
        if seen is None or found.value is None:
            lacks = f"it is not known which share of the rows {what} version {version} has: {found.problem}"
            return Labels(verdict="blind" if n_windows >= asked.windows else "waiting", reason=lacks)
        if not seen.low <= share <= seen.high:
            return Labels(
                verdict="blind",
                reason=f"sample ratio: version {version} has {100 * found.value:.4g} % ({100 * seen.low:.4g} to "
                f"{100 * seen.high:.4g}) of the {seen.n_rows} rows {what}, and {100 * share:g} % was declared "
                f"(release.ab.share), after {n_windows} of {asked.windows} windows. {WHY[what].capitalize()}: what is "
                "missing may have been chosen by its labels, so that none are compared. Find where they went "
                "(how-to/release-by-shares.md#arms-of-another-size), and retrain",
            )
    return None
