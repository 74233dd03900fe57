"""The suite of a model: what its schema promises, and the extra expectations of ``model.yaml``.

Great Expectations is imported where an expectation is built: a model without extra ones is checked without it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from perennial.config import LATENCY, MEMORY, ExtraExpectation, ModelConfig
from perennial.contracts import SourceKind
from perennial.errors import ConfigError, first_of
from perennial.validation.casts.casting import Field, fields

_WHOLE_BATCH_ONLY = re.compile(r"ToBeUnique$|Increasing|Decreasing|^ExpectTable|^UnexpectedRows")
_COLUMN_KEYS = ("column", "column_A", "column_B", "column_list")


@dataclass(frozen=True, slots=True)
class Rule:
    """One expectation with what Perennial has to know about it. ``fault`` is the reason a failing row gets."""

    key: int
    name: str
    kwargs: dict[str, Any]
    level: Literal["row", "batch"]
    fault: str
    columns: tuple[str, ...]
    limits: bool = field(default=False)
    """True when a failure means out of the declared range or list."""

    @property
    def column(self) -> str | None:
        """The one column it speaks about; None for several or for the table."""
        return self.columns[0] if len(self.columns) == 1 else None

    def build(self) -> Any:
        """The Great Expectations object; ``key`` goes along in its meta, for results come back in another order."""
        from perennial.validation.gx_imports import gxe

        return getattr(gxe, self.name)(**self.kwargs, meta={"rule": self.key})


def rules(config: ModelConfig, source: SourceKind) -> tuple[Rule, ...]:
    """Every rule of the source. Raises ConfigError for an extra expectation that Great Expectations can not build.

    >>> from perennial.config import load_model
    >>> from perennial.settings import ROOT
    >>> [rule.fault for rule in rules(load_model(ROOT / "tests/models/wine_cultivar"), "labels")][:2]
    ['prediction_id: missing', 'label: missing']
    """
    found: list[Rule] = []
    for column in fields(config, source):
        if column.delivered is not None or not column.nullable:
            _add(found, column, _schema_rules(config, column))
    for index, extra in enumerate(config.validation.expectations):
        rule = _extra(config, index, extra, key=len(found))
        if _owner(config, index, rule) == source:
            found.append(rule)
    return tuple(found)


def _add(found: list[Rule], column: Field, made: Iterable[tuple[str, dict[str, Any], str, bool]]) -> None:
    for name, kwargs, fault, limits in made:
        found.append(
            Rule(
                key=len(found),
                name=name,
                kwargs={"column": column.name, **kwargs},
                level="row",
                fault=f"{column.name}: {fault}",
                columns=(column.name,),
                limits=limits,
            )
        )


def _schema_rules(config: ModelConfig, column: Field) -> Iterable[tuple[str, dict[str, Any], str, bool]]:
    if not column.nullable:
        yield "ExpectColumnValuesToNotBeNull", {}, "missing", False
    low, high = _range(config, column)
    if low is not None or high is not None:
        words = f"outside [{'' if low is None else low}, {'' if high is None else high}]"
        yield "ExpectColumnValuesToBeBetween", {"min_value": low, "max_value": high}, words, True
    allowed = _allowed(config, column)
    if allowed is not None:
        words = f"not among {first_of(allowed)}"
        yield "ExpectColumnValuesToBeInSet", {"value_set": allowed}, words, True


def _range(config: ModelConfig, column: Field) -> tuple[float | None, float | None]:
    if column.name == "score":
        return (None, None) if config.task == "regression" else (0.0, 1.0)
    if column.name in (LATENCY, MEMORY):
        return 0.0, None
    feature = config.features.get(column.name)
    return (feature.min, feature.max) if feature is not None and feature.type in ("float", "int") else (None, None)


def _allowed(config: ModelConfig, column: Field) -> list[Any] | None:
    classes = config.label.classes
    if column.name in ("label", "predicted") and classes is not None:
        return [float(c) for c in classes] if column.kind == "float" else [str(c) for c in classes]
    feature = config.features.get(column.name)
    if feature is not None and feature.type == "category" and feature.unseen == "quarantine":
        return list(feature.categories)
    return None


def _extra(config: ModelConfig, index: int, extra: ExtraExpectation, *, key: int) -> Rule:
    from perennial.validation.gx_imports import PAIR_OR_MULTI, BatchExpectation, ColumnMapExpectation, gxe

    where = f"{config.model}: validation.expectations.{index} = {extra.type}"
    kind = getattr(gxe, extra.type, None)
    if not (isinstance(kind, type) and issubclass(kind, BatchExpectation)):
        raise ConfigError(f"{where}: Great Expectations has no such expectation; see greatexpectations.io/expectations")
    row_by_row = issubclass(kind, (ColumnMapExpectation, *PAIR_OR_MULTI))
    if _WHOLE_BATCH_ONLY.search(extra.type):
        raise ConfigError(
            f"{where}: speaks of all rows at once, which are never in memory; the number of rows is bounded by "
            "validation.min_rows and max_rows, ids are unique by the store's key, columns by the declared schema"
        )
    if extra.level == "row" and not row_by_row:
        raise ConfigError(f"{where}: level row is for expectations on each row's values; write level: batch")
    given = [extra.kwargs[name] for name in _COLUMN_KEYS if name in extra.kwargs]
    columns = tuple(str(c) for value in given for c in (value if isinstance(value, list) else [value]))
    rule = Rule(
        key=key,
        name=extra.type,
        kwargs=dict(extra.kwargs),
        level=extra.level,
        fault=f"{', '.join(columns) or 'row'}: fails {extra.type}",
        columns=columns,
    )
    try:
        rule.build()
    except (ValueError, TypeError) as error:  # pydantic's ValidationError is a ValueError
        raise ConfigError(f"{where}: {error}") from error
    return rule


def _owner(config: ModelConfig, index: int, rule: Rule) -> SourceKind:
    for source in ("predictions", "labels"):
        known = {column.name for column in fields(config, source)}
        if known.issuperset(rule.columns):
            return source
    known = {column.name for column in fields(config, "predictions")}
    raise ConfigError(
        f"{config.model}: validation.expectations.{index} = {rule.name}: no column "
        f"{first_of(sorted(set(rule.columns) - known))}; there are {first_of(sorted(known), most=60)}"
    )
