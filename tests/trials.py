"""A small history of the test model ``tumour_malignant``, for trials: a stream whose rule may turn round."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from logs import ORIGIN
from perennial.backtest.policies import merged
from perennial.config import ModelConfig, load_model
from perennial.training.fitting.recipe import freeze_recipes
from perennial.trial.fits import Fits
from perennial.trial.log import Log, log_of, windows_of
from perennial.trial.releasing import People
from perennial.trial.running import Replayed, Tried, replay

MODEL = Path(__file__).parent / "models" / "tumour_malignant"
PROBING = {
    "signals": {
        "performance": {"roc_auc": {"role": "watch", "bound": 0.5}},
        "gain": {"probe": "small", "rows": 200, "price": 0.02, "metric": "roc_auc"},
    }
}


def small(over: dict[str, object] | None = None) -> ModelConfig:
    """The model with keys laid over it."""
    config = load_model(MODEL)
    declared = config.model_dump(by_alias=True, exclude_unset=True)
    return ModelConfig.model_validate(merged(declared, over or {}))


def rows(n_days: int = 16, *, turns_on: int | None = None, per_day: int = 72, late_h: float = 2.0) -> pd.DataFrame:
    """Rows day by day; from the day ``turns_on`` the rule is the other way round. Labels come ``late_h`` hours late."""
    rng = np.random.default_rng(3)
    n_rows = n_days * per_day
    hours = np.arange(n_rows) * 24 / per_day
    radius = rng.normal(14, 3, n_rows)
    sure = (radius - 14) / 1.5 + rng.normal(0, 1, n_rows) > 0
    turned = hours >= 24 * (n_days if turns_on is None else turns_on)
    times = pd.to_datetime(ORIGIN) + pd.to_timedelta(hours, unit="h").round("s")
    return pd.DataFrame(
        {
            "prediction_id": [f"row-{number:05d}" for number in range(n_rows)],
            "event_time": times,
            "mean_radius": radius,
            "mean_texture": rng.normal(19, 4, n_rows),
            "mean_smoothness": rng.uniform(0.05, 0.15, n_rows),
            "n_visits": rng.integers(1, 9, n_rows),
            "clinic": rng.choice(["east", "north", "west"], n_rows),
            "screened": rng.random(n_rows) < 0.5,
            "score": 0.5,
            "model_version": "legacy",
            "role": "champion",
            "label": np.where(turned, ~sure, sure).astype(float),
            "labelled_at": times + timedelta(hours=late_h),
        }
    )


def log(config: ModelConfig, frame: pd.DataFrame | None = None) -> Log:
    """The log of a frame."""
    return log_of(config, pa.Table.from_pandas(rows() if frame is None else frame, preserve_index=False))


def fits(history: Log, folder: Path) -> Fits:
    """Fits of the model's recipe, kept in a folder."""
    scratch = folder / f"scratch-{len(list(folder.glob('scratch-*')))}"
    scratch.mkdir(parents=True)
    return Fits(log=history, recipes=freeze_recipes(MODEL, scratch, ["recipe.py"]), folder=folder / "fits")


def tried(
    config: ModelConfig, folder: Path, frame: pd.DataFrame | None = None, *, policy: Tried | None = None,
    people: People = "approve",
) -> Replayed:  # fmt: skip
    """One policy over a history."""
    history = log(config, frame)
    windows = windows_of(config, history, since=None, until=None)
    own = policy or Tried(name="own", config=config)
    return replay(own, history, windows, fits=fits(history, folder), people=people, progress=lambda *_: None)
