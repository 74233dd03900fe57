"""Writes what a serving system and its label feed would leave behind: JSON Lines files, window by window."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from demo import flights
from perennial.config import ModelConfig
from perennial.contracts import Window
from perennial.registry import Registry
from perennial.registry.models import load_model
from perennial.registry.scoring import score
from perennial.registry.versions import alias_version

LEGACY_SCORE = 0.25
"""What the system before the first champion answered for every flight: about the share of late ones."""

Fault = Callable[[pd.DataFrame], pd.DataFrame]


@dataclass(frozen=True, slots=True)
class Feed:
    """The flights, and where the two logs are written. ``faulty_labels`` are the stretches whose truth is inverted."""

    frame: pd.DataFrame
    home: Path
    config: ModelConfig
    registry: Registry

    def predictions(self, window: Window) -> pd.DataFrame:
        """The flights of the window, scored by whoever is champion now."""
        rows = flights.window(self.frame, pd.Timestamp(window.start), pd.Timestamp(window.end))
        rows = rows.drop(columns=["late", "labelled_at"])
        version = alias_version(self.registry, self.config.model, "champion")
        if version is None:
            return rows.assign(score=LEGACY_SCORE, model_version="legacy")
        trusted = self.config.training.trusted_types
        model = load_model(self.registry, self.config.model, version, trusted_types=trusted)
        scores, _ = score(self.config, model, pa.Table.from_pandas(rows, preserve_index=False))
        return rows.assign(score=scores, model_version=version)

    def labels(self, window: Window, inverted: tuple[Window, ...]) -> pd.DataFrame:
        """The labels that arrive in the window, out of order, those of flights within ``inverted`` upside down."""
        arrived = self.frame["labelled_at"].between(pd.Timestamp(window.start), pd.Timestamp(window.end), "left")
        rows = self.frame.loc[arrived, ["prediction_id", "event_time", "late", "labelled_at"]]
        for stretch in inverted:
            wrong = rows["event_time"].between(pd.Timestamp(stretch.start), pd.Timestamp(stretch.end), "left")
            rows = pd.concat([rows[~wrong], flights.inverted_labels(rows[wrong])])
        order = np.random.default_rng(int(window.start.timestamp())).permutation(len(rows))
        return rows.iloc[order].drop(columns="event_time")

    def folder(self, source: str, window: Window) -> Path:
        """Where ``model.yaml`` looks for the deliveries of a window."""
        return self.home / "landing" / self.config.model / source / f"{window.start:%Y-%m-%d}"


def write(rows: pd.DataFrame, path: Path) -> None:
    """One JSON object a line, times in ISO 8601 and UTC; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    rows.to_json(part, orient="records", lines=True, date_format="iso", date_unit="ms", double_precision=15)
    part.rename(path)
