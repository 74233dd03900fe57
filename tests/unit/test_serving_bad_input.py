"""Forty kinds of bad input: each has its answer, with a code, a field and what is allowed, and none of them is a 500.

One service answers all of them, and after all of them still answers a good request.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from perennial.config.service.limits import RateLimit
from serving import TUMOUR, TestClient, opened, rows

JSON = {"content-type": "application/json"}
NUMBER = "a number from 0 to 60"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    found = opened(tmp_path_factory.mktemp("served"))
    yield found
    found.__exit__(None, None, None)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Requests say their own times."""
    found = opened(tmp_path_factory.mktemp("given"), event_time="given")
    yield found
    found.__exit__(None, None, None)


class Bad(NamedTuple):
    """What is sent, and the answer: code, field and how what is allowed begins."""

    change: dict[str, Any] | None
    code: int
    field: str | None
    allowed: str
    body: bytes | None = None
    route: str = "/predict"
    headers: dict[str, str] = {}  # noqa: RUF012 - a default that nobody changes
    method: str = "POST"


def value(field: str, wrong: Any, allowed: str) -> Bad:
    return Bad({field: wrong}, 422, field, allowed)


def body(text: bytes, code: int, allowed: str, field: str | None = None, **other: Any) -> Bad:
    return Bad(None, code, field, allowed, text, **other)


SHAPE, ID = "an object with the one key rows", "text of 1 to 200 characters"
KINDS: dict[str, Bad] = {
    "text for a number": value("mean_texture", "1.5", NUMBER),
    "true for a number": value("mean_texture", True, NUMBER),
    "null for a number": value("mean_texture", None, NUMBER),
    "a list for a number": value("mean_texture", [1], NUMBER),
    "an object for a number": value("mean_texture", {"a": 1}, NUMBER),
    "above its range": value("mean_texture", 60.1, NUMBER),
    "below its range": value("mean_texture", -0.1, NUMBER),
    "a number beyond all": value("mean_texture", 10**30, NUMBER),
    "a fraction for a whole number": value("n_visits", 1.5, "a whole number from 0 to 100"),
    "a whole number with a point": value("n_visits", 7.0, "a whole number from 0 to 100"),
    "a whole number of 70 bits": value("n_visits", 2**70, "a whole number from 0 to 100"),
    "a whole number as text": value("n_visits", "7", "a whole number from 0 to 100"),
    "a number for a category": value("clinic", 3, "text, or null"),
    "NUL in a category": value("clinic", "a\0b", "text, or null"),
    "a number for a boolean": value("screened", 1, "true or false, or null"),
    "text for a boolean": value("screened", "true", "true or false, or null"),
    "an empty id": value("prediction_id", "", ID),
    "an id too long": value("prediction_id", "x" * 201, ID),
    "an id of two lines": value("prediction_id", "a\nb", ID),
    "a number for an id": value("prediction_id", 7, ID),
    "null for an id": value("prediction_id", None, ID),
    "a feature that nobody knows": value("mean_radiu", 1, "no such feature; did you mean mean_radius?"),
    "a time where arrival counts": value("event_time", "2024-01-01T00:00:00Z", "no such feature"),
    "an empty body": body(b"", 400, "JSON: "),
    "half a body": body(b'{"rows": [{', 400, "JSON: "),
    "no JSON": body(b"rows=1", 400, "JSON: "),
    "NaN": body(b'{"rows": [{"mean_texture": NaN}]}', 400, "JSON: "),
    "a number too large for a float": body(b'{"rows": [{"mean_texture": 1e999}]}', 400, "JSON: "),
    "no UTF-8": body(b'{"rows": "\xff"}', 400, "JSON: "),
    "half of a character": body(b'{"rows": [{"clinic": "\\ud800"}]}', 400, "JSON: "),
    "a byte order mark": body(b'\xef\xbb\xbf{"rows": []}', 400, "JSON: "),
    "brackets without end": body(b"[" * 5000, 400, "JSON: "),
    "a list": body(b"[]", 422, SHAPE),
    "null": body(b"null", 422, SHAPE),
    "no rows": body(b"{}", 422, SHAPE),
    "a key besides": body(b'{"rows": [{}], "more": 1}', 422, SHAPE),
    "rows as an object": body(b'{"rows": {}}', 422, SHAPE),
    "zero rows": body(b'{"rows": []}', 422, "1 to 5 of them", "rows"),
    "more rows than allowed": body(b'{"rows": [{}, {}, {}, {}, {}, {}]}', 422, "1 to 5 of them", "rows"),
    "a row that is none": body(b'{"rows": [1]}', 422, "an object with mean_radius"),
    "a feature left out": body(b'{"rows": [{}]}', 422, "required: a number from 0 to 50", "mean_radius"),
    "a body too large": body(b" " * 9000, 413, ""),
    "a length that is no number": body(b"{}", 422, SHAPE, headers={"content-length": "\xb2"}),
    "text/plain": body(b"{}", 415, "", headers={"content-type": "text/plain"}),
    "no content type": body(b"{}", 415, "", headers={"content-type": ""}),
    "another name for this machine": body(b"{}", 403, "", headers={"host": "evil.example"}),
    "a name that is none": body(b"{}", 422, SHAPE, headers={"host": "[::1"}),
    "a key where none is asked for": body(b"{", 400, "JSON: ", headers={"authorization": "Bearer \xff"}),
    "a request id with a line break in it": body(b"{", 400, "JSON: ", headers={"x-request-id": "a\tb" * 99}),
    "a label that is no class": body(
        b'{"labels": [{"prediction_id": "a", "label": 2}]}', 422, "one of 0, 1", "label", route="/labels"
    ),
    "a label without its id": body(
        b'{"labels": [{"label": 1}]}', 422, "required: text", "prediction_id", route="/labels"
    ),
    "rows for labels": body(b'{"rows": []}', 422, "an object with the one key labels", route="/labels"),
    "a route that is none": body(b"{}", 404, "", route="/predictions"),
    "a method that is none": body(b"{}", 405, "", method="PUT"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_bad_input_has_a_named_answer(client: TestClient, kind: str) -> None:
    bad = KINDS[kind]
    sent = bad.body
    if sent is None:
        good, other = rows(TUMOUR, 2)
        sent = json.dumps({"rows": [good, {**other, **(bad.change or {})}]}).encode()
    answer = client.request(bad.method, bad.route, content=sent, headers=as_bytes({**JSON, **bad.headers}))
    assert answer.status_code == bad.code, answer.text
    said = answer.json()
    assert said["error"]
    assert said["request_id"] == answer.headers["x-request-id"]
    if bad.allowed:
        fault = said["faults"][0]
        assert (fault.get("field"), fault["allowed"][: len(bad.allowed)]) == (bad.field, bad.allowed)
    assert client.post("/predict", json={"rows": rows(TUMOUR, 1)}).status_code == 200


def as_bytes(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), text.encode("latin-1")) for name, text in headers.items()]


TIMES = {
    "no zone": "2024-01-01T00:00:00",
    "no time": "yesterday",
    "a number": 1704067200,
    "before all windows can be named": "0001-01-01T00:00:00+14:00",
    "after all windows can be named": "9999-12-31T23:59:59Z",
}


@pytest.mark.parametrize("kind", TIMES)
@pytest.mark.parametrize("route", ["/predict", "/labels"])
def test_a_time_that_is_none_has_a_named_answer(given: TestClient, kind: str, route: str) -> None:
    if route == "/predict":
        (row,) = rows(TUMOUR, 1)
        sent: Any = {"rows": [row | {"event_time": TIMES[kind]}]}
    else:
        sent = {"labels": [{"prediction_id": "a", "label": 1, "labelled_at": TIMES[kind]}]}
    answer = given.post(route, json=sent)
    assert answer.status_code == 422, answer.text
    (fault,) = answer.json()["faults"]
    assert (fault["row"], fault["field"]) == (0, "event_time" if route == "/predict" else "labelled_at")
    assert "a moment with its zone" in fault["allowed"]


def test_there_are_forty_kinds() -> None:
    assert len(KINDS) + len(TIMES) >= 40


@pytest.mark.parametrize("kind", ["requests", "rows"])
def test_who_asks_too_much_is_told_when_to_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    now = [100.0]
    limit = RateLimit(**{f"{kind}_per_s": 0.5}, burst_s=4)
    client = opened(tmp_path, rate_limit=limit)
    try:
        monkeypatch.setattr("perennial.serving.guard.time.monotonic", lambda: now[0])
        sent = {"rows": rows(TUMOUR, 2 if kind == "rows" else 1)}
        codes = [client.post("/predict", json=sent).status_code for _ in range(3)]
        assert codes == ([200, 429, 429] if kind == "rows" else [200, 200, 429])
        answer = client.post("/predict", json=sent)
        (fault,) = answer.json()["faults"]
        assert (fault["field"], fault["value"]) == ("rate", "this machine")
        assert fault["allowed"] == f"at most 0.5 {kind} a second (serving.rate_limit.{kind}_per_s)"
        wait_s = int(answer.headers["retry-after"])
        assert (wait_s, client.get("/readyz").status_code) == (2, 200)
        now[0] += wait_s - 0.1
        assert client.post("/predict", json=sent).status_code == 429
        now[0] += 0.1
        assert client.post("/predict", json=sent).status_code == 200
    finally:
        client.__exit__(None, None, None)


def test_a_limit_that_is_not_given_changes_no_digest() -> None:
    assert TUMOUR.serving.rate_limit is None
    assert "rate_limit" not in TUMOUR.model_dump(mode="json")["serving"]
