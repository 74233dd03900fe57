"""The scoring service as the demo's passengers use it: flights are posted, and later whether they were late."""

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pandas as pd

from demo import flights
from demo.airflow import wait_for
from perennial.config import ModelConfig
from perennial.errors import StackError

_LANDS_WITHIN_S, _LANDS_IN_S, _FEW = 60.0, 0.1, 100


@dataclass(slots=True)
class Desk:
    """Asks the service of a model, and counts the answers by the version that gave them."""

    config: ModelConfig
    http: httpx.Client
    answers: Counter[str] = field(default_factory=Counter)

    @classmethod
    def at(cls, config: ModelConfig, url: str | None) -> "Desk":
        """The desk of a running stack. Raises StackError when the stack serves no such model."""
        if url is None:
            raise StackError(f"{config.model} is not served: `make down`, then `make up` without PERENNIAL_SERVE")
        return cls(config, httpx.Client(base_url=url, timeout=60, trust_env=False))

    def champion(self) -> str | None:
        """The version that answers; None when there is none yet."""
        version = self.http.get("/model").raise_for_status().json()["version"]
        return None if version is None else str(version)

    def predict(self, rows: pd.DataFrame) -> Counter[str]:
        """Ask about flights; how many answers which version gave. Raises StackError for a refusal."""
        found: Counter[str] = Counter()
        for part in _parts(_requests(rows), self.config.serving.max_rows):
            said = self._posted("/predict", {"rows": part})
            found[str(said["version"])] += len(said["predictions"])
        self.answers += found
        return found

    def refusal(self, rows: pd.DataFrame) -> str:
        """Why rows of a wrong form are refused, in the service's words."""
        records = rows.assign(event_time=rows["event_time"].map(pd.Timestamp.isoformat)).astype(object)
        few = records.where(records.notna(), None).head(min(_FEW, self.config.serving.max_rows)).to_dict("records")
        answer = self.http.post("/predict", json={"rows": few})
        if answer.status_code != httpx.codes.UNPROCESSABLE_ENTITY:
            raise StackError(f"the service took rows of a wrong form ({answer.status_code})")
        first = answer.json()["faults"][0]
        return f"{answer.json()['n_faults']} faults, first {first['field']}: {first['allowed']}"

    def label(self, rows: pd.DataFrame) -> None:
        """Tell the truth of earlier flights."""
        labels = [
            {"prediction_id": name, "label": int(late), "labelled_at": moment.isoformat()}
            for name, late, moment in zip(rows["prediction_id"], rows["late"], rows["labelled_at"], strict=True)
        ]
        for part in _parts(labels, self.config.serving.max_rows):
            self._posted("/labels", {"labels": part})

    def _posted(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self.http.post(path, json=body)
        if answer.status_code != httpx.codes.OK:
            raise StackError(f"the service refused {path}: {answer.status_code} {answer.text[:300]}")
        said: dict[str, Any] = answer.json()
        return said


def _requests(rows: pd.DataFrame) -> list[dict[str, Any]]:
    frame = rows[["prediction_id", *flights.FEATURES]].astype(object)
    records = frame.where(frame.notna(), None).to_dict("records")
    moments = rows["event_time"].map(pd.Timestamp.isoformat)
    return [{**record, "event_time": moment} for record, moment in zip(records, moments, strict=True)]


def _parts(rows: list[dict[str, Any]], most: int) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(rows), most):
        yield rows[start : start + most]


def await_landed(folder: Path, n_rows: int) -> None:
    """Wait until the service has put so many lines where ingest reads. Raises StackError."""
    wait_for(
        lambda: sum(path.read_bytes().count(b"\n") for path in folder.glob("served-*.jsonl")) >= n_rows,
        f"{n_rows} rows in {folder}",
        deadline_s=_LANDS_WITHIN_S,
        poll_s=_LANDS_IN_S,
    )


def deliver_again(folder: Path) -> None:
    """Copy every file of a folder, as a sender does who does not know that it went through."""
    for path in [found for found in folder.glob("served-*.jsonl") if not found.stem.endswith("-again")]:
        shutil.copy(path, path.with_name(f"{path.stem}-again.jsonl"))
