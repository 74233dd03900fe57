"""``attribution/ndcg``: whether the champion answers by the features that it answered by. Pure but for the asking."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from perennial.config import ModelConfig
from perennial.contracts import Signal, SignalName, Subject
from perennial.errors import TransientError, first_of
from perennial.evidence.answers import NO_BLOCKS, blocks_in, demands_of
from perennial.monitoring.served.rescoring import Answer, some_of
from perennial.statistics.blocks import Codes
from perennial.statistics.comparing.ranking import ndcg_of_means

NDCG = SignalName("attribution", "ndcg")


def attribution_signals(
    config: ModelConfig, subject: Subject, rows: pa.Table, *, reference: pa.Table | None, answer: Answer | str
) -> Iterator[Signal]:
    """The ranking of features by how much answers lean on them, against that of the holdout.

    ``answer`` is why the version can not be asked, where it is a text. Raises TransientError.

    >>> [one.status for one in attribution_signals(flights, subject, pa.table({}), reference=None, answer="gone")]
    ['unknown']
    """
    asked = config.signals.attribution
    if isinstance(answer, str) or reference is None:
        why = answer if isinstance(answer, str) else "the reference is gone"
        yield subject.unknown(NDCG, asked.role, why, threshold=asked.min_ndcg)
        return
    holdout = reference.filter(pc.equal(reference["part"], "holdout"))
    sides = [some_of(config, side, asked.rows) for side in (rows, holdout)]
    blocks = [blocks_in(config, side) for side in sides]
    if not all(side.num_rows for side in sides) or blocks[0] is None or blocks[1] is None:
        why = "no rows to compare" if not all(side.num_rows for side in sides) else NO_BLOCKS
        yield subject.unknown(NDCG, asked.role, why, threshold=asked.min_ndcg)
        return
    try:
        now, before = (occlusion(config, side, answer=answer) for side in sides)
    except TransientError:
        raise
    except Exception as error:
        why = f"version {subject.version} could not score the rows: {type(error).__name__}: {error}"
        yield subject.unknown(NDCG, asked.role, why, threshold=asked.min_ndcg)
        return
    yield _signal(config, subject, now, before, (blocks[0], blocks[1]))


def occlusion(config: ModelConfig, rows: pa.Table, *, answer: Answer) -> NDArray[np.float64]:
    """How far each answer moves when a feature is taken from another row, shape (rows, features).

    Each feature comes from another one of the rows, the same one every time: what the row's own value says is lost, and
    the distribution is not. (L. Breiman's permutation, Machine Learning 45, 2001, of answers in the place of losses.)
    It asks nothing of the estimator.
    """
    scores, predicted = answer(rows)
    order = pa.array(np.random.default_rng(config.signals.seed).permutation(rows.num_rows))
    moved = np.empty((rows.num_rows, len(config.features)))
    for place, name in enumerate(config.features):
        taken = rows.set_column(rows.schema.get_field_index(name), name, rows[name].take(order))
        others, classes = answer(taken)
        moved[:, place] = np.abs(others - scores)
        if predicted is not None and classes is not None:
            moved[:, place] += classes != predicted
    return moved


def _signal(
    config: ModelConfig,
    subject: Subject,
    now: NDArray[np.float64],
    before: NDArray[np.float64],
    blocks: tuple[Codes, Codes],
) -> Signal:
    asked, demands = config.signals.attribution, demands_of(config)
    rng = np.random.default_rng(config.signals.seed)
    found = ndcg_of_means(now, before, blocks=blocks, rng=rng, demands=demands)
    names = np.array(list(config.features))
    first = [names[np.argsort(-side.mean(axis=0), kind="stable")][:3].tolist() for side in (now, before)]
    detail = f"first {first_of(first[0])}; in the holdout {first_of(first[1])}; {found.basis}"
    return subject.estimated(NDCG, asked.role, found, threshold=asked.min_ndcg, is_least=True, detail=detail)
