"""Rules, routes and dashboards: each alert fires and is silent, and everything that is asked for exists."""

import json
import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily

from observers import said
from perennial.exposition.families import MACHINE_METRICS, METRICS
from perennial.serving.metrics import Metrics
from perennial.settings import ROOT
from perennial.statistics.comparing.limits import LEAST_EARLIER, control_limits

FOLDER = ROOT / "include" / "observability"
RULES = sorted((FOLDER / "rules").glob("*.yml"))
TESTS = sorted((ROOT / "tests" / "rules").glob("*.yml"))
DASHBOARDS = sorted((FOLDER / "grafana" / "dashboards").glob("*.json"))
NAME = re.compile(r"\bperennial[_:][a-z0-9_:]+")


def rules(kind: str) -> list[dict[str, Any]]:
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


def exposed() -> set[str]:
    """Every sample that the pipeline or a service exposes, and every one that is recorded."""
    told = [(kind, name) for kind, name, *_ in (*METRICS, *MACHINE_METRICS)]
    ours = {f"perennial_{name}{'_total' if kind is CounterMetricFamily else ''}" for kind, name in told}
    assert len(ours) == len(told)
    on = CollectorRegistry()
    Metrics(registry=on)
    ends = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""]}
    served = {f"{one.name}{end}" for one in on.collect() for end in ends[one.type]}
    assert not ours & served, "one name, two meanings"
    return ours | served | {rule["record"] for rule in rules("record")}


def test_each_alert_fires_and_is_silent_as_promtool_sees_it() -> None:
    assert "SUCCESS" in said("promtool", "check", "rules", *RULES)
    assert "SUCCESS" in said("promtool", "test", "rules", *TESTS)
    groups = [group for path in TESTS for group in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]]
    tests = [one for group in groups for one in group.get("alert_rule_test", [])]
    for rule in rules("alert"):
        seen = [one["exp_alerts"] for one in tests if one["alertname"] == rule["alert"]]
        assert any(seen), f"{rule['alert']} is never seen to fire"
        assert not all(seen), f"{rule['alert']} is never seen to be silent"
        assert len(seen) >= (3 if "for" in rule else 2), f"{rule['alert']} is not seen to wait"


def test_the_limits_of_the_machine_are_those_of_signals(tmp_path: Path) -> None:
    """What Prometheus makes of as many days as signals have windows; it has no quantile of t, hence the 1 %."""
    series, expected = [], []
    for kind, n_days in product(("various", "alike"), (4, 5, 8, 20)):
        earlier = [round(0.3 + (0.1 * (number * 7 % 5) if kind == "various" else 0.0), 3) for number in range(n_days)]
        labels = f'{{figure="{kind}", instance="{n_days}"}}'
        values = " ".join(["_"] * (20 - n_days) + [str(value) for value in (*earlier, 0.5)])
        series.append({"series": f"perennial:machine:ratio1d{labels}", "values": values})
        low, high = control_limits(earlier, 3.0, least_spread=0.01) or (0.0, 1.0)
        for end, limit in (("low", low), ("high", high)):
            expr = f"abs(perennial:machine:ratio1d_{end}{labels} - {limit}) < bool {0.01 * (high - low) / 2}"
            found = [{"labels": labels, "value": 1}] if n_days >= LEAST_EARLIER else []
            expected.append({"expr": expr, "eval_time": "20d", "exp_samples": found})
    test = {"interval": "1d", "input_series": series, "promql_expr_test": expected}
    asked = {"rule_files": [str(FOLDER / "rules" / "machine.yml")], "evaluation_interval": "1d", "tests": [test]}
    (tmp_path / "limits.yml").write_text(yaml.safe_dump(asked), encoding="utf-8")
    assert "SUCCESS" in said("promtool", "test", "rules", tmp_path / "limits.yml")


def test_every_alert_has_a_severity_an_owner_and_an_entry_in_the_runbook() -> None:
    told = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    for rule in rules("alert"):
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["labels"]["owner"] in ("models", "platform")
        assert rule["annotations"]["runbook"] == "docs/runbook.md#alerts"
        assert f"| `{rule['alert']}` |" in told
    assert "\n## Alerts\n" in told


@pytest.mark.parametrize("path", [*RULES, *DASHBOARDS], ids=lambda path: path.name)
def test_everything_that_is_asked_for_exists(path: Any) -> None:
    text = path.read_text(encoding="utf-8")
    made = yaml.safe_load(text)  # which reads JSON, too
    places = [rule for group in made.get("groups", []) for rule in group["rules"]]
    places += [target for panel in made.get("panels", []) for target in panel["targets"]]
    asked = [place["expr"] for place in places]
    names = {name for expr in asked for name in NAME.findall(expr)}
    assert names
    assert names - exposed() == set()


def test_a_dashboard_is_provisioned_and_its_panels_do_not_overlap() -> None:
    (path,) = DASHBOARDS
    made = json.loads(path.read_text(encoding="utf-8"))
    source = yaml.safe_load(
        (FOLDER / "grafana" / "provisioning" / "datasources" / "prometheus.yml").read_text(encoding="utf-8")
    )["datasources"][0]
    assert {panel["datasource"]["uid"] for panel in made["panels"]} == {source["uid"]}
    assert len({panel["id"] for panel in made["panels"]}) == len(made["panels"])
    taken = [
        (panel["gridPos"]["x"] + dx, panel["gridPos"]["y"] + dy)
        for panel in made["panels"]
        for dx in range(panel["gridPos"]["w"])
        for dy in range(panel["gridPos"]["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24


def test_alertmanager_groups_by_model_and_what_explains_another_silences_it() -> None:
    path = FOLDER / "alertmanager.yml"
    assert "SUCCESS" in said("amtool", "check-config", path)
    for labels, receiver in ({"severity": "critical"}, "people-now"), ({"severity": "warning"}, "people"):
        words = [f"{key}={value}" for key, value in labels.items()]
        assert receiver in said("amtool", "config", "routes", "test", f"--config.file={path}", *words).split()
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    for labels, told in (["owner=models", "severity=critical"], "perennial,people-now"), (["owner=platform"], "people"):
        words = said("amtool", "config", "routes", "test", f"--config.file={path}", *labels)
        assert words.split()[0] == told, "Perennial hears of models' alerts, and people of all"
    assert config["route"]["group_by"] == ["model", "instance"]
    known = {rule["alert"] for rule in rules("alert")}
    for rule in config["inhibit_rules"]:
        for side in ("source_matchers", "target_matchers"):
            for pattern in [found for one in rule[side] for found in re.findall(r'alertname=~?"(.*)"', one)]:
                assert any(re.fullmatch(pattern, name) for name in known), pattern
        if "PerennialMetricsMissing" not in str(rule["source_matchers"]):
            assert rule["equal"], "one model's alert would silence another's"


def test_prometheus_takes_its_configuration() -> None:
    assert "SUCCESS" in said("promtool", "check", "config", "--syntax-only", FOLDER / "prometheus.yml")
