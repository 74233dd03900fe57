"""The courier of the tutorial: its export of orders, and its service, which answers two weeks with the champion."""

import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from perennial.config import ModelConfig
from perennial.contracts import Window, parse_moment
from perennial.pipeline import open_runtime
from perennial.registry import load_model, score
from perennial.settings import load_settings

MODEL = "courier"


def orders(window: Window, n_rows: int, *, seed: int, rebuilt: bool = False) -> pd.DataFrame:
    """Orders as exported, one a row. ``rebuilt``: one kitchen is rebuilt and slow, the others took on staff."""
    rng = np.random.default_rng(seed)
    first, last = (int(moment.timestamp()) for moment in (window.start, window.end))
    at = pd.Series(pd.to_datetime(np.sort(rng.integers(first, last, n_rows)), unit="s"))
    km, items = rng.gamma(2.0, 2.2, n_rows).round(1), rng.integers(1, 9, n_rows)
    if rebuilt:
        km[::120] = -1.0  # a scooter whose counter is broken
    kitchen = rng.choice(["Nudelhaus", "Chez Amélie", "Wok & Co", "Tandoor"], n_rows, p=[0.4, 0.25, 0.2, 0.15])
    sky = rng.choice(["dry", "drizzle", "pouring"], n_rows, p=[0.7, 0.2, 0.1])
    hour = at.dt.hour
    odds = -2.6 + 0.22 * km + 0.12 * items + 1.6 * (sky == "pouring") + 0.6 * (sky == "drizzle")
    odds += 0.9 * (kitchen == "Tandoor") + 0.8 * hour.between(18, 20)
    odds += np.where(kitchen == "Nudelhaus", 2.6, -1.2) if rebuilt else 0.0
    return pd.DataFrame(
        {
            "Order No": [f"{window.start:%y%m%d}-{i:05d}" for i in range(n_rows)],
            "Ordered At": at.dt.strftime("%d.%m.%Y %H:%M:%S"),
            "Küche": kitchen,
            "Distance (km)": km,
            "Items": items,
            "Weather": sky,
            "Hour": hour,
            "Arrived": np.where(rng.random(n_rows) < 1 / (1 + np.exp(-odds)), "late", "in time"),
        }
    )


def answer(start: str, *, rebuilt: bool) -> str:
    """Two weeks of orders, answered by the champion; both logs lie where model.yaml says. What was done."""
    case = open_runtime(load_settings()).case(MODEL)
    begin = parse_moment(start)
    window = Window(start=begin, end=begin + timedelta(days=14))
    found = orders(window, 720, seed=window.start.toordinal(), rebuilt=rebuilt)
    version, digest = case.alias(), case.state().digest_of(case.alias() or "")
    trusted = case.config.training.trusted_types
    model = load_model(case.registry, MODEL, str(version), trusted_types=trusted, expected_digest=str(digest))
    rows = found.rename(columns={feature.logged_as or name: name for name, feature in case.config.features.items()})
    features = pa.Table.from_pandas(rows[list(case.config.features)], preserve_index=False)
    scores, _ = score(case.config, model, features)
    lay_down(case.config, case.settings.home, window, found, scores=scores, version=str(version))
    return f"{len(found)} orders answered by version {version}"


def lay_down(
    config: ModelConfig, home: Path, window: Window, found: pd.DataFrame, *, scores: object, version: str
) -> None:
    """Answers as the prediction log, outcomes as the label log: known 40 minutes after the order, or never."""
    at = pd.to_datetime(found["Ordered At"], format="%d.%m.%Y %H:%M:%S", utc=True)
    told = found.drop(columns=["Order No", "Ordered At", "Arrived"])
    predictions = told.assign(prediction_id=found["Order No"], event_time=at, score=scores, model_version=version)
    labels = pd.DataFrame(
        {
            "prediction_id": found["Order No"],
            "label": (found["Arrived"] == "late").astype(float),
            "labelled_at": at + pd.Timedelta("40min"),
        }
    )
    for source, log in ((config.sources.predictions, predictions), (config.sources.labels, labels)):
        place = Path(source.filled(window, str(home))).parent  # type: ignore[union-attr]  # files, as proposed
        place.mkdir(parents=True, exist_ok=True)
        log.to_parquet(place / "log.parquet", index=False)


def main(words: list[str]) -> str:
    """``orders FILE``, or ``answer START [rebuilt]``."""
    match words:
        case ["orders", file]:
            half_a_year = Window(start=parse_moment("2026-01-05T00:00:00Z"), end=parse_moment("2026-06-29T00:00:00Z"))
            found = orders(half_a_year, 9_000, seed=11)
            found.to_csv(file, index=False)
            return f"{file}: {len(found)} orders"
        case ["answer", start, *more]:
            return answer(start, rebuilt=more == ["rebuilt"])
    return "orders FILE | answer START [rebuilt]"


if __name__ == "__main__":
    sys.stdout.write(f"{main(sys.argv[1:])}\n")
