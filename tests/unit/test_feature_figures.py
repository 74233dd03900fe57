"""The values of requests, by feature: every answered one once, as ``model.yaml`` declares them, over processes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from perennial.config import CategoryFeature, NumberFeature
from perennial.serving.measured.features import FeatureGrid, Features, edges_of
from perennial.serving.metrics import Metrics
from serving import TUMOUR, TestClient, opened, rows

VALUES, CATEGORIES, NULLS = "feature_value_bucket", "feature_category_rows_total", "feature_null_rows_total"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    client = opened(tmp_path_factory.mktemp("features"))
    yield client
    client.__exit__(None, None, None)


def said(page: str, name: str) -> dict[tuple[str, ...], float]:
    """The samples of one name, by the values of their labels, which stand in alphabetical order."""
    found = (sample for family in text_string_to_metric_families(page) for sample in family.samples)
    return {tuple(one.labels.values()): one.value for one in found if one.name == f"perennial_{name}"}


def test_every_value_that_was_answered_is_counted_once_and_no_other(client: TestClient) -> None:
    asked = [*rows(TUMOUR, 5), *rows(TUMOUR, 5, seed=10)]
    asked[0] |= {"mean_radius": 50.0, "n_visits": 10, "clinic": "south", "screened": True}
    asked[1] |= {"mean_radius": None, "n_visits": 0, "clinic": None, "screened": False}
    for part, key in ((asked[:5], "a"), (asked[5:], "b"), (asked[:5], "a")):
        headers = {"Idempotency-Key": key}
        assert client.post("/predict", json={"rows": part}, headers=headers).status_code == 200
    refused = [asked[2], asked[3] | {"mean_texture": 61.0}]
    assert client.post("/predict", json={"rows": refused}).status_code == 422
    page = client.get("/metrics").text
    buckets = said(page, VALUES)
    for name in TUMOUR.numbers:
        given = [row[name] for row in asked if row[name] is not None]
        edges = [edge for feature, edge in buckets if feature == name]
        assert (float(edges[0]), float(edges[-2]), edges[-1]) == (*limits(name), "+Inf")
        for edge in edges:
            assert buckets[name, edge] == sum(value <= float(edge) for value in given), (name, edge)
        assert said(page, "feature_value_sum")[name,] == pytest.approx(sum(given))
        assert said(page, "feature_value_count")[name,] == len(given)
    clinics = [row["clinic"] for row in asked]
    counted = said(page, CATEGORIES)
    assert counted["other", "clinic"] == 1
    assert {name: clinics.count(name) for name in ("east", "north", "west") if name in clinics} == {
        name: n_rows for (name, feature), n_rows in counted.items() if feature == "clinic" and name != "other"
    }
    assert counted["true", "screened"] == sum(row["screened"] is True for row in asked)
    nulls = {name: sum(row[name] is None for row in asked) for name in ("mean_radius", "clinic", "screened")}
    assert said(page, NULLS) == {(name,): n_rows for name, n_rows in nulls.items()}


def limits(name: str) -> tuple[float | None, float | None]:
    spec = TUMOUR.features[name]
    assert isinstance(spec, NumberFeature)
    return spec.min, spec.max


def test_a_request_only_leaves_its_values() -> None:
    """None is looked at while somebody waits for an answer."""

    class Unread:
        def read(self) -> Any:
            raise AssertionError("a value was read")

        __float__ = __hash__ = read

    features = Features(TUMOUR.features)
    features.add([tuple(Unread() for _ in TUMOUR.features)])
    with pytest.raises(AssertionError, match="a value was read"):
        features.count()


def test_processes_are_added_up_and_one_that_ended_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    asked = [tuple(row.values()) for row in rows(TUMOUR, 30)]
    ended, other = (Features(TUMOUR.features, tmp_path) for _ in range(2))
    for part in (asked[:4], asked[4:10]):
        ended.add(part)
        ended.count()
    other.add(asked[10:15])
    other.add(asked[15:25])
    other.count()
    (tmp_path / "features_1_cut.json").write_bytes(b'{"buckets"')
    here = Metrics(TUMOUR.features, shared=True)
    here.features.add(asked[25:])
    page = here.page().decode()
    assert said(page, VALUES) == said(alone(asked), VALUES)
    assert said(page, CATEGORIES) == said(alone(asked), CATEGORIES)
    assert said(page, NULLS) == said(alone(asked), NULLS)
    assert said(here.page().decode(), VALUES) == said(page, VALUES), "what was counted is not counted again"


def alone(asked: list[tuple[Any, ...]]) -> str:
    metrics = Metrics(TUMOUR.features)
    metrics.features.add(asked)
    return metrics.page().decode()


def test_a_range_gives_edges_that_hold_its_ends_and_an_open_one_powers_of_ten() -> None:
    for low, high in ((-40.0, 130.0), (870.0, 1085.0), (0.0, 1e-9), (1e9, 1e9 + 1), (5.0, 5.0)):
        edges = edges_of(NumberFeature(type="float", min=low, max=high))
        assert (edges[0], edges[-1], list(edges)) == (low, high, sorted(set(edges)))
    assert edges_of(NumberFeature(type="int", min=0.5, max=3.2)) == (1.0, 2.0, 3.0)
    assert edges_of(NumberFeature(type="float", min=0, max=None))[:2] == (0.0, 0.001)
    assert edges_of(NumberFeature(type="float"))[0] < -1e6


def test_a_category_has_so_many_names_and_no_more() -> None:
    many = CategoryFeature(type="category", categories=[f"c{place}" for place in range(300)])
    found = FeatureGrid.of({"shop": many}).counts([many.categories])
    assert len(found.categories["shop"]) == 201
    assert found.categories["shop"]["other"] == 100
