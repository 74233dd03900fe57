"""Whether predictions, scores and labels are as they were when the champion was judged. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from perennial.config import ModelConfig
from perennial.contracts import Signal, SignalName, Subject
from perennial.evidence.answers import NO_BLOCKS, blocks_in, demands_of
from perennial.monitoring.estimates.expectation import unlabelled
from perennial.statistics.blocks import Codes
from perennial.statistics.comparing.shares import chebyshev, shift


@dataclass(frozen=True, slots=True)
class AnswerSides:
    """The same column now and in the reference, shape (n,) and (m,), and the blocks of either; None without times."""

    now: NDArray[Any]
    before: NDArray[Any]
    blocks: tuple[Codes, Codes] | None


def prediction_signals(
    config: ModelConfig, subject: Subject, rows: pa.Table | None, *, reference: pa.Table | None, gone: str = ""
) -> Iterator[Signal]:
    """``prediction/classes`` and ``prediction/score``: predicted classes and mean score beside those of the holdout.

    ``rows`` hold ``event_time``, ``score`` and ``predicted``, and the reference ``part`` too; without one, because it
    is ``gone``, both are unknown.

    >>> [one.name for one in prediction_signals(flights, subject, None, reference=None, gone="gone")]
    ['prediction/classes', 'prediction/score']
    """
    classes: AnswerSides | str = gone
    scores: AnswerSides | str = gone
    if rows is not None and reference is not None:
        holdout = reference.filter(pc.and_(pc.equal(reference["part"], "holdout"), pc.is_valid(reference["score"])))
        now, before = (unlabelled(config, side) for side in (rows, holdout))
        classes = scores = "fewer than two rows, or a score that is missing or no number"
        if now is not None and before is not None:
            blocks = _blocks(config, rows, holdout)
            classes = AnswerSides(now.predicted, before.predicted, blocks)
            scores = AnswerSides(now.scores, before.scores, blocks)
    if config.task != "regression":
        yield _classes(config, subject, SignalName("prediction", "classes"), classes)
    yield _mean(config, subject, SignalName("prediction", "score"), scores)


def label_signals(
    config: ModelConfig,
    subject: Subject,
    rows: pa.Table | None,
    *,
    reference: pa.Table | None,
    why: str = "",
) -> Iterator[Signal]:
    """``labels/classes``, or ``labels/mean`` of a regression: the labels of a window beside those of the reference.

    Both hold ``event_time`` and ``label``; ``why`` there is nothing to compare makes it unknown.

    >>> [one.name for one in label_signals(flights, subject, None, reference=None, why="gone")]
    ['labels/classes']
    """
    sides: AnswerSides | str = why or "no labelled rows"
    if rows is not None and reference is not None and not why and rows.num_rows:
        kind = pa.int8() if config.task == "binary" else rows["label"].type
        now, before = (side["label"].cast(kind).to_numpy(zero_copy_only=False) for side in (rows, reference))
        sides = AnswerSides(now, before, _blocks(config, rows, reference))
    if config.task == "regression":
        yield _mean(config, subject, SignalName("labels", "mean"), sides)
    else:
        yield _classes(config, subject, SignalName("labels", "classes"), sides)


def _blocks(config: ModelConfig, rows: pa.Table, reference: pa.Table) -> tuple[Codes, Codes] | None:
    now, before = blocks_in(config, rows), blocks_in(config, reference)
    return None if now is None or before is None else (now, before)


def _classes(config: ModelConfig, subject: Subject, name: SignalName, sides: AnswerSides | str) -> Signal:
    asked = config.signals.prediction
    if isinstance(sides, str) or sides.blocks is None:
        return subject.unknown(name, asked.role, _why(sides), threshold=asked.max_share)
    found, where = chebyshev(sides.now, sides.before, blocks=sides.blocks, demands=demands_of(config))
    shares = [float((side.astype(str) == where).mean()) for side in (sides.now, sides.before)]
    detail = f"share of {where} {shares[0]:.4f}, {shares[1]:.4f} in the reference; {found.basis}"
    return subject.estimated(name, asked.role, found, threshold=asked.max_share, is_least=False, detail=detail)


def _mean(config: ModelConfig, subject: Subject, name: SignalName, sides: AnswerSides | str) -> Signal:
    asked = config.signals.prediction
    if isinstance(sides, str) or sides.blocks is None:
        return subject.unknown(name, asked.role, _why(sides), threshold=asked.max_shift)
    found = shift(sides.now, sides.before, blocks=sides.blocks, demands=demands_of(config))
    means = [float(side.mean()) for side in (sides.now, sides.before)]
    detail = f"mean {means[0]:.4g}, {means[1]:.4g} in the reference; {found.basis}"
    return subject.estimated(name, asked.role, found, threshold=asked.max_shift, is_least=False, detail=detail)


def _why(sides: AnswerSides | str) -> str:
    return sides if isinstance(sides, str) else NO_BLOCKS
