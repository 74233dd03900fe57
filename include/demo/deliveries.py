"""What happens in a window: flights that are to be scored, labels that arrive; and files that no service wrote."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from demo import flights
from perennial.config import ModelConfig
from perennial.contracts import Window

LEGACY_SCORE = 0.25
"""What the system before the first champion answered for every flight: about the share of late ones."""

Fault = Callable[[pd.DataFrame], pd.DataFrame]


@dataclass(frozen=True, slots=True)
class Feed:
    """The flights, and where the two logs are written. ``faulty_labels`` are the stretches whose truth is inverted."""

    frame: pd.DataFrame
    home: Path
    config: ModelConfig

    def flights(self, window: Window) -> pd.DataFrame:
        """The flights of the window, as they are known before departure.

        Their figures have the ten decimals that pandas writes to a file, whoever logs them: 3.45234 and the next double
        are two values to a tree.
        """
        rows = flights.window(self.frame, pd.Timestamp(window.start), pd.Timestamp(window.end))
        rows = rows.drop(columns=["late", "labelled_at"])
        return rows.assign(**dict(rows.select_dtypes("float").round(10)))

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


def by_the_system_before(rows: pd.DataFrame) -> pd.DataFrame:
    """Flights as they were scored before there was a champion."""
    return rows.assign(score=LEGACY_SCORE, model_version="legacy")


def write(rows: pd.DataFrame, path: Path) -> None:
    """One JSON object a line, times in ISO 8601 and UTC; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    rows.to_json(part, orient="records", lines=True, date_format="iso", date_unit="ms", double_precision=15)
    part.rename(path)
