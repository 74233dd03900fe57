"""Thresholds for this model's noise: from the standard errors that were measured, each with its reason. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import ceil
from statistics import NormalDist, fmean, median

import numpy as np
from scipy.special import stdtrit

from perennial.config import ModelConfig

FALSE_A_YEAR = 0.3
"""So many retrains a year may be asked for where nothing changed."""
LEAST_FRESH = 3
_YEARS, _STEPS = 4000, 40
_PAIRS = ((1, 1), (2, 3), (3, 4), (4, 5))


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """What was measured where nothing need have changed, in the unit of the metric of ``signals.gain``.

    ``gain_errors`` are the standard errors of the gains in single windows, ``fresh_gains`` those gains in the first
    measured window of each version; ``gate_errors`` are those of candidates beside champions, ``bake_errors`` of bakes
    beside the stable version. ``fresh_losses`` are, by metric, the lower ends of what versions lost against their own
    holdout in their first measured window. ``n_blocks`` is the usual number of blocks of a window, ``windows_a_year``
    how many come.
    """

    gain_errors: tuple[float, ...]
    fresh_gains: tuple[float, ...]
    gate_errors: tuple[float, ...]
    bake_errors: tuple[float, ...]
    n_blocks: int
    windows_a_year: float
    fresh_losses: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyProposal:
    """A key of ``model.yaml``, its value now and the one proposed (None: nothing can be said), and why."""

    key: str
    now: float | None
    proposed: float | None
    why: str


def propose(config: ModelConfig, noise: Noise) -> tuple[KeyProposal, ...]:
    """Price and confidence, ``min_gain``, ``max_deficit``, each ``max_loss`` that is given, and k of n."""
    gates = _min_gain(config, noise), _max_deficit(config, noise)
    return (*_price(config, noise), *gates, *_max_loss(config, noise), *_k_of_n(config, noise))


def false_retrains(
    *, price: float, confidence: float, error: float, mean: float, n_blocks: int, n_windows: int, seed: int
) -> float:
    """How many retrains a year the accumulated gain asks for where a window's gain is ``mean``, by simulation.

    4,000 years of ``n_windows`` normal gains of standard error ``error``; the sum of
    :class:`perennial.statistics.gain.Gain`, over all years at once. Zero again after a retrain.

    >>> noise = {"error": 0.02, "mean": 0.0, "n_blocks": 14, "n_windows": 26, "seed": 1}
    >>> loose, strict = (false_retrains(price=0.02, confidence=level, **noise) for level in (0.95, 0.99))
    >>> loose > strict > 0
    True
    """
    gains = np.random.default_rng(seed).normal(mean, error, (n_windows, _YEARS))
    total, count, fired = np.zeros(_YEARS), np.zeros(_YEARS, int), 0
    reach = np.array(
        [np.inf, *(stdtrit(n * (n_blocks - 1), confidence) * error * n**0.5 for n in range(1, n_windows + 1))]
    )
    for gain in gains:
        total, count = total + gain, count + 1
        count[total <= 0] = 0
        total[total <= 0] = 0.0
        fires = (total > price) & (total > reach[count])
        fired += int(fires.sum())
        total[fires], count[fires] = 0.0, 0
    return fired / _YEARS


def _price(config: ModelConfig, noise: Noise) -> tuple[KeyProposal, ...]:
    now, level = config.price, config.signals.gain.confidence
    if not noise.gain_errors:
        why = "no gain was measured with an interval"
        return tuple(
            KeyProposal(key=f"signals.gain.{name}", now=value, proposed=None, why=why)
            for name, value in (("price", now), ("confidence", level))
        )
    error = median(noise.gain_errors)
    is_known = len(noise.fresh_gains) >= LEAST_FRESH
    mean = min(0.0, fmean(noise.fresh_gains)) if is_known else 0.0
    asks = partial(
        false_retrains,
        error=error,
        mean=mean,
        n_blocks=noise.n_blocks,
        n_windows=max(1, round(noise.windows_a_year)),
        seed=config.signals.seed,
    )
    step = error / 4
    for confidence in (level, *(other for other in (0.95, 0.975, 0.99, 0.995) if other > level)):
        for number in range(1, _STEPS):
            price = float(f"{number * step:.2g}")
            found = asks(price=price, confidence=confidence)
            if found <= FALSE_A_YEAR:
                shortfall = (
                    f"a probe falls {abs(mean):.4g} short of a fresh champion ({len(noise.fresh_gains)} windows)"
                    if is_known
                    else "how far a probe falls short of a fresh champion is not known, and taken for nothing"
                )
                here = asks(price=now, confidence=level)
                why = (
                    f"the gain in one window has a standard error of {error:.4g} ({len(noise.gain_errors)} windows), "
                    f"and {shortfall}: where nothing changes this asks for {found:.2g} retrains a year, the present "
                    f"{now:g} at {level:g} for {here:.2g}; {FALSE_A_YEAR:g} are allowed"
                )
                return (
                    KeyProposal(key="signals.gain.price", now=now, proposed=price, why=why),
                    KeyProposal(key="signals.gain.confidence", now=level, proposed=confidence, why="with that price"),
                )
            if price > 3 * error:
                break
    why = f"no price up to {3 * error:.2g} keeps to {FALSE_A_YEAR:g} retrains a year: lengthen schedule.every"
    return (KeyProposal(key="signals.gain.price", now=now, proposed=None, why=why),)


def _min_gain(config: ModelConfig, noise: Noise) -> KeyProposal:
    now, key = config.signoff.versus_champion.min_gain, "signoff.versus_champion.min_gain"
    if not noise.gate_errors:
        return KeyProposal(key=key, now=now, proposed=None, why="no candidate was compared with a champion")
    error = median(noise.gate_errors)
    reach = float(stdtrit(noise.n_blocks - 1, config.signoff.versus_champion.confidence)) * error
    power = reach + NormalDist().inv_cdf(0.8) * error
    why = (
        f"a candidate's gain has a standard error of {error:.3g} (median of {len(noise.gate_errors)}), so the bound "
        f"asks for {reach:.3g} as it is, and finds a true gain of {power:.3g} in four of five cases; min_gain is for "
        "holdouts less noisy than that: half a standard error"
    )
    return KeyProposal(key=key, now=now, proposed=float(f"{error / 2:.1g}"), why=why)


def _max_deficit(config: ModelConfig, noise: Noise) -> KeyProposal:
    now, key = config.bake.max_deficit, "bake.max_deficit"
    errors = noise.bake_errors or noise.gate_errors
    if not errors:
        return KeyProposal(key=key, now=now, proposed=None, why="no version was compared with a stable one")
    error, of = median(errors), "a bake beside the stable version" if noise.bake_errors else "a candidate's gain"
    reach = float(stdtrit(noise.n_blocks - 1, (1 + config.signals.uncertainty.confidence) / 2)) * error
    why = (
        f"{of} has a standard error of {error:.3g} (median of {len(errors)}): with one standard error allowed, a "
        f"version has to look {error + reach:.3g} worse to be taken back, as an equal one does in fewer than 1 of 100"
    )
    return KeyProposal(key=key, now=now, proposed=float(f"{error:.1g}"), why=why)


def _max_loss(config: ModelConfig, noise: Noise) -> Iterator[KeyProposal]:
    """The least that no new champion breaches: it has had no time to decay, so that what it lost is the season."""
    for name, wanted in config.signals.performance.items():
        if wanted.max_loss is None:
            continue
        key, lost = f"signals.performance.{name}.max_loss", noise.fresh_losses.get(name, ())
        if len(lost) < LEAST_FRESH:
            why = f"{len(lost)} versions were measured in a first window of theirs, {LEAST_FRESH} are needed"
            yield KeyProposal(key=key, now=wanted.max_loss, proposed=None, why=why)
            continue
        most, breached = max(0.0, *lost), sum(low > wanted.max_loss for low in lost)
        why = (
            f"in its first window a new version surely lost up to {most:.3g} against its own holdout ({len(lost)} "
            f"versions), which is the season and no decay; {wanted.max_loss:g} is breached by {breached} of them"
        )
        yield KeyProposal(key=key, now=wanted.max_loss, proposed=ceil(most * 1000) / 1000, why=why)


def _k_of_n(config: ModelConfig, noise: Noise) -> tuple[KeyProposal, ...]:
    """The least k and n that keep bounds on performance, each wrong by chance, to the retrains that are allowed."""
    wrong = (1 - config.signals.uncertainty.confidence) / 2
    kept = [pair for pair in _PAIRS if often(wrong, *pair, noise.windows_a_year) <= FALSE_A_YEAR]
    k, n = kept[0] if kept else _PAIRS[-1]
    now = config.policy.breaches
    why = (
        f"a bound that holds exactly is breached by chance in {wrong:.1%} of {noise.windows_a_year:.0f} windows a "
        f"year: {k} of {n} then ask for {often(wrong, k, n, noise.windows_a_year):.2g} retrains a year for each such "
        "signal; the gain counts by its own rule"
    )
    return (
        KeyProposal(key="policy.breaches.k", now=now.k, proposed=k, why=why),
        KeyProposal(key="policy.breaches.n", now=now.n, proposed=n, why="with that k"),
    )


def often(wrong: float, k: int, n: int, n_windows: float) -> float:
    """How many windows a year are breached by chance with k - 1 others of the n - 1 before them, all independent.

    >>> round(often(0.025, 1, 1, 26), 3), round(often(0.025, 2, 3, 26), 3)
    (0.65, 0.032)
    """
    from scipy.special import bdtrc

    others = 1.0 if k == 1 else float(bdtrc(k - 2, n - 1, wrong))
    return n_windows * wrong * others
