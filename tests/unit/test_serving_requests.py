"""What the service answers to whom, and what it refuses and how it says so; the model is made up, the spool is real."""

import errno
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from perennial.config import load_model
from perennial.serving.app import make_app
from perennial.serving.following.follower import Current, Follower
from perennial.serving.following.messages import Loaded, Looked
from perennial.serving.guard import Guard
from perennial.serving.keys import Keys
from perennial.serving.predictors.predictor import Built
from perennial.serving.service import Spec
from perennial.serving.spool import segments
from perennial.settings import ROOT
from serving import TestClient, logged, rows

TUMOUR = load_model(ROOT / "tests" / "models" / "tumour_malignant")
Open = Callable[..., TestClient]


def first_number(columns: Any) -> Any:
    """A model: the smoothness, which lies between 0 and 1."""
    return [float(value) for value in columns[2]], None


def broken(columns: Any) -> Any:
    raise ValueError(f"no answer for {len(columns)} columns")


def following(answer: Any, version: str = "7") -> Callable[[Follower], None]:
    """What stands for a process that follows and has loaded a version."""

    def start(self: Follower) -> None:
        built = Built(answer, "arrays", "")
        loaded = Loaded(version=version, digest="d", built=built, origin="registry", took_s=0.1)
        self.following.looked = Looked(at=1.0, champion=version)
        self.following.current = Current(loaded, 1.0)

    return start


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens a service of the tumours on loopback."""
    with ExitStack() as clients:

        def opened(answer: Any = first_number, *, host: str = "127.0.0.1", **other: Any) -> TestClient:
            monkeypatch.setattr(Follower, "start", following(answer) if answer else lambda _: None)
            rules = TUMOUR.serving.model_copy(update={"max_rows": 5, "max_body_kb": 8, **other.pop("serving", {})})
            config = TUMOUR.model_copy(update={"serving": rules, **other})
            spec = Spec(config=config, home=tmp_path, registry_uri="http://127.0.0.1:9", login=None, host=host)
            return clients.enter_context(TestClient(make_app(spec), base_url="http://127.0.0.1:8000"))

        yield opened


def spooled(home: Path, source: str = "predictions") -> list[dict[str, Any]]:
    return logged(home / "serving" / TUMOUR.model / "spool", home / "landing" / TUMOUR.model / source)


def test_a_threshold_of_the_versions_own_decides(service: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Built.__init__
    monkeypatch.setattr(Built, "__init__", lambda self, answer, kind, why: own(self, answer, kind, why, 0.0))
    said = service().post("/predict", json={"rows": rows(TUMOUR, 3)}).json()
    assert [one["predicted"] for one in said["predictions"]] == [1, 1, 1]


def test_an_answer_names_its_request_its_version_and_each_row(service: Open, tmp_path: Path) -> None:
    sent = rows(TUMOUR, 3)
    sent[1]["prediction_id"] = "order 4711"
    answer = service().post("/predict", json={"rows": sent}, headers={"X-Request-ID": "r-1"})
    said = answer.json()
    assert (answer.status_code, said["request_id"], answer.headers["x-request-id"]) == (200, "r-1", "r-1")
    assert (said["model"], said["version"], said["logged"]) == (TUMOUR.model, "7", True)
    assert [one["score"] for one in said["predictions"]] == [row["mean_smoothness"] for row in sent]
    assert [one["predicted"] for one in said["predictions"]] == [int(row["mean_smoothness"] >= 0.5) for row in sent]
    ids = [one["prediction_id"] for one in said["predictions"]]
    assert ids[1] == "order 4711"
    assert len(set(ids)) == 3
    lines = spooled(tmp_path)
    assert [line["prediction_id"] for line in lines] == ids
    assert [{name: line[name] for name in TUMOUR.features} for line in lines] == [
        {name: row[name] for name in TUMOUR.features} for row in sent
    ]
    assert set(lines[0]) == set(TUMOUR.delivered("predictions").values())


BAD = {
    "text for a number": ({"mean_radius": "1.5"}, "mean_radius", "'1.5'", "a number from 0 to 50, in mm, or null"),
    "true for a number": ({"mean_texture": True}, "mean_texture", "True", "a number from 0 to 60"),
    "too large": ({"mean_texture": 60.1}, "mean_texture", "60.1", "a number from 0 to 60"),
    "too small": ({"mean_texture": -1}, "mean_texture", "-1", "a number from 0 to 60"),
    "a fraction": ({"n_visits": 1.5}, "n_visits", "1.5", "a whole number from 0 to 100"),
    "a fraction of nothing": ({"n_visits": 1.0}, "n_visits", "1.0", "a whole number from 0 to 100"),
    "null": ({"n_visits": None}, "n_visits", "None", "a whole number from 0 to 100"),
    "a number for text": ({"clinic": 3}, "clinic", "3", "text, or null"),
    "NUL": ({"clinic": "a\0"}, "clinic", "'a\\x00'", "text, or null"),
    "a number for a boolean": ({"screened": 1}, "screened", "1", "true or false, or null"),
    "text for a boolean": ({"screened": "true"}, "screened", "'true'", "true or false, or null"),
    "a list": ({"mean_texture": [1]}, "mean_texture", "[1]", "a number from 0 to 60"),
    "no id": ({"prediction_id": ""}, "prediction_id", "''", "text of 1 to 200 characters"),
    "an id of two lines": (
        {"prediction_id": "a\n"}, "prediction_id", "'a\\n'", "text of 1 to 200 characters"
    ),
    "a name nobody knows": ({"mean_radiu": 1}, "mean_radiu", "1", "no such feature; did you mean mean_radius?"),
    "a time of its own": (
        {"event_time": "2024-01-01T00:00:00Z"}, "event_time", "'2024-01-01T00:00:00Z'", "no such feature"
    ),
}  # fmt: skip


def test_what_is_wrong_is_named_with_row_field_value_and_what_is_allowed(service: Open, tmp_path: Path) -> None:
    client = service()
    for name, (change, field, value, allowed) in BAD.items():
        good, bad = rows(TUMOUR, 2)
        answer = client.post("/predict", json={"rows": [good, {**bad, **change}]})
        said = answer.json()
        assert (answer.status_code, said["n_faults"]) == (422, 1), name
        (fault,) = said["faults"]
        assert (fault["row"], fault["field"], fault["value"]) == (1, field, value), name
        assert fault["allowed"].startswith(allowed), name
    missing = {key: value for key, value in rows(TUMOUR, 1)[0].items() if key != "mean_radius"}
    (fault,) = client.post("/predict", json={"rows": [missing]}).json()["faults"]
    assert fault["allowed"] == "required: a number from 0 to 50, in mm, or null; null where it is not known"
    assert spooled(tmp_path) == []


BODIES = {
    b"": 400, b"{": 400, b"nonsense": 400, b'{"rows": [NaN]}': 400, b'{"rows": "\xff"}': 400, b"[" * 5000: 400,
    b"[]": 422, b"null": 422, b"{}": 422, b'{"rows": []}': 422, b'{"rows": {}}': 422, b'{"rows": [1]}': 422,
    b'{"rows": [{}, {}, {}, {}, {}, {}]}': 422, b'{"rows": [{}], "more": 1}': 422, b" " * 9000: 413,
}  # fmt: skip


def test_a_body_of_another_kind_has_its_answer(service: Open) -> None:
    client = service()
    headers = {"content-type": "application/json"}
    found = {body: client.post("/predict", content=body, headers=headers).status_code for body in BODIES}
    assert found == BODIES
    good = json.dumps({"rows": rows(TUMOUR, 1)})
    assert client.post("/predict", content=good, headers={"content-type": "text/plain"}).status_code == 415
    assert client.post("/predict", content=iter([b" " * 5000] * 2), headers=headers).status_code == 413
    wrong = client.get("/predict")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    twice = [row | {"prediction_id": "a"} for row in rows(TUMOUR, 2)]
    said = client.post("/predict", json={"rows": twice}).json()
    assert "stands twice" in said["error"]
    assert [(one["row"], one["field"], one["allowed"]) for one in said["faults"]] == [
        (1, "prediction_id", "another one: row 0 has it")
    ]


def test_labels_are_logged_as_the_label_source_has_them(service: Open, tmp_path: Path) -> None:
    client = service()
    assert client.post("/labels", json={"labels": [{"prediction_id": "a", "label": 1}]}).json()["n_labels"] == 1
    (line,) = spooled(tmp_path, "labels")
    assert (line["prediction_id"], line["label"]) == ("a", 1)
    (fault,) = client.post("/labels", json={"labels": [{"prediction_id": "a", "label": "1"}]}).json()["faults"]
    assert (fault["field"], fault["allowed"]) == ("label", "one of 0, 1")


def test_rows_go_to_the_windows_whose_times_they_give(service: Open, tmp_path: Path) -> None:
    client = service(serving={"event_time": "given"})
    moments = ["2024-01-02T23:59:59.999Z", "2024-01-03T00:00:00+00:00", "2024-01-02T00:00:00Z"]
    sent = [row | {"event_time": moment} for row, moment in zip(rows(TUMOUR, 3), moments, strict=True)]
    ids = [one["prediction_id"] for one in client.post("/predict", json={"rows": sent}).json()["predictions"]]
    client.__exit__()
    found = {
        path.parent.name: [json.loads(line)["prediction_id"] for line in path.read_text("utf-8").splitlines()]
        for path in (tmp_path / "landing").rglob("*.jsonl")
    }
    assert found == {"2024-01-02": [ids[0], ids[2]], "2024-01-03": [ids[1]]}
    assert list((tmp_path / "landing").rglob("*.part")) == []


def test_off_loopback_a_key_is_asked_for_and_its_digest_is_all_that_is_kept(service: Open, tmp_path: Path) -> None:
    keys = Keys.below(tmp_path)
    guard = Guard(Keys.below(tmp_path, "pk_of_the_stack"), needs_key=True, most_bytes=1)
    guard.renew()
    assert list(guard._known) == ["PERENNIAL_SERVING_KEY"]
    key = keys.add("desk", at=datetime(2024, 1, 1, tzinfo=UTC))
    assert key not in keys.path.read_text(encoding="utf-8")
    assert keys.path.stat().st_mode & 0o777 == 0o600
    client, body = service(host="0.0.0.0"), {"rows": rows(TUMOUR, 1)}  # noqa: S104 - nothing listens here
    for headers, code in (
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": f"Bearer {key}"}, 200),
        ({"X-API-Key": key}, 200),
    ):
        assert client.post("/predict", json=body, headers=headers).status_code == code
        assert {client.get(path, headers=headers).status_code for path in ("/model", "/metrics", "/openapi.json")} == {
            code
        }
    assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200
    keys.remove("desk")
    end = time.monotonic() + 10
    while client.post("/predict", json=body, headers={"X-API-Key": key}).status_code != 401:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_on_loopback_a_page_under_another_name_is_turned_away(service: Open) -> None:
    headers = {"host": "evil.example:8000"}
    assert service().post("/predict", json={"rows": rows(TUMOUR, 1)}, headers=headers).status_code == 403


def test_it_refuses_until_a_version_is_loaded_and_says_why(service: Open) -> None:
    client = service(None)
    refused = client.post("/predict", json={"rows": rows(TUMOUR, 1)})
    ready = client.get("/readyz")
    assert (refused.status_code, ready.status_code, ready.json()["status"]) == (503, 503, "refuses")
    assert ready.json()["problems"] == {"no_champion_loaded": "the registry has not been asked yet"}
    assert client.get("/model").json()["version"] is None


def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the disk takes half of what is written, and then nothing."""
    real, taken = os.write, []

    def write(descriptor: int, data: Any) -> int:
        if taken:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken.append(1)
        return real(descriptor, bytes(data)[: len(data) // 2])

    monkeypatch.setattr(segments.os, "write", write)


@pytest.mark.parametrize("policy", ["refuse", "answer"])
def test_a_full_disk_is_met_as_the_policy_says(
    service: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    client, body = service(serving={"on_full_disk": policy}), {"rows": rows(TUMOUR, 1)}
    assert client.post("/predict", json=body).status_code == 200
    with monkeypatch.context() as disk:
        full(disk)
        answer = client.post("/predict", json=body)
        if policy == "refuse":
            assert answer.status_code == 503
            assert "No space left on device" in answer.json()["error"]
        else:
            assert (answer.status_code, answer.json()["logged"]) == (200, False)
            assert "perennial_unlogged_predictions_total 1.0" in client.get("/metrics").text
        assert client.post("/labels", json={"labels": [{"prediction_id": "a", "label": 1}]}).status_code == 503
    assert len(spooled(tmp_path)) == 1, "nothing is left of a line that was cut off"
    assert client.post("/predict", json=body).status_code == 200
    assert len(spooled(tmp_path)) == 2
    assert client.get("/readyz").json()["status"] == "ready"


def test_a_model_that_raises_is_told_and_logged_where_the_log_tells_of_errors(service: Open, tmp_path: Path) -> None:
    config_columns = TUMOUR.columns.model_copy(update={"error": "failed"})
    client = service(broken, columns=config_columns)
    answer = client.post("/predict", json={"rows": rows(TUMOUR, 1)})
    assert answer.status_code == 500
    assert "version 7 could not answer: no answer for 6 columns" in answer.json()["error"]
    (line,) = spooled(tmp_path)
    assert (line["failed"], line["score"]) == (True, None)


def test_the_openapi_document_describes_every_feature(service: Open) -> None:
    made = service().get("/openapi.json").json()
    row = made["components"]["schemas"]["Row"]
    assert set(row["properties"]) == {*TUMOUR.features, "prediction_id"}
    assert row["required"] == list(TUMOUR.features)
    assert row["properties"]["n_visits"]["maximum"] == 100
    assert set(made["paths"]) == {"/predict", "/labels", "/model", "/healthz", "/readyz", "/metrics", "/figures"}
