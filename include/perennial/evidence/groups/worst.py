"""The slices of rows that a model may be worse on: the values of a column, and what a shallow tree finds."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from perennial.config import ModelConfig
from perennial.evidence.groups.encoding import Encoding, Numbers, learn_encoding
from perennial.statistics.blocks import Codes
from perennial.statistics.rows import Rows

NO_VALUE = "(missing)"
MOST_VALUES = 20
"""Of a column; its most frequent ones."""
MOST_LEAVES = 8
Chosen = NDArray[np.bool_]


def texts_of(values: pa.ChunkedArray) -> NDArray[np.str_]:
    """The values of a category or a boolean as text, shape (n,); a missing one is a value like any other.

    >>> texts_of(pa.chunked_array([["JFK", None]])).tolist()
    ['JFK', '(missing)']
    """
    texts: NDArray[np.str_] = values.cast(pa.string()).fill_null(NO_VALUE).to_numpy(zero_copy_only=False).astype(str)
    return texts


def values_of(values: pa.ChunkedArray, min_rows: int) -> list[tuple[str, Chosen]]:
    """The most frequent values of a column that have ``min_rows`` rows, and which rows those are.

    >>> [(name, inside.tolist()) for name, inside in values_of(pa.chunked_array([["a", "b", "a"]]), 2)]
    [('a', [True, False, True])]
    """
    texts = texts_of(values)
    names, counts = np.unique(texts, return_counts=True)
    large = [place for place in np.argsort(-counts, kind="stable")[:MOST_VALUES] if counts[place] >= min_rows]
    return [(str(names[place]), texts == names[place]) for place in large]


def worst_slice(
    config: ModelConfig, rows: pa.Table, excess: Numbers, blocks: Codes, *, min_rows: int
) -> tuple[Chosen, str]:
    """The rows with the largest ``excess``, shape (n,), and by which rule they are found; ``rows`` hold the features.

    A shallow tree looks for the slice in one half of the blocks, and it is judged in the other, in turn: what was
    looked for among many is judged on rows that had no part in the looking.
    """
    inside = np.zeros(len(excess), dtype=bool)
    rules = []
    for half in (0, 1):
        judged = blocks % 2 == half
        leaf, rule = _worst_leaf(config, rows, excess, ~judged, min_rows=min_rows)
        inside |= judged & leaf
        rules.append(rule)
    return inside, " | ".join(dict.fromkeys(rules))


def losses(config: ModelConfig, rows: Rows) -> Numbers:
    """The squared error of each row; for classes whether it is wrong."""
    if config.task == "multiclass":
        return np.asarray(rows.truth != rows.predicted, dtype=np.float64)
    return np.asarray((rows.truth - rows.scores) ** 2, dtype=np.float64)


def _worst_leaf(
    config: ModelConfig, rows: pa.Table, excess: Numbers, among: Chosen, *, min_rows: int
) -> tuple[Chosen, str]:
    """Which rows lie in the leaf with the largest mean excess of a tree on some of them, and the rule of that leaf."""
    from sklearn.tree import DecisionTreeRegressor

    n_least, excess = min_rows // 2, excess[among]
    if len(excess) < 2 * n_least:
        return np.zeros(len(among), dtype=bool), "too few rows to look in"
    looked_in = rows.filter(pa.array(among))
    encoding = learn_encoding(config, looked_in, excess, columns=tuple(config.features))
    tree = DecisionTreeRegressor(max_leaf_nodes=MOST_LEAVES, min_samples_leaf=n_least, random_state=0)
    tree.fit(encoding.of(looked_in), excess)
    leaves = tree.apply(encoding.of(rows))
    worst = max(np.unique(leaves), key=lambda leaf: float(tree.tree_.value[leaf].item()))
    return leaves == worst, _rule(tree, encoding, int(worst))


def _rule(tree: object, encoding: Encoding, leaf: int) -> str:
    """The conditions on the way to a leaf, as people read them."""
    nodes = tree.tree_  # type: ignore[attr-defined]
    parts: list[str] = []
    while leaf:
        parent = int(np.flatnonzero((nodes.children_left == leaf) | (nodes.children_right == leaf))[0])
        name, below = encoding.columns[nodes.feature[parent]], nodes.children_left[parent] == leaf
        edge = float(nodes.threshold[parent])
        if name in encoding.codes:
            held = [value for value, code in encoding.codes[name].items() if (code <= edge) == below]
            parts.append(f"{name} in {', '.join(sorted(held)[:5])}{' ...' if len(held) > 5 else ''}")  # noqa: PLR2004
        else:
            parts.append(f"{name} {'<=' if below else '>'} {edge:.4g}")
        leaf = parent
    return " and ".join(reversed(parts)) or "all rows"
