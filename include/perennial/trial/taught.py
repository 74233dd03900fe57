"""The rows of a log that teach a candidate, as :mod:`perennial.evidence.training.rows` draws them from the store."""

from collections.abc import Iterable
from datetime import datetime

import numpy as np

from perennial.config import ModelConfig
from perennial.contracts import Window
from perennial.evidence.training.earlier import earlier_stretches, whole_and_gaps
from perennial.evidence.training.rows import quotas
from perennial.trial.log import Log, Places


def training_places(
    config: ModelConfig, log: Log, train: Window, *, as_of: datetime, excluded: Iterable[Window], capped: bool = True
) -> Places:
    """Where the rows stand that a candidate fitted on ``train`` learns from; ascending.

    Not ``capped``, all of them, however many ``training.max_train_rows`` allows.
    """
    whole, gaps = whole_and_gaps(train, earlier_stretches(config, train))
    places = log.known(log.within(whole, excluded=(*excluded, *gaps)), as_of)
    most = config.training.max_train_rows
    if not capped or most is None or len(places) <= most:
        return places
    if config.task == "regression":
        return log.drawn(places, most)
    labels = log.table(places, ["label"])["label"].to_numpy(zero_copy_only=False)
    classes, counts = np.unique(labels, return_counts=True)
    kept = quotas({str(name): int(n) for name, n in zip(classes, counts, strict=True)}, most)
    return np.sort(np.concatenate([log.drawn(places[labels == name], kept[str(name)]) for name in classes]))
