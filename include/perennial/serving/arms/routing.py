"""Which arm a key belongs to, by a stable hash of it: no state, no chance, the same in every process."""

from hashlib import blake2b
from typing import Literal

Arm = Literal["canary", "baseline", "champion"]
"""``baseline`` is answered by the champion as well, and is as large as the canary: what the canary is compared with."""
ROUTING_KEY = "x-routing-key"
"""The header by which a caller says whose request it is, so that all of them have one arm."""
_BITS = 53
"""As many as a double holds, so that no place is rounded up to 1."""


def place_of(key: str, salt: str) -> float:
    """Where a key lies in [0, 1), as if drawn uniformly; another salt (at most 64 bytes) shuffles all keys anew.

    >>> place_of("order-4711", "canary-7") == place_of("order-4711", "canary-7") != place_of("order-4711", "canary-8")
    True
    """
    drawn = blake2b(key.encode(), key=salt.encode(), digest_size=8).digest()
    return (int.from_bytes(drawn) >> (64 - _BITS)) / (1 << _BITS)


def in_shadow(prediction_id: str, share: float) -> bool:
    """Whether the challenger answers this prediction as well; who is chosen stays so while the share grows.

    >>> [in_shadow("order-4711", share) for share in (0.0, 0.5, 1.0)]
    [False, False, True]
    """
    return place_of(prediction_id, "shadow") < share


def arm_of(key: str, share: float, salt: str) -> Arm:
    """The arm of a request's key while the canary has ``share`` (0 to 1) of all keys.

    The canary grows from 0 upwards and the baseline from 1 downwards, so that up to half of the traffic no key that has
    one of these arms ever gets another one. Beyond that the baseline is what the canary leaves.

    >>> arms = [arm_of("order-4711", share, "7") for share in (0.01, 0.05, 0.25, 0.5, 1.0)]
    >>> list(dict.fromkeys(arms))
    ['champion', 'canary']
    """
    place = place_of(key, salt)
    if place < share:
        return "canary"
    return "baseline" if place >= 1 - share else "champion"
