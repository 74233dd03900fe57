"""Files that nobody made for Perennial: odd names, no id, moments as text, mixed types."""

from pathlib import Path

import numpy as np
import pandas as pd

N_ROWS = 2400


def wide(folder: Path) -> Path:
    """60 columns whose names hold spaces, capitals and unicode; binary, an id, moments as ISO text without a zone."""
    rng = np.random.default_rng(3)
    names = [f"Sensor {i} (°C)" if i % 3 == 0 else f"FEAT_{i}" if i % 3 == 1 else f"größe{i}" for i in range(55)]
    numbers = {name: rng.normal(size=N_ROWS).round(3) for name in names}
    first, second, third = (numbers[name] for name in names[:3])
    churned = np.where(first + second - third + rng.normal(size=N_ROWS) > 0, "yes", "no")
    rows = {
        "Event Time": _times("2024-01-01", "2024-06-30").strftime("%Y-%m-%d %H:%M:%S"),
        "Customer-No": np.arange(N_ROWS) + 1000,
        **numbers,
        "Region": rng.choice(["Nord", "Süd", "West, Ost"], N_ROWS),
        "Is Active": rng.choice(["true", "false"], N_ROWS),
        "Churned": churned,
    }
    path = folder / "wide.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def without_id(folder: Path) -> Path:
    """No id; a regression; a parquet file."""
    rng = np.random.default_rng(5)
    size = rng.gamma(2, 3, N_ROWS)
    rows = {
        "sold_on": _times("2023-01-01", "2023-12-31"),
        "sqm": size * 10,
        "rooms": rng.integers(1, 7, N_ROWS),
        "town": rng.choice(list("ABCDE"), N_ROWS),
        "price": size * 1000 + rng.normal(size=N_ROWS) * 500,
    }
    path = folder / "houses.parquet"
    pd.DataFrame(rows).to_parquet(path)
    return path


def mixed(folder: Path) -> Path:
    """Semicolons, moments as 31.01.2024 06:00, words for missing numbers, texts among numbers; three classes."""
    rng = np.random.default_rng(7)
    value = rng.normal(size=N_ROWS)
    told = [f"{one:.2f}" for one in value + rng.normal(size=N_ROWS) * 0.3]
    said = np.where(rng.random(N_ROWS) < 0.03, rng.choice(["n/a", "unknown", "-"], N_ROWS), told)
    rows = {
        "Datum": _times("2024-02-01", "2024-05-30").strftime("%d.%m.%Y %H:%M"),
        "Wert": said,
        "Menge": ["many" if i % 200 == 9 else str(one) for i, one in enumerate(rng.integers(0, 9, N_ROWS))],
        "leer": "",
        "Notiz": [f"note {i}" for i in range(N_ROWS)],
        "class": np.where(value > 0.5, "gold", np.where(value > -0.5, "silver", "bronze")),
        "Opened": _times("2024-02-01", "2024-05-30").strftime("%d/%m/%Y"),
    }
    path = folder / "mixed.csv"
    pd.DataFrame(rows).to_csv(path, index=False, sep=";")
    return path


def _times(start: str, end: str) -> pd.DatetimeIndex:
    return pd.date_range(start, end, periods=N_ROWS)
