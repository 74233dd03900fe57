"""What the scores of a champion are worth, learnt from its holdout."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from perennial.config import ModelConfig
from perennial.evidence.answers import NO_BLOCKS, answers_in, blocks_in
from perennial.evidence.groups.encoding import learn_encoding
from perennial.statistics.blocks import Codes
from perennial.statistics.expected.estimates import DrawnTruths, matched
from perennial.statistics.expected.truths import Unlabelled, drawn_rows
from perennial.statistics.rows import Rows, rows_of

Grouping = Callable[[pa.Table], Codes]
MOST_GROUPS = 16
LEAST_IN_GROUP = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """The holdout with its labels and with those that its scores let expect, and how to group rows that are alike."""

    holdout: DrawnTruths
    group_of: Grouping
    groups: Codes

    def like(self, rows: pa.Table) -> DrawnTruths:
        """The holdout as if its rows had been such as these: of the same groups, as often."""
        return matched(self.holdout, self.groups, self.group_of(rows))

    def drawn(self, config: ModelConfig, rows: pa.Table) -> tuple[Rows, ...] | None:
        """The rows with the labels that they let expect, several times; None where a score is missing or no number.

        ``rows`` holds ``score``, ``predicted`` and, for regression, features; labels are not looked at.
        """
        whole = unlabelled(config, rows)
        if whole is None:
            return None
        asked = Unlabelled(whole.scores, whole.predicted, self.group_of(rows))
        return drawn_rows(config.task, self.holdout.real, asked, groups=self.groups)


def unlabelled(config: ModelConfig, rows: pa.Table) -> Rows | None:
    """Rows as metrics take them, with what was predicted in the place of their truth; None where nothing can be said.

    >>> unlabelled(flights, pa.table({"score": [0.2, 0.7]})).predicted.tolist()
    [0, 1]
    """
    scores = rows["score"].to_numpy()
    predicted = rows["predicted"].to_numpy() if config.task == "multiclass" else None
    return rows_of(
        config.task,
        labels=np.zeros(len(scores)) if predicted is None else predicted,
        scores=scores,
        predicted=predicted,
        classes=config.label.classes,
        threshold=config.label.decision_threshold,
    )


def learn(config: ModelConfig, reference: pa.Table) -> Expectation | str:
    """The expectation of a reference's holdout, or why there is none. Pure.

    ``reference`` has the columns of :func:`perennial.registry.reference.load_reference`.

    >>> learn(flights, pa.table({"part": ["holdout"], "score": [0.5], "label": [1.0]}))
    'the holdout of the reference has no two rows with a score and a label'
    """
    rows = reference.filter(pc.and_(pc.equal(reference["part"], "holdout"), pc.is_valid(reference["score"])))
    real = answers_in(config, rows).measured(config)
    if real is None:
        return "the holdout of the reference has no two rows with a score and a label"
    blocks = blocks_in(config, rows)
    if blocks is None:
        return NO_BLOCKS
    group_of = _by_loss(config, rows, real) if config.task == "regression" else _by_score(config, real)
    groups = group_of(rows)
    drawn = drawn_rows(config.task, real, Unlabelled(real.scores, real.predicted, groups), groups=groups)
    return Expectation(holdout=DrawnTruths(real, drawn, blocks), group_of=group_of, groups=groups)


def _by_score(config: ModelConfig, real: Rows) -> Grouping:
    """The groups of rows with nearly the same score, and the same prediction where classes are predicted."""
    edges = np.unique(np.quantile(real.scores, np.linspace(0, 1, MOST_GROUPS + 1)[1:-1]))
    names = np.unique(real.predicted)

    def group(rows: pa.Table) -> Codes:
        bins: Codes = np.searchsorted(edges, rows["score"].to_numpy(), side="right")
        if config.task == "binary":
            return bins
        predicted = np.searchsorted(names, rows["predicted"].to_numpy(zero_copy_only=False).astype(str))
        together: Codes = bins + predicted * (len(edges) + 1)
        return together

    return group


def _by_loss(config: ModelConfig, rows: pa.Table, real: Rows) -> Grouping:
    """The groups of rows whose squared error is alike: the leaves of a shallow tree on features and score."""
    from sklearn.tree import DecisionTreeRegressor

    loss = (real.truth - real.scores) ** 2
    encoding = learn_encoding(config, rows, loss, columns=(*config.features, "score"))
    tree = DecisionTreeRegressor(max_leaf_nodes=MOST_GROUPS, min_samples_leaf=LEAST_IN_GROUP, random_state=0)
    if len(loss) < 2 * LEAST_IN_GROUP:
        return lambda asked: np.zeros(asked.num_rows, dtype=np.intp)
    tree.fit(encoding.of(rows), loss)
    return lambda asked: np.asarray(tree.apply(encoding.of(asked)), dtype=np.intp)
