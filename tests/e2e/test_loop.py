"""The whole loop through a real scheduler, a real PostgreSQL and a real MLflow, on a stack of its own.

One test, since every chapter stands on the one before: windows come in by schedule, by backfill and by hand; a task
is killed; a first champion is trained and promoted; a broken delivery halts and is mended; the champion passes its
bake; a second one waits for a human; and a human takes it back.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from demo.airflow import wait_for
from logs import day, deliver, delivery
from running_loop import MODEL, MONITOR, RETRAIN, ROLLBACK, RUN_WITHIN_S, Loop, running_loop
from servers import listeners, temporary_stack

N_ROWS = 120

pytestmark = pytest.mark.xdist_group("airflow")  # one whole Airflow at a time is enough for two cores


@pytest.fixture
def loop() -> Iterator[Loop]:
    with temporary_stack() as layout:
        layout.prepare()
        for number in range(4):
            deliver(layout.home, MODEL, day(number))
        with running_loop(
            layout,
            schedule="{every: 1d, start: 2024-01-01T00:00:00Z, end: 2024-01-03T00:00:00Z, catchup: true}",
            signoff="{metrics: {accuracy: {min: 0.7}}, versus_champion: {metric: accuracy, min_gain: -0.2}, "
            "min_holdout_rows: 50, min_label_coverage: 0.9, max_parity_gap: 1.0e-9, "
            "review: {mode: auto, deadline: 1h, poll_s: 0.5}}",
        ) as running:
            yield running


def test_the_whole_loop(loop: Loop) -> None:
    every_process_listens_on_loopback_only(loop)
    windows_come_in_by_schedule(loop)
    a_backfill_over_published_windows_changes_nothing(loop)
    a_killed_task_is_found_and_tried_again(loop)
    a_first_champion_is_trained_and_promoted(loop)
    a_broken_delivery_halts_red_and_says_why(loop)
    the_champion_passes_its_bake_on_mended_and_new_windows(loop)
    a_candidate_that_fails_a_gate_is_a_result_and_no_error(loop)
    a_retrain_that_can_not_be_made_is_red_and_says_why(loop)
    a_second_champion_waits_for_a_human(loop)
    a_human_takes_it_back(loop)


def every_process_listens_on_loopback_only(loop: Loop) -> None:
    listening, foreign = listeners(loop.layout)
    ports = loop.layout.ports
    assert {ports.airflow, ports.mlflow, ports.postgres} <= {address.port for address in listening}
    assert foreign == []


def windows_come_in_by_schedule(loop: Loop) -> None:
    loop.airflow.unpause(MONITOR)

    def both_done() -> bool:
        runs = loop.airflow.http.get(f"/dags/{MONITOR}/dagRuns").json()["dag_runs"]
        return len(runs) == 2 and all(run["state"] in ("success", "failed") for run in runs)

    wait_for(both_done, "the two scheduled runs", deadline_s=RUN_WITHIN_S)
    runs = loop.airflow.http.get(f"/dags/{MONITOR}/dagRuns").json()["dag_runs"]
    assert {run["state"] for run in runs} == {"success"}
    decisions = loop.entries("decision")
    assert [entry.at for entry in decisions] == [day(0).end, day(1).end]
    assert [entry.payload["decision"]["action"] for entry in decisions] == ["stay", "stay"]
    assert loop.n_published() == 2 * N_ROWS


def a_backfill_over_published_windows_changes_nothing(loop: Loop) -> None:
    before = (loop.entries(), loop.n_published())
    asked = {
        "dag_id": MONITOR,
        "from_date": day(0).start.isoformat(),
        "to_date": day(0).start.isoformat(),
        "reprocess_behavior": "completed",
    }
    backfill = loop.airflow.http.post("/backfills", json=asked).raise_for_status().json()["id"]

    def over() -> bool:
        return loop.airflow.http.get(f"/backfills/{backfill}").json()["completed_at"] is not None

    wait_for(over, "the backfill", deadline_s=RUN_WITHIN_S)
    runs = loop.airflow.http.get(f"/dags/{MONITOR}/dagRuns").json()["dag_runs"]
    assert [run["state"] for run in runs if run["run_type"] == "backfill"] == ["success"]
    assert (loop.entries(), loop.n_published()) == before


def a_killed_task_is_found_and_tried_again(loop: Loop) -> None:
    """Airflow alone would leave it running for five minutes after its process is gone."""
    published = loop.n_published()
    run_id = f"{day(1).key}__killed"
    loop.airflow.trigger(
        MONITOR, run_id, {"window_start": day(1).start.isoformat(), "window_end": day(1).end.isoformat()}
    )
    killed, at = kill_a_task(loop, MONITOR, run_id)
    loop.await_run(MONITOR, run_id)
    tries = loop.tries(MONITOR, run_id, killed)
    assert [attempt["state"] for attempt in tries] == ["failed", "success"]
    assert datetime.fromisoformat(tries[1]["start_date"]) - at < timedelta(minutes=2)
    assert loop.n_published() == published


def kill_a_task(loop: Loop, dag_id: str, run_id: str) -> tuple[str, datetime]:
    """Kill the worker of the run's first task at work, with all its children; which task it was, and when."""
    end = time.monotonic() + RUN_WITHIN_S
    while time.monotonic() < end:
        instances = loop.instances(dag_id, run_id)
        tasks = {item["id"]: item["task_id"] for item in instances if item["state"] == "running"}
        for process in psutil.process_iter(["cmdline"]):
            title = " ".join(process.info["cmdline"] or ())
            if title.startswith("airflow worker") and (task := tasks.get(title.split()[-1])):
                for member in (process, *process.children(recursive=True)):
                    member.kill()
                return task, datetime.now(UTC)
    pytest.fail(f"{run_id} had no task at work")


def a_first_champion_is_trained_and_promoted(loop: Loop) -> None:
    for number in (2, 3):
        states = loop.monitor(day(number))
        if states["retrain"] == "success":
            break
    assert states["stay"] == states["halt"] == states["rollback"] == "skipped"
    decided = loop.entries("decision")[-1].payload["decision"]
    assert decided["action"] == "retrain"
    loop.await_run(RETRAIN, decided["retrain_run_id"])
    assert loop.alias("champion") == "1"
    assert loop.runtime.case(MODEL).state().champion == "1"
    assert [entry.reason for entry in loop.entries("retrain_outcome")] == ["version 1 promoted"]
    if number == 2:
        loop.monitor(day(3))


def a_broken_delivery_halts_red_and_says_why(loop: Loop) -> None:
    deliver(loop.home, MODEL, day(4), delivery(MODEL, day(4)).rename(columns={"alcohol": "alc"}))
    published = loop.n_published()
    states = loop.monitor(day(4), "broken", "failed")
    assert states["publish_predictions"] == "skipped"
    assert states["halt"] == "failed"
    assert {states[task] for task in ("measure_drift", "measure_performance", "settle_bake", "stay")} == {"skipped"}
    assert "alcohol" in loop.log(MONITOR, f"{day(4).key}__broken", "halt")
    assert "alcohol" in loop.entries("decision")[-1].reason
    assert loop.n_published() == published


def the_champion_passes_its_bake_on_mended_and_new_windows(loop: Loop) -> None:
    for number in (4, 5):
        deliver(loop.home, MODEL, day(number))
        states = loop.monitor(day(number), "whole")
        assert states["halt"] == "skipped"
    if loop.alias("stable") is None:
        deliver(loop.home, MODEL, day(6))
        loop.monitor(day(6), "whole")
    assert loop.alias("stable") == "1"
    assert loop.entries("bake")[-1].payload["outcome"] == "passed"


def a_candidate_that_fails_a_gate_is_a_result_and_no_error(loop: Loop) -> None:
    path = loop.runtime.settings.models_dir / MODEL / "model.yaml"
    declared = path.read_text(encoding="utf-8")
    path.write_text(declared.replace("min_holdout_rows: 50", "min_holdout_rows: 100000"), encoding="utf-8")
    states = loop.run(RETRAIN, "too_strict", {"reason": "how strict are the gates?"})
    path.write_text(declared, encoding="utf-8")
    assert (states["sign_off"], states["review"], states["promote"], states["conclude"]) == (
        *("success", "skipped", "skipped", "success"),
    )
    assert "100000" in loop.log(RETRAIN, "too_strict", "review")
    outcome = loop.entries("retrain_outcome")[-1].reason
    assert outcome.startswith("version 2 refused: ")
    assert "min_holdout_rows: labelled holdout rows" in outcome
    assert loop.alias("champion") == "1"


def a_retrain_that_can_not_be_made_is_red_and_says_why(loop: Loop) -> None:
    asked = {"reason": "before there was any data", "as_of": day(0).start.isoformat()}
    states = loop.run(RETRAIN, "too_early", asked, "failed")
    assert states["snapshot"] == states["conclude"] == "failed"
    assert "snapshot failed: TrainingError" in loop.entries("retrain_outcome")[-1].reason


def a_second_champion_waits_for_a_human(loop: Loop) -> None:
    run_id = "asked_for_by_the_cellar"
    loop.airflow.trigger(RETRAIN, run_id, {"reason": "a new vintage", "review": "manual"})
    wait_for(
        lambda: loop.airflow.task_states(RETRAIN, run_id).get("review") == "deferred",
        f"the review of {run_id}",
        deadline_s=RUN_WITHIN_S,
    )
    assert loop.alias("champion") == "1"
    assert loop.alias("challenger") == "3"
    loop.set_tag("3", "reviewer", "the cellar master")
    loop.set_tag("3", "signoff", "approved")
    loop.await_run(RETRAIN, run_id)
    assert loop.alias("champion") == "3"
    assert loop.entries("review")[-1].actor == loop.entries("promotion")[-1].actor == "the cellar master"


def a_human_takes_it_back(loop: Loop) -> None:
    states = loop.run(ROLLBACK, "it_tastes_of_cork", {"reason": "it tastes of cork"})
    assert states == {"roll_back": "success", "verify": "success"}
    assert loop.alias("champion") == "1"
    taken_back = loop.entries("rollback")[-1]
    assert (taken_back.version, taken_back.actor, taken_back.reason) == ("1", "admin", "it tastes of cork")
    assert loop.runtime.case(MODEL).state().rolled_back == {"3"}
