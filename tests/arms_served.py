"""Windows in which a challenger answered half of the requests, with their labels, for an A/B without a service."""

from datetime import timedelta

import pandas as pd

from logs import day
from monitored import log_of, publish_labels, publish_predictions
from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import LedgerEntry
from perennial.contracts.tags import CANARY
from perennial.store import Store


def served(
    store: Store,
    config: ModelConfig,
    number: int,
    *,
    n_wrong: int,
    n_worse: int = 0,
    since: int = 0,
    n_lost: int = 0,
    n_unknown: int = 0,
    versions: tuple[str, str] = ("1", "2"),
    n_rows: int = 400,
) -> None:
    """A day, decided about, whose rows are labelled: from row ``since`` on the second of the ``versions`` answers every
    second one, and is wrong for ``n_wrong`` of each twenty; the champion answers the others, and is wrong for one in
    ten, and for ``n_worse`` of each twenty. Of each twenty of the challenger the log lost the first ``n_lost``, and the
    labels of the last ``n_unknown`` stay away."""
    champion, challenger = versions
    frame = log_of(config, number, n_rows=n_rows, seed=number).assign(model_version=champion)
    order = pd.Series(range(n_rows), index=frame.index)
    wrong = frame["label"].map({"barolo": "barbera", "barbera": "grignolino", "grignolino": "barolo"})
    mine, of_twenty = (order % 2 == 1) & (order >= since), order // 2 % 20
    told = frame["label"].where(of_twenty >= n_wrong, wrong)
    beside = frame["predicted"].where(of_twenty >= n_worse, wrong)
    frame = frame.assign(
        role=frame["role"].where(~mine, CANARY),
        model_version=frame["model_version"].where(~mine, challenger),
        predicted=beside.where(~mine, told),
    )
    is_there, is_known = ~mine | (of_twenty >= n_lost), ~mine | (of_twenty < 20 - n_unknown)
    publish_predictions(store, config, day(number), frame[is_there])
    publish_labels(store, config, day(number), frame[is_there & is_known], at=day(number).end - timedelta(hours=1))
    decided = LedgerEntry(
        entry_id=f"decision-{config.model}-{number}",
        model=config.model,
        kind="decision",
        at=day(number).end,
        actor="policy",
        reason="stay",
    )
    ledger.append(store, decided)
