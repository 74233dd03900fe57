"""One question for many models, asked of each by its index."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, Select, Subquery, Text, cast, func, select, true

from perennial.store.schema import Moment


def asked_of(models: Sequence[str], starts: Sequence[datetime] = ()) -> Subquery:
    """The models as rows with the columns ``model`` and, where given, ``start``."""
    columns = [func.unnest(cast(list(models), ARRAY(Text))).label("model")]
    if starts:
        columns.append(func.unnest(cast(list(starts), ARRAY(Moment))).label("start"))
    return select(*columns).subquery("asked")


def for_each(asked: Subquery, one: Select[Any]) -> Select[Any]:
    """The rows of ``one``, which speaks of a row of ``asked``, for each of them: no plan goes through all models."""
    rows = one.lateral("of_model")
    return select(rows).select_from(asked.join(rows, true()))


def by_model(rows: Sequence[Any], models: Mapping[str, Any] | Sequence[str]) -> dict[str, list[Any]]:
    """The rows of each model in their order; none for one that has no row."""
    found: dict[str, list[Any]] = {model: [] for model in models}
    for row in rows:
        found[row.model].append(row)
    return found
