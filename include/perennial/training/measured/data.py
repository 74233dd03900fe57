"""What the rows that a candidate was fitted and judged on say of themselves: overlap, classes, leaks, drift."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from perennial.config import ModelConfig
from perennial.contracts import DataFacts
from perennial.evidence.groups.encoding import learn_encoding
from perennial.statistics.drift.distances import distance
from perennial.training.rows import labels_of, pick

MOST_ROWS = 5_000
"""Of either side, for what is asked of every feature."""
N_BINS, N_LEAVES, LEAST_IN_LEAF = 10, 16, 20
Numbers = NDArray[np.float64]


def columns_asked(config: ModelConfig) -> list[str]:
    """The columns of a snapshot that are needed of all its rows."""
    entity = config.signoff.data.entity
    return ["prediction_id", "event_time", "label", *([entity] if entity else [])]


def data_facts(
    config: ModelConfig,
    whole: tuple[pa.Table, pa.Table],
    samples: tuple[pa.Table, pa.Table],
    newest: pa.Table,
) -> DataFacts:
    """The facts of training and holdout rows. Pure.

    ``whole`` holds the ``columns_asked`` of all rows of both, ``samples`` features and ``label`` of some rows of both,
    ``newest`` the features of rows served last. The order of the rows does not matter.
    """
    train, holdout = whole
    shared = None
    if entity := config.signoff.data.entity:
        known = pc.is_in(holdout[entity], value_set=pc.unique(train[entity]))
        shared = float(pc.mean(known.cast(pa.float64())).as_py() or 0.0)
    same = pc.is_in(holdout["prediction_id"], value_set=pc.unique(train["prediction_id"]))
    gap = pc.min(holdout["event_time"]).as_py() - pc.max(train["event_time"]).as_py()
    return DataFacts(
        n_same_ids=int(pc.sum(same.cast(pa.int64())).as_py() or 0),
        shared_entities=shared,
        gap_s=gap.total_seconds(),
        least_class={part: least_of(config, rows) for part, rows in (("train", train), ("holdout", holdout))}
        if config.task != "regression"
        else {},
        powers=powers(config, *(_bounded(config, rows) for rows in samples)),
        drifts=drifts(config, samples[0], newest),
    )


def least_of(config: ModelConfig, rows: pa.Table) -> int:
    """How many rows the rarest declared class has.

    >>> least_of(flights, pa.table({"label": [0.0, 1.0, 0.0]})), least_of(flights, pa.table({"label": [0.0]}))
    (1, 0)
    """
    labels = labels_of(config, rows).astype(str)
    return min(int((labels == str(name)).sum()) for name in config.label.classes or ())


def _bounded(config: ModelConfig, rows: pa.Table) -> pa.Table:
    return rows.take(pa.array(pick(rows.num_rows, MOST_ROWS, config.signals.seed)))


def powers(config: ModelConfig, train: pa.Table, holdout: pa.Table) -> dict[str, float]:
    """How well a small tree over one feature, fitted on training rows, foretells the labels of the holdout."""
    known, wanted = labels_of(config, train), labels_of(config, holdout)
    if min(len(np.unique(known)), len(np.unique(wanted))) < 2:  # noqa: PLR2004 - nothing to foretell
        return {}
    numbers = np.unique(known, return_inverse=True)[1] if config.task == "multiclass" else known
    target: Numbers = numbers.astype(np.float64)
    encoding = learn_encoding(config, train, target, columns=tuple(config.features))
    seen, unseen = (_finite(encoding.of(rows)) for rows in (train, holdout))
    found = {
        name: _power(config, seen[:, [place]], known, unseen[:, [place]], wanted)
        for place, name in enumerate(config.features)
    }
    return {name: power for name, power in found.items() if np.isfinite(power)}


def _finite(values: Numbers) -> Numbers:
    return np.where(np.isfinite(values), values, np.nan)


def _power(
    config: ModelConfig, seen: Numbers, known: NDArray[np.generic], unseen: Numbers, wanted: NDArray[np.generic]
) -> float:
    from sklearn.metrics import roc_auc_score
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    least = min(LEAST_IN_LEAF, max(1, len(known) // 10))
    if config.task == "regression":
        tree = DecisionTreeRegressor(max_leaf_nodes=N_LEAVES, min_samples_leaf=least, random_state=0).fit(seen, known)
        predicted = tree.predict(unseen)
        return abs(float(np.corrcoef(predicted, wanted)[0, 1])) if predicted.std() > 0 and wanted.std() > 0 else 0.0
    tree = DecisionTreeClassifier(max_leaf_nodes=N_LEAVES, min_samples_leaf=least, random_state=0).fit(seen, known)
    predicted = tree.predict_proba(unseen)
    areas = [
        float(roc_auc_score(wanted == name, predicted[:, place]))
        for place, name in enumerate(tree.classes_)
        if 0 < (wanted == name).sum() < len(wanted)
    ]
    return float(np.mean(areas)) if areas else float("nan")


def drifts(config: ModelConfig, train: pa.Table, newest: pa.Table) -> dict[str, float]:
    """The PSI of each feature, nulls a bin of their own: numbers between deciles of the training rows."""
    if not newest.num_rows:
        return {}
    found = {}
    for name in config.features:
        before, now = (_binned(config, name, train, rows) for rows in (train, newest))
        n_bins = int(max(before.max(), now.max())) + 1
        counts = [np.bincount(codes, minlength=n_bins) for codes in (now, before)]
        found[name] = float(distance("psi", counts[0], counts[1]))
    return found


def _binned(config: ModelConfig, name: str, reference: pa.Table, rows: pa.Table) -> NDArray[np.intp]:
    """The bin of each row, 0 for nulls."""
    if name in config.categories:
        texts = [side[name].cast(pa.string()) for side in (reference, rows)]
        values = pc.unique(texts[0].drop_null())
        codes = pc.index_in(texts[1], value_set=values).fill_null(len(values))
        places = codes.to_numpy(zero_copy_only=False).astype(np.intp) + 1
        places[pc.is_null(texts[1]).to_numpy(zero_copy_only=False)] = 0
        return np.asarray(places)
    before, now = (
        side[name].cast(pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64) for side in (reference, rows)
    )
    known = before[np.isfinite(before)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, N_BINS + 1)[1:-1])) if len(known) else np.empty(0)
    return np.where(np.isnan(now), 0, np.searchsorted(edges, now, side="right") + 1)
