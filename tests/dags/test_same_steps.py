"""The command line and the DAGs go the same way: what a DAG's tasks call, in its order, is what ``loops`` calls."""

import ast
import inspect
from pathlib import Path
from typing import Any

import pytest

from dag_files import declare
from perennial.orchestration.canary import CanarySensor
from perennial.orchestration.review import ReviewSensor
from perennial.orchestration.tasks import monitor as monitor_tasks
from perennial.orchestration.tasks import retrain as retrain_tasks
from perennial.orchestration.tasks import telling
from perennial.pipeline import Case, loops

MODEL = "wine_cultivar"
STEPS = {name for name, member in inspect.getmembers(Case, inspect.isfunction) if not name.startswith("_")}
READINGS = {"state", "alias", "last_monitored", "request", "signoff", "cannot_pay", "prepare"}


class Called(ast.NodeVisitor):
    """The steps of a case that a piece of code calls, in the order of its lines."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.generic_visit(node)
        if isinstance(node.value, ast.Name) and node.value.id == "case" and node.attr in STEPS - READINGS:
            self.found.append(node.attr)


def steps_in(source: str) -> list[str]:
    visitor = Called()
    visitor.visit(ast.parse(inspect.cleandoc(source) if source.startswith(" ") else source))
    return visitor.found


def functions_of(module: Any) -> dict[str, str]:
    source = Path(inspect.getfile(module)).read_text(encoding="utf-8")
    return {
        node.name: ast.get_source_segment(source, node) or ""
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef)
    }


def in_order(dag: Any, module: Any) -> list[str]:
    """What the tasks of a DAG call on their case, each task after those before it; each step once."""
    bodies = functions_of(module) | functions_of(telling)  # which reads, and calls no step
    found: list[str] = []
    for task in dag.topological_sort():
        if isinstance(task, ReviewSensor | CanarySensor):
            found.append(task.task_id)
        elif callable(body := getattr(task, "python_callable", None)):
            found += steps_in(bodies[body.__name__])
    return list(dict.fromkeys(found))


def in_loop(*functions: Any) -> list[str]:
    calls = [step for function in functions for step in steps_in(inspect.getsource(function))]
    return list(dict.fromkeys(calls))


@pytest.fixture
def dags(parse: Any, models_dir: Path) -> dict[str, Any]:
    files = "{kind: files, format: jsonl, uri: '{home}/landing/%s/{start:%%Y-%%m-%%d}/*.jsonl'}"
    sources = ", ".join(f"{source}: {files % source}" for source in ("predictions", "labels", "shadow"))
    with declare(models_dir, MODEL, sources=f"{{{sources}}}").open("a", encoding="utf-8") as declared:
        declared.write("release: {strategy: ab}\n")
    return {dag_id.removeprefix(f"{MODEL}__"): dag for dag_id, dag in parse().dags.items() if dag_id.startswith(MODEL)}


def test_a_monitor_run_takes_the_same_steps_with_and_without_airflow(dags: dict[str, Any]) -> None:
    source = inspect.getsource(loops.monitor).replace("_ingest(case", "(case.stage, case.audit, case.publish, case")
    ours = list(dict.fromkeys(steps_in(source)))
    theirs = in_order(dags["monitor"], monitor_tasks)
    assert steps_in(inspect.getsource(loops._ingest)).__len__() == 3
    assert ours == theirs
    assert ours[0] == "begin"
    assert ours[-3:] == ["decide", "carry_out", "verify_traffic"]


def test_a_retrain_run_takes_the_same_steps_with_and_without_airflow(dags: dict[str, Any]) -> None:
    ours = [step for step in in_loop(loops.retrain, loops._retrain) if step != "conclude"]
    theirs = in_order(dags["retrain"], retrain_tasks)
    assert ours[-1] == "verify_traffic"
    assert [*ours[:-1], "conclude", "verify_traffic"] == theirs
    assert ours[0] == "begin"


def test_every_step_of_a_case_is_run_by_someone() -> None:
    """A step that neither a DAG nor a command nor the demo calls is dead."""
    root = Path(inspect.getfile(Case)).parents[2]
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in ("perennial/orchestration", "perennial/cli", "perennial/pipeline", "demo")
        for path in (root / folder).rglob("*.py")
    )
    assert {step for step in STEPS if f".{step}(" not in code and f"case.{step}" not in code} == set()
