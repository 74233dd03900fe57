"""Makes the production logs of the two test models, as a serving system would write them."""

import json
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_diabetes, load_wine

from perennial.contracts import Window

ORIGIN = datetime(2024, 1, 1, tzinfo=UTC)


def day(number: int) -> Window:
    """The window of the test calendar's day ``number``, 0 being 1 January 2024."""
    return Window(start=ORIGIN + timedelta(days=number), end=ORIGIN + timedelta(days=number + 1))


wines = cache(lambda: load_wine(return_X_y=True, as_frame=True))
patients = cache(lambda: load_diabetes(return_X_y=True, as_frame=True))


def wine_rows(n_rows: int, seed: int) -> pd.DataFrame:
    """Resampled wines with a little noise; the label is the cultivar."""
    rng = np.random.default_rng(seed)
    data, target = wines()
    picked = rng.integers(0, len(data), n_rows)
    columns = ["alcohol", "malic_acid", "ash", "magnesium", "flavanoids", "color_intensity", "hue", "proline"]
    frame = data[columns].iloc[picked].reset_index(drop=True)
    frame["alcohol"] += rng.normal(0, 0.05, n_rows)
    frame["magnesium"] = frame["magnesium"].astype(int)
    frame["proline"] = frame["proline"].astype(int)
    frame["cellar"] = rng.choice(["north", "south"], n_rows)
    frame["organic"] = rng.random(n_rows) < 0.3
    frame["label"] = np.array(["barolo", "grignolino", "barbera"])[target.iloc[picked]]
    return frame


def diabetes_rows(n_rows: int, seed: int) -> pd.DataFrame:
    """Resampled patients with a little noise; the label is the progression after one year."""
    rng = np.random.default_rng(seed)
    data, target = patients()
    picked = rng.integers(0, len(data), n_rows)
    frame = data.iloc[picked].reset_index(drop=True)
    frame["sex"] = np.where(frame["sex"] > 0, "two", "one")
    frame["bmi"] += rng.normal(0, 0.002, n_rows)
    frame["label"] = target.iloc[picked].to_numpy() + rng.normal(0, 5, n_rows)
    return frame


ROWS = {"wine_cultivar": wine_rows, "diabetes_progress": diabetes_rows}


def delivery(model: str, window: Window, n_rows: int = 120, seed: int = 1) -> pd.DataFrame:
    """A complete log of one window: ids, times inside the window, features, a score of a served champion, and labels.

    The served prediction is right for nine rows in ten. ``labelled_at`` lies two hours after the event.
    """
    frame = ROWS[model](n_rows, seed)
    rng = np.random.default_rng(seed + 1)
    span_s = (window.end - window.start).total_seconds()
    offsets = np.sort(rng.uniform(0, span_s * 0.9, n_rows))
    times = pd.Timestamp(window.start) + pd.to_timedelta(offsets, unit="s").round("ms")
    frame.insert(0, "prediction_id", [f"{window.start:%Y%m%d}-{seed}-{i:05d}" for i in range(n_rows)])
    frame.insert(1, "event_time", times)
    if model == "wine_cultivar":
        wrong = rng.random(n_rows) < 0.1
        frame["predicted"] = np.where(wrong, rng.permutation(frame["label"]), frame["label"])
        frame["score"] = np.where(wrong, 0.5, 0.95)
        frame["role"] = "champion"
    else:
        frame["score"] = frame["label"] + rng.normal(0, 40, n_rows)
    frame["model_version"] = "1"
    frame["labelled_at"] = frame["event_time"] + pd.Timedelta(hours=2)
    return frame


def write_jsonl(path: Path, frame: pd.DataFrame) -> Path:
    """One JSON object a line; times as ISO 8601 with a zone, missing values as null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = frame.assign(
        **{name: frame[name].map(lambda t: t.isoformat()) for name in ("event_time", "labelled_at") if name in frame}
    )
    rows = text.astype(object).where(text.notna(), None).to_dict("records")
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def deliver(
    home: Path, model: str, window: Window, frame: pd.DataFrame | None = None, *, seed: int = 1
) -> pd.DataFrame:
    """Write the prediction and label files of one window where the model's sources look for them."""
    frame = delivery(model, window, seed=seed) if frame is None else frame
    landing = home / "landing" / model
    name = f"{window.start:%Y-%m-%d}"
    predictions = frame.drop(columns=["label", "labelled_at"], errors="ignore")
    write_jsonl(landing / "predictions" / name / "part-0.jsonl", predictions)
    if "label" in frame:
        write_jsonl(landing / "labels" / name / "part-0.jsonl", frame[["prediction_id", "label", "labelled_at"]])
    return frame
