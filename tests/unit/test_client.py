"""The client against the service itself: batches, retries that log once, and errors by their names."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from perennial.client import AnswerLost, Client, Patience, Refused, TooMuch, Unreachable
from perennial.config.service.limits import RateLimit
from serving import TUMOUR, TestClient, logged, opened, rows


class Line:
    """Between client and service: passes requests on, and loses answers as it is told."""

    def __init__(self, service: TestClient) -> None:
        self.service = service
        self.troubles: list[str] = []
        self.sent: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        trouble = self.troubles.pop(0) if self.troubles else ""
        if trouble == "refused":
            raise httpx.ConnectError("connection refused")
        if trouble == "503":
            return httpx.Response(503, json={"error": "no version is loaded"})
        headers = {name: request.headers[name] for name in request.headers if name not in ("host", "content-length")}
        answer = self.service.request(request.method, request.url.path, content=request.content, headers=headers)
        if trouble == "lost":
            raise httpx.ReadTimeout("timed out")
        return httpx.Response(answer.status_code, content=answer.content, headers=dict(answer.headers))


Made = Callable[..., tuple[Client, Line, list[float]]]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    services: list[TestClient] = []

    def go(n_retries: int = 3, **rules: Any) -> tuple[Client, Line, list[float]]:
        services.append(opened(tmp_path, **rules))
        line, waited = Line(services[-1]), []  # type: ignore[var-annotated]
        http = httpx.Client(base_url="http://127.0.0.1:8000", transport=httpx.MockTransport(line))
        patience = Patience(n_retries=n_retries)
        client = Client("http://127.0.0.1:8000", max_rows=5, patience=patience, sleep=waited.append, http=http,
                        chance=random.Random(1))  # noqa: S311 # fmt: skip
        return client, line, waited

    yield go
    for service in services:
        service.__exit__(None, None, None)


def ids(home: Path) -> list[str]:
    lines = logged(home / "serving" / TUMOUR.model / "spool", home / "landing" / TUMOUR.model / "predictions")
    return sorted(line["prediction_id"] for line in lines if "score" in line)


def test_rows_are_asked_for_in_batches_and_answered_in_their_order(made: Made, tmp_path: Path) -> None:
    client, line, _ = made()
    given = [{**row, "prediction_id": f"order {number}"} for number, row in enumerate(rows(TUMOUR, 12))]
    answered = client.score(given)
    assert (answered.n_requests, answered.n_retries) == (3, 0)
    assert [one.prediction_id for one in answered.rows] == [row["prediction_id"] for row in given]
    assert {(one.version, one.logged, one.score) for one in answered.rows} == {("7", True, 0.5)}
    assert client.label([{"prediction_id": row["prediction_id"], "label": 1} for row in given]) == 12
    assert client.model()["version"] == "7"
    assert len({request.headers["idempotency-key"] for request in line.sent[:6]}) == 6


def test_a_lost_answer_is_asked_for_again_and_logged_once(made: Made, tmp_path: Path) -> None:
    client, line, waited = made()
    line.troubles = ["refused", "lost", "503", "503"]
    with pytest.raises(AnswerLost, match="timed out"):
        client.score(rows(TUMOUR, 3))
    line.troubles = ["refused", "lost", "503"]
    answered = client.score(rows(TUMOUR, 3))
    assert answered.n_retries == 3
    assert sorted(one.prediction_id for one in answered.rows) == [name for name in ids(tmp_path) if name in
        {one.prediction_id for one in answered.rows}]  # fmt: skip
    assert len(ids(tmp_path)) == 6
    assert waited[:3] == sorted(waited[:3])


def test_one_key_is_one_body(made: Made, tmp_path: Path) -> None:
    _, line, _ = made()
    one, two = ({"rows": [row]} for row in rows(TUMOUR, 2))
    headers = {"Idempotency-Key": "k"}
    first = line.service.post("/predict", json=one, headers=headers)
    again = line.service.post("/predict", json=one, headers=headers)
    assert (first.status_code, first.json()["predictions"]) == (200, again.json()["predictions"])
    other = line.service.post("/predict", json=two, headers=headers)
    assert (other.status_code, other.json()["faults"][0]["allowed"]) == (409, "a key of its own for each body")
    assert line.service.post(
        "/labels", json={"labels": [{"prediction_id": "a", "label": 1}]}, headers=headers
    ).is_success
    assert line.service.post("/predict", json=one, headers={"Idempotency-Key": "k" * 201}).status_code == 409
    assert len(ids(tmp_path)) == 1


def test_a_refusal_names_the_row_among_all_and_is_not_asked_again(made: Made) -> None:
    client, line, _ = made()
    given = rows(TUMOUR, 7)
    given[6]["n_visits"] = 1.5
    with pytest.raises(Refused, match=r"422: .*row 6, n_visits: 1.5 is not a whole number from 0 to 100") as caught:
        client.score(given)
    assert (caught.value.code, caught.value.faults[0].row, len(line.sent)) == (422, 6, 2)


def test_who_is_told_to_wait_waits_as_long_as_told_and_not_for_ever(made: Made) -> None:
    client, _, waited = made(2, rate_limit=RateLimit(requests_per_s=0.01, burst_s=1))
    assert client.score(rows(TUMOUR, 1)).n_retries == 0
    with pytest.raises(TooMuch) as caught:
        client.score(rows(TUMOUR, 1))
    assert (len(waited), min(waited) > 90, caught.value.again_in_s > 90) == (2, True, True)


def test_a_service_that_is_not_there_is_unreachable(made: Made) -> None:
    client, line, _ = made(1)
    line.troubles = ["refused", "refused"]
    with pytest.raises(Unreachable):
        client.score(rows(TUMOUR, 1))
    assert json.loads(line.sent[0].content)["rows"][0]["prediction_id"]
