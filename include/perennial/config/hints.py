"""Signals that ask for nothing by themselves: hints without labels, and what people watch."""

from typing import Literal

from perennial.config.values import Strict


class EstimateSignals(Strict):
    """The metrics of ``signals.performance`` before labels are in, and how far they were off once labels are.

    What scores were worth on the champion's holdout is taken for what they are worth now. That is a hint and no more:
    it can not see that labels changed for the same rows, and takes a change of season for one of the model. Its role is
    ``watch``, and nothing else.
    """

    enabled: bool = True
    role: Literal["watch"] = "watch"
