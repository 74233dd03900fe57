"""On real months our distances are Evidently's, where the two mean the same."""

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from demo.flights import FEATURES, load_flights
from perennial.config import DriftMethod, ModelConfig, load_model
from perennial.evidence.profiles.keeping import layout_of
from perennial.monitoring.drift.columns import METHODS, beside
from perennial.monitoring.drift.evidently_report import measure
from perennial.monitoring.drift.screening import Pair
from perennial.profiles.counting import count_rows, grid_of
from perennial.statistics.drift.distances import Method

FLIGHTS = load_model(Path(__file__).parents[2] / "include" / "models" / "flight_delay")


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory) -> dict[int, pd.DataFrame]:
    """May and September, every second flight: temperatures of July, winsorised, would all lie where February ends."""
    frame = load_flights(tmp_path_factory.mktemp("flights"))
    starts = [datetime(2013, month, 1, tzinfo=UTC) for month in (5, 6, 9, 10)]
    at = frame["event_time"]
    return {
        start.month: frame[(at >= start) & (at < end)].iloc[::2]
        for start, end in ((starts[0], starts[1]), (starts[2], starts[3]))
    }


def ours(config: ModelConfig, months: dict[int, pd.DataFrame], name: str, method: Method) -> float:
    tables = [pa.Table.from_pandas(month[["event_time", *FEATURES]], preserve_index=False) for month in months.values()]
    layout = layout_of(config, grid_of(tables[0], config.numbers))
    column = beside(*(count_rows([table], layout) for table in tables), name)
    assert column is not None
    return column.value(method)


def test_distances_agree_with_evidently(months: dict[int, pd.DataFrame]) -> None:
    """Wasserstein within 0.02 standard deviations (ours is winsorised), Jensen-Shannon of categories exactly."""
    numbers = ("scheduled_hour", "distance_mi", "temp_f", "wind_dir_deg", "visib_mi", "plane_age_y")
    named = {
        **dict.fromkeys(numbers, DriftMethod(method="wasserstein", threshold=0.1)),
        **dict.fromkeys(FLIGHTS.categories, DriftMethod(method="jensenshannon", threshold=0.1)),
    }
    pairs = [
        Pair(name, "number" if name in numbers else "category", how, months[9][name], months[5][name])
        for name, how in named.items()
    ]
    theirs = measure(pairs).values
    found = {name: ours(FLIGHTS, months, name, METHODS[how.method]) for name, how in named.items()}
    assert theirs.keys() == found.keys()
    for name in FLIGHTS.categories:
        assert found[name] == pytest.approx(theirs[name], abs=1e-6)
    for name in numbers:
        assert found[name] == pytest.approx(theirs[name], abs=0.02), name
    assert max(theirs.values()) > 0.3, "the two months do differ"
    assert min(theirs.values()) < 0.05
