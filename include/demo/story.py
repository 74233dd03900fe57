"""What is done to the input, window by window, and by a reviewer. All else is decided by ``model.yaml`` alone."""

from dataclasses import dataclass
from typing import Literal

N_WINDOWS = 14
"""The last one's candidate waits for the reader's review."""
FAULT = (6, 10)
"""Windows from the first to before the second whose labels come upside down: the feed sends on-time under ``late``."""
ACKNOWLEDGED_BEFORE = 13
BROKEN, DOUBLE = 4, 5

Delivery = Literal["whole", "broken, then mended", "twice"]


@dataclass(frozen=True, slots=True)
class Chapter:
    """One window's input, and how it is announced."""

    delivery: Delivery
    announcement: str


def is_approved_in_haste(number: int) -> bool:
    """Whether the reviewer on duty approves what waits after window ``number`` without reading its flags.

    >>> [is_approved_in_haste(number) for number in (5, 6, 10, 11)]
    [False, True, True, False]
    """
    return FAULT[0] <= number <= FAULT[1]


def chapter(number: int) -> Chapter:
    """The input of window ``number``, counted from 0.

    >>> chapter(4).delivery
    'broken, then mended'
    """
    if number == BROKEN:
        return Chapter(
            "broken, then mended",
            "the delivery has distance_km instead of distance_mi, and half its temperatures in tenths of a degree",
        )
    if number == DOUBLE:
        return Chapter("twice", "the same file is delivered twice")
    if number == FAULT[0]:
        return Chapter("whole", "the label feed turns upside down: it now sends on-time under the name late")
    if FAULT[0] < number < FAULT[1]:
        return Chapter("whole", "the label feed is still upside down")
    if number == FAULT[1]:
        return Chapter("whole", "the label feed is mended: labels of flights from here on are right again")
    return Chapter("whole", "a window of flights as it happened")
