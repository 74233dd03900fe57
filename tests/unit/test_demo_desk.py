"""The demo asks the scoring service as a passenger's desk would, and what it asked for lies where ingest reads."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from demo import flights
from demo.service import Desk, await_landed, deliver_again
from perennial.config import load_model
from perennial.errors import StackError
from perennial.serving.app import make_app
from perennial.serving.following.follower import Current, Follower
from perennial.serving.following.messages import Loaded, Looked
from perennial.serving.predictors.predictor import Built
from perennial.serving.service import Spec
from perennial.settings import ROOT
from serving import TestClient, rows

FLIGHTS = load_model(ROOT / "include" / "models" / "flight_delay")
N_ROWS = 12


def by_hour(columns: Any) -> Any:
    return [hour / 24 for hour in columns[0]], None


def loaded(self: Follower) -> None:
    self.following.looked = Looked(at=1.0, champion="7")
    version = Loaded(version="7", digest="d", built=Built(by_hour, "arrays", ""), origin="registry", took_s=0.1)
    self.following.current = Current(version, 1.0)


@pytest.fixture
def sent() -> pd.DataFrame:
    """Flights of two days, one of them without a temperature."""
    frame = pd.DataFrame(rows(FLIGHTS, N_ROWS))[list(flights.FEATURES)]
    frame.loc[3, "temp_f"] = None
    days = pd.to_datetime("2013-01-01T17:00:00Z") + pd.to_timedelta([n % 2 for n in range(N_ROWS)], unit="D")
    return frame.assign(prediction_id=[f"flight {n}" for n in range(N_ROWS)], event_time=days)


def desk_at(home: Path, monkeypatch: pytest.MonkeyPatch, start: Any) -> Desk:
    monkeypatch.setattr(Follower, "start", start)
    config = FLIGHTS.model_copy(update={"serving": FLIGHTS.serving.model_copy(update={"max_rows": 5})})
    spec = Spec(config=config, home=home, registry_uri="http://127.0.0.1:9", login=None)
    return Desk(config, TestClient(make_app(spec), base_url="http://127.0.0.1:8000"))


def test_what_is_asked_for_and_told_lands_once_as_it_was_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: pd.DataFrame
) -> None:
    desk = desk_at(tmp_path, monkeypatch, loaded)
    truths = sent[["prediction_id"]].assign(
        late=pd.array([n % 2 for n in range(N_ROWS)], dtype="Int8"), labelled_at=sent["event_time"]
    )
    with desk.http:
        assert desk.champion() == "7"
        assert desk.predict(sent) == desk.answers == {"7": N_ROWS}
        desk.label(truths)
        assert "distance_mi" in desk.refusal(flights.broken_schema(sent))
        assert desk.answers == {"7": N_ROWS}
    landing = tmp_path / "landing" / "flight_delay"
    predictions, labels = landing / "predictions" / "2013-01-01", landing / "labels" / "2013-01-01"
    await_landed(predictions, N_ROWS)
    await_landed(labels, N_ROWS)
    found = [json.loads(line) for path in predictions.iterdir() for line in path.read_text("utf-8").splitlines()]
    assert [line["prediction_id"] for line in found] == list(sent["prediction_id"])
    assert [pd.Timestamp(line["event_time"]) for line in found] == list(sent["event_time"])
    assert found[3]["temp_f"] is None
    assert [line["score"] for line in found] == [hour / 24 for hour in sent["scheduled_hour"]]
    deliver_again(predictions)
    deliver_again(predictions)
    assert sum(len(path.read_text("utf-8").splitlines()) for path in predictions.iterdir()) == 2 * N_ROWS


def test_without_a_champion_it_refuses_and_the_desk_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: pd.DataFrame
) -> None:
    desk = desk_at(tmp_path, monkeypatch, lambda _: None)
    with desk.http:
        assert desk.champion() is None
        with pytest.raises(StackError, match="refused /predict: 503"):
            desk.predict(sent)
    with pytest.raises(StackError, match="is not served"):
        Desk.at(FLIGHTS, None)
