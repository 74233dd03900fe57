"""How far the rows of a window lie from those the champion was fitted and judged on."""

import pyarrow as pa
import pyarrow.compute as pc

from perennial.config import ModelConfig
from perennial.contracts import ReleaseState, Signal, SignalName, SignalRole, Subject, Window
from perennial.errors import first_of
from perennial.evidence.samples import read_sample
from perennial.monitoring.evidently_report import Distances, measure
from perennial.monitoring.feature_flags import feature_flags
from perennial.monitoring.reference import fetch_importance, fetch_reference, without_champion
from perennial.monitoring.screening import Column, Constant, Pair, Refusal, quantile_psi, screen
from perennial.registry import Registry
from perennial.store import Store
from perennial.store.signals import save

SCORE, SHARE = "score", "weighted_share"


def measure_drift(
    config: ModelConfig, window: Window, *, store: Store, registry: Registry, state: ReleaseState
) -> tuple[Signal, ...]:
    """The drift of every feature, of the score, and of what the champion uses, and the flags of features; kept, with
    Evidently's page.

    The page goes to ``reports/<model>/<window.key>.html``. Raises StoreUnavailable, StorageUnavailable and
    RegistryUnavailable; everything about the data itself becomes a signal.
    """
    subject = Subject.of_run(config.model, window, state.champion)
    if state.champion is None:
        return save(store, [without_champion(subject)])
    reference, gone = fetch_reference(registry, config.model, state.champion)
    if reference is None:
        unknown = feature_flags(config, subject, None, reference=None, gone=gone)
        return save(store, [*without_reference(config, subject, gone), *unknown])
    importance = fetch_importance(registry, config.model, state.champion)
    rows = read_sample(config, window, store=store)
    found, html = drift_signals(config, subject, rows, reference=reference, importance=importance)
    if html is not None:
        with store.storage.write(report_path(config, window)) as stream:
            stream.write(html.encode())
    return save(store, [*found, *feature_flags(config, subject, rows, reference=reference)])


def report_path(config: ModelConfig, window: Window) -> str:
    """Where the page of a window lies in the storage.

    >>> report_path(flights, day(0))
    'reports/flight_delay/20130101T000000Z-20130102T000000Z.html'
    """
    return f"reports/{config.model}/{window.key}.html"


def without_reference(config: ModelConfig, subject: Subject, why: str) -> tuple[Signal, ...]:
    """Every drift signal as unknown, for the one reason that the champion's reference is gone. Pure.

    >>> found = without_reference(flights, subject, "gone")
    >>> len(found) - len(flights.features), {signal.status for signal in found}
    (2, {'unknown'})
    """
    return tuple(_unknown(config, subject, name, why) for name in (*config.features, SCORE, SHARE))


def drift_signals(
    config: ModelConfig,
    subject: Subject,
    rows: pa.Table,
    *,
    reference: pa.Table,
    importance: dict[str, float] | None,
) -> tuple[tuple[Signal, ...], str | None]:
    """The signals of a sample of rows, and Evidently's page. Pure; the order of the rows never matters.

    Both tables hold the features with their types in the store and ``score`` (double); ``rows`` also ``model_version``
    (text), ``reference`` also ``part`` (text, ``train`` or ``holdout``). Features are compared with all of the
    reference; the score, of rows that the champion scored, with the reference's holdout. A feature without a distance
    is unknown, with the reason; one whose reference is constant has drifted when any value differs.

    >>> rows, reference = pa.table({"model_version": ["3"]}), pa.table({"part": ["holdout"]})
    >>> found, page = drift_signals(flights, subject, rows, reference=reference, importance=None)
    >>> {signal.status for signal in found}, page
    ({'unknown'}, None)
    """
    columns: list[Column] = [_screened(config, name, rows, reference) for name in config.features]
    columns.append(_screened_score(config, subject, rows, reference))
    pairs = [column for column in columns if isinstance(column, Pair)]
    ours = {pair.name: quantile_psi(pair) for pair in pairs if pair.method.method == "psi_quantile"}
    report = measure([pair for pair in pairs if pair.name not in ours])
    distances = {**report.values, **ours}
    found = [_signal(config, subject, column, distances, report) for column in columns]
    return (*found, _weighted_share(config, subject, found, importance)), report.html


def _screened(config: ModelConfig, name: str, rows: pa.Table, reference: pa.Table) -> Column:
    number = name in config.numbers
    return screen(
        name,
        "number" if number else "category",
        config.signals.drift.number if number else config.signals.drift.category,
        current=_column(rows, name),
        reference=_column(reference, name),
        min_values=config.signals.drift.min_values,
    )


def _screened_score(config: ModelConfig, subject: Subject, rows: pa.Table, reference: pa.Table) -> Column:
    by_champion = rows.filter(pc.equal(rows["model_version"], subject.version))
    if rows.num_rows and not by_champion.num_rows:
        others = first_of(sorted(pc.unique(rows["model_version"]).to_pylist()))
        return Refusal(SCORE, f"no row of this window was scored by version {subject.version}, all by {others}")
    holdout = reference.filter(pc.equal(reference["part"], "holdout"))
    return screen(
        SCORE,
        "number",
        config.signals.drift.number,
        current=_column(by_champion, SCORE),
        reference=_column(holdout, SCORE),
        min_values=config.signals.drift.min_values,
    )


def _column(table: pa.Table, name: str) -> pa.ChunkedArray | None:
    return table[name] if name in table.column_names else None


def _signal(
    config: ModelConfig, subject: Subject, column: Column, distances: dict[str, float], report: Distances
) -> Signal:
    if isinstance(column, Refusal):
        return _unknown(config, subject, column.name, column.why)
    if isinstance(column, Constant):
        detail = f"the reference is constant ({column.value:g}); the share of values that differ"
        name = SignalName.drift(column.name)
        return subject.above(name, _role(config, column.name), column.share_other, 0.0, detail=detail)
    value = distances.get(column.name)
    if value is None:
        return _unknown(config, subject, column.name, report.problem or "the distance is not a number")
    method = column.method
    # a column drifts at the threshold itself, as in Evidently
    return subject.known(
        SignalName.drift(column.name),
        _role(config, column.name),
        value,
        threshold=method.threshold,
        breached=value >= method.threshold,
        detail=method.method,
    )


def _unknown(config: ModelConfig, subject: Subject, name: str, why: str) -> Signal:
    drift = config.signals.drift
    if name == SHARE:
        threshold = drift.weighted_share
    else:
        threshold = (drift.category if name in config.categories else drift.number).threshold
    return subject.unknown(SignalName.drift(name), _role(config, name), why, threshold=threshold)


def _role(config: ModelConfig, name: str) -> SignalRole:
    drift = config.signals.drift
    return {SCORE: drift.score_role, SHARE: drift.weighted_share_role}.get(name, drift.features_role)


def _weighted_share(
    config: ModelConfig, subject: Subject, found: list[Signal], importance: dict[str, float] | None
) -> Signal:
    """The share of the champion's importance that sits in drifted features.

    A feature without a distance may have drifted: the share is breached when it reaches the bound without them, unknown
    when it could reach it with them, and ok only when it could not.
    """
    if importance is None:
        why = f"the feature importance of version {subject.version} is gone from the registry"
        return _unknown(config, subject, SHARE, why)
    by_name = {signal.name: signal for signal in found}
    of_feature = {name: by_name[str(SignalName.drift(name))] for name in config.features}
    weights = {name: max(0.0, importance.get(name, 0.0)) for name in config.features}
    drifted = [name for name, signal in of_feature.items() if signal.status == "breached"]
    unknown = [name for name, signal in of_feature.items() if signal.status == "unknown"]
    total, most = sum(weights.values()), config.signals.drift.weighted_share
    if not total > 0:
        return _unknown(config, subject, SHARE, f"no feature of version {subject.version} has any importance")
    share = round(sum(weights[name] for name in drifted) / total, 9)
    open_share = sum(weights[name] for name in unknown) / total
    if share < most <= round(share + open_share, 9):
        why = f"{share:.2f} of the importance drifted, and {open_share:.2f} has no distance: {first_of(unknown)}"
        return _unknown(config, subject, SHARE, why)
    return subject.known(
        SignalName.drift(SHARE),
        config.signals.drift.weighted_share_role,
        share,
        threshold=most,
        breached=share >= most,
        detail=f"drifted: {first_of(drifted)}" if drifted else "no feature drifted",
    )
