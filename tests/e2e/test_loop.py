"""The whole loop through a real scheduler, a real PostgreSQL and a real MLflow, on a stack of its own.

One test, since every chapter stands on the one before: windows come in by schedule, by backfill and by hand; tasks
are killed, and while nobody has noticed yet, labels of a second model stop and the champion of a third is deleted; a
first champion is trained and promoted; a broken delivery halts and is mended; the champion passes its bake; a refused
candidate gets a forged approval; a second one waits for a human, who answers in the console; maintenance starts a
request that nobody ran, which was overtaken; a human takes the second champion back; and a hand moves its alias.
"""

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import httpx
import psutil
import pytest

from dag_files import declare
from demo.airflow import Airflow, wait_for
from logs import day, deliver, delivery
from perennial.contracts import RetrainRequest
from perennial.pipeline import loops
from perennial.registry import set_alias
from published import publish
from releases import made_stable, make_version
from running_loop import MAINTENANCE, MODEL, MONITOR, RETRAIN, ROLLBACK, RUN_WITHIN_S, Loop, running_loop
from servers import listeners, logged_in, temporary_stack
from stack.credentials import load
from stack.environment import ADMIN, REVIEWER

N_ROWS = 120
GUARD = f"{MODEL}__guard"
SILENT, ORPHANED = "diabetes_progress", "orphaned_wine"  # models whose labels stop, and whose champion is deleted
TRAINING = (  # a request is one that nobody runs two minutes after it was written
    "{train: 4d, holdout: 2d, min_train_rows: 100, cv_folds: 3, seed: 7, timeout: 2min, dispatch_after: 0min}"
)
SIGNOFF = (
    "{metrics: {accuracy: {min: 0.7}}, "
    "versus_champion: {metric: accuracy, min_gain: -0.2, rule: non_inferiority, margin: 0.3}, "
    "min_holdout_rows: 50, min_label_coverage: 0.9, max_parity_gap: 1.0e-9, "
    "review: {mode: auto, first_version: auto, deadline: 1h, poll_s: 0.5}}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """A task of a run, and when its worker was killed."""

    dag_id: str
    run_id: str
    task_id: str
    at: datetime


pytestmark = pytest.mark.xdist_group("airflow")  # one whole Airflow at a time is enough for two cores


@pytest.fixture
def loop() -> Iterator[Loop]:
    with temporary_stack() as layout:
        layout.prepare()
        for number in range(4):
            deliver(layout.home, MODEL, day(number))
        models = layout.home.with_name("models")
        declare(models, SILENT, template=SILENT, label="{delay: 6h, mature_share: 0.9, max_wait: 1d}")
        declare(models, ORPHANED, signoff=SIGNOFF)  # it reads the logs of the first model
        with running_loop(
            layout,
            schedule="{every: 1d, start: 2024-01-01T00:00:00Z, end: 2024-01-03T00:00:00Z, catchup: true}",
            signoff=f"{SIGNOFF}\nserving: {{poll_s: 1}}",
            training=TRAINING,
        ) as running:
            yield running


def test_the_whole_loop(loop: Loop) -> None:
    every_process_listens_on_loopback_only(loop)
    windows_come_in_by_schedule(loop)
    a_backfill_over_published_windows_changes_nothing(loop)
    silent, orphaned = loop.of(SILENT), loop.of(ORPHANED)
    killed = a_task_is_killed(loop, loop.trigger_monitor(day(1), "killed"), "running")
    in_the_dark = labels_stop(silent)
    killed_early = a_task_is_killed(silent, in_the_dark, "queued")
    without_champion = the_champion_is_deleted(orphaned)
    a_deleted_champion_halts_red_and_says_the_way_out(orphaned, without_champion)
    way_out = a_person_asks_for_a_champion(orphaned)
    a_killed_task_was_found_and_tried_again(loop, killed)
    a_first_champion_is_trained_and_promoted(loop)
    a_persons_promotion_is_the_way_out(orphaned, way_out)
    a_broken_delivery_halts_red_and_says_why(loop)
    the_console_shows_models_to_whoever_is_logged_in(loop)
    the_champion_passes_its_bake_on_mended_and_new_windows(loop)
    labels_that_stop_are_blind_red_and_no_stay(silent, in_the_dark)
    a_task_killed_before_it_ran_was_given_out_again(silent, killed_early)
    nobody_ran = a_request_that_nobody_runs(loop)
    a_candidate_that_fails_a_gate_is_a_result_and_no_error(loop)
    a_forged_approval_promotes_nothing(loop)
    a_retrain_that_can_not_be_made_is_red_and_says_why(loop)
    a_second_champion_waits_for_a_human(loop)
    maintenance_starts_what_nobody_ran_and_it_ends_as_overtaken(loop, nobody_ran)
    a_human_takes_it_back(loop)
    a_hand_that_moves_an_alias_is_noticed_at_once(loop)


def the_console_shows_models_to_whoever_is_logged_in(loop: Loop) -> None:
    root = str(loop.airflow.http.base_url).removesuffix("/api/v2/")
    token = loop.airflow.http.headers["authorization"]
    page = f"/perennial/models/{loop.model}"
    for path in ("/perennial/", page, f"/perennial/dags/{MONITOR}"):
        assert httpx.get(root + path).status_code == 401
        assert httpx.get(root + path, headers={"authorization": "Bearer forged"}).status_code in (401, 403)
        assert httpx.post(root + path, headers={"authorization": token}).status_code == 405
        shown = httpx.get(root + path, headers={"authorization": token}, timeout=30)
        assert shown.status_code == 200
        assert loop.model in shown.text
    assert "halted: a delivery is broken" in httpx.get(root + page, headers={"authorization": token}, timeout=30).text
    for path in ("/perennial/models/another", "/perennial/dags/another"):
        assert httpx.get(root + path, headers={"authorization": token}).status_code == 404


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


def labels_stop(loop: Loop) -> str:
    """Two days of logs came in as far as the case goes, the second without labels; a third one starts in Airflow."""
    for number in range(3):
        frame = delivery(SILENT, day(number))
        deliver(loop.home, SILENT, day(number), frame if number == 0 else frame.drop(columns="label"))
        if number < 2:
            assert loops.monitor(loop.case, day(number)).action == "stay"
    loop.airflow.unpause(f"{SILENT}__monitor")
    return loop.trigger_monitor(day(2))


def the_champion_is_deleted(loop: Loop) -> str:
    """The only version, stable for days, goes in MLflow; the next window starts in Airflow."""
    config, store, registry = loop.config, loop.runtime.store, loop.runtime.registry
    loop.case.prepare()
    version = make_version(config, registry, "stable for days")
    made_stable(config, version, None, -3, store=store, registry=registry)
    for number in range(3):
        publish(store, config, delivery(MODEL, day(number)))
    loop.case.verify()
    with logged_in(ADMIN, load(loop.layout.credentials_file).mlflow_admin_password):
        registry.client.delete_model_version(ORPHANED, version)
    loop.airflow.unpause(f"{ORPHANED}__monitor")
    return loop.trigger_monitor(day(3))


def a_task_is_killed(loop: Loop, run_id: str, state: str) -> Killed:
    """One whose worker has begun it (``running``), or has only just been given it (``queued``)."""
    dag_id = f"{loop.model}__monitor"
    end = time.monotonic() + RUN_WITHIN_S
    while time.monotonic() < end:
        for worker in psutil.process_iter(["cmdline"]):
            title = " ".join(worker.info["cmdline"] or ())
            if not title.startswith("airflow worker -- "):
                continue
            with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
                worker.suspend()  # so that nothing of it goes on while Airflow is asked
                instance = instance_of(loop, dag_id, run_id, title.split()[-1])
                if instance["state"] == state:
                    time.sleep(1)  # what it had said just before reaches Airflow
                    instance = instance_of(loop, dag_id, run_id, title.split()[-1])
                if instance["state"] == state:
                    for member in (*worker.children(recursive=True), worker):
                        member.kill()
                    return Killed(dag_id=dag_id, run_id=run_id, task_id=instance["task_id"], at=datetime.now(UTC))
                worker.resume()
    pytest.fail(f"{run_id} had no task that was {state}")


def instance_of(loop: Loop, dag_id: str, run_id: str, worker: str) -> dict[str, str]:
    """The task instance of a run that a worker has, as Airflow shows it."""
    return {item["id"]: item for item in loop.instances(dag_id, run_id)}.get(worker, {"state": "of another run"})


def labels_that_stop_are_blind_red_and_no_stay(loop: Loop, run_id: str) -> None:
    dag_id = f"{SILENT}__monitor"
    loop.await_run(dag_id, run_id, "failed")
    states = loop.airflow.task_states(dag_id, run_id)
    assert (states["decide"], states["blind"], states["stay"], states["retrain"]) == (
        *("success", "failed", "skipped", "skipped"),
    )
    told = (
        "blind since 2024-01-02: nothing is measured of that window or a later one, after 1d (label.max_wait): "
        "0 of 120 predictions of 2024-01-02 to 2024-01-03 have a label; find out why labels do not come, and have them "
        "delivered, then run this window again"
    )
    assert loop.entries("decision")[-1].reason.startswith(f"blind: {told}")
    assert f"EvidenceMissing: {told}" in loop.log(dag_id, run_id, "blind")
    assert len(loop.tries(dag_id, run_id, "blind")) == 1


def a_deleted_champion_halts_red_and_says_the_way_out(loop: Loop, run_id: str) -> None:
    dag_id = f"{ORPHANED}__monitor"
    loop.await_run(dag_id, run_id, "failed")
    states = loop.airflow.task_states(dag_id, run_id)
    assert (states["publish_labels"], states["halt"], states["stay"]) == ("success", "failed", "skipped")
    assert "version 1, which serves, was deleted in MLflow" in loop.log(dag_id, run_id, "open_window")
    told = (
        "version 1, the champion, was deleted in MLflow and can not be set back: let a person promote a new one "
        f"without a comparison (perennial run retrain {ORPHANED} --without-comparison --reason ...)"
    )
    assert told in loop.log(dag_id, run_id, "halt")
    assert told in loop.entries("decision")[-1].reason


def a_person_asks_for_a_champion(loop: Loop) -> str:
    """The run goes on while the first champion of another model is made."""
    run_id = "out_of_the_dead_end"
    asked = {"reason": "version 1 was deleted", "without_comparison": True}
    loop.airflow.trigger(f"{ORPHANED}__retrain", run_id, asked)
    return run_id


def a_persons_promotion_is_the_way_out(loop: Loop, run_id: str) -> None:
    dag_id = f"{ORPHANED}__retrain"
    version = answered_in_review(loop, dag_id, run_id, "the cellar master")
    loop.await_run(dag_id, run_id)
    assert loop.alias("champion") == loop.case.verify().champion == version != "1"
    waived = [gate["waived"] for gate in loop.entries("signoff")[-1].payload["signoff"]["gates"] if gate["waived"]]
    assert waived == ["admin: version 1 was deleted"]
    assert loop.entries("promotion")[-1].actor == "the cellar master"


def answered_in_review(loop: Loop, dag_id: str, run_id: str, reviewer: str) -> str:
    """Wait until a version is under review, approve it as a person does in MLflow, and return it."""
    version = under_review(loop, dag_id, run_id)
    loop.set_tag(version, "reviewer", reviewer)
    loop.set_tag(version, "signoff", "approved")
    return version


def under_review(loop: Loop, dag_id: str, run_id: str) -> str:
    """Wait until a version is, and return it."""
    wait_for(
        lambda: loop.airflow.task_states(dag_id, run_id).get("review") == "deferred",
        f"the review of {dag_id} {run_id}",
        deadline_s=RUN_WITHIN_S,
    )
    version = str(loop.entries("signoff")[-1].version)
    assert loop.alias("challenger") == version
    assert loop.alias("champion") != version
    return version


def a_killed_task_was_found_and_tried_again(loop: Loop, killed: Killed) -> None:
    """Airflow alone would leave it running for five minutes after its process is gone."""
    loop.await_run(killed.dag_id, killed.run_id)
    tries = loop.tries(killed.dag_id, killed.run_id, killed.task_id)
    assert [attempt["state"] for attempt in tries] == ["failed", "success"]
    assert datetime.fromisoformat(tries[1]["start_date"]) - killed.at < timedelta(minutes=2)
    # Airflow has its executor fail the task in the transaction that notes the time-out: one that is rolled back leaves
    # no note of it, and the task fails by what the executor reported
    told = loop.told(killed.dag_id, killed.run_id, killed.task_id, "heartbeat timeout")
    told |= loop.told(killed.dag_id, killed.run_id, killed.task_id, "state mismatch")
    said = ("Task did not emit heartbeat within time limit (30 seconds) and will be terminated.",
            "finished with state failed, but the task instance's state attribute is running.")  # fmt: skip
    assert told and all(any(words in one for words in said) for one in told), told
    assert loop.n_published() == 2 * N_ROWS


def a_task_killed_before_it_ran_was_given_out_again(loop: Loop, killed: Killed) -> None:
    """Airflow alone would leave it queued for ever: its executor can not take it back."""
    tries = loop.tries(killed.dag_id, killed.run_id, killed.task_id)
    assert [attempt["state"] for attempt in tries] == ["success"]
    assert datetime.fromisoformat(tries[0]["start_date"]) - killed.at > timedelta(minutes=1)
    assert loop.told(killed.dag_id, killed.run_id, killed.task_id, "stuck in queued reschedule") == {
        "Task was in queued state for longer than 120.0 seconds; task state will be set back to scheduled."
    }


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
    assert f"/dags/{RETRAIN}/runs/{quote(decided['retrain_run_id'])}/tasks/fit" in loop.made_by("1")
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
    states = loop.run(RETRAIN, "too_strict", {"reason": "how strict are the gates?", "anyway": True})
    path.write_text(declared, encoding="utf-8")
    assert (states["sign_off"], states["review"], states["promote"], states["conclude"]) == (
        *("success", "skipped", "skipped", "success"),
    )
    assert "100000" in loop.log(RETRAIN, "too_strict", "review")
    outcome = loop.entries("retrain_outcome")[-1].reason
    assert outcome.startswith("version 2 refused: ")
    assert "min_holdout_rows: labelled holdout rows" in outcome
    assert loop.alias("champion") == "1"


def a_forged_approval_promotes_nothing(loop: Loop) -> None:
    """Someone who may edit tags and DAG runs says that the refused version was reviewed, and has it promoted."""
    before = loop.case.state()
    forged = {"model": MODEL, "version": "2", "verdict": "approved", "reviewer": "mallory", "reason": "looks good"}
    for key, value in (("reviewer", "mallory"), ("signoff", "approved")):
        loop.set_tag("2", key, value)
    loop.mark_success(RETRAIN, "too_strict", "review", forged)
    loop.clear(RETRAIN, "too_strict", "promote", "conclude")
    loop.await_run(RETRAIN, "too_strict")
    states = loop.airflow.task_states(RETRAIN, "too_strict")
    assert (states["review"], states["promote"], states["conclude"]) == ("success", "skipped", "success")
    said = loop.log(RETRAIN, "too_strict", "promote")
    assert "version 2 rejected by policy: gates failed: " in said
    assert "min_holdout_rows" in said
    (answer,) = [entry for entry in loop.entries("review") if entry.version == "2"]
    assert (answer.actor, answer.payload["review"]["verdict"]) == ("policy", "rejected")
    assert loop.case.state() == before
    assert loop.alias("champion") == "1"


def a_retrain_that_can_not_be_made_is_red_and_says_why(loop: Loop) -> None:
    asked = {"reason": "before there was any data", "as_of": day(0).start.isoformat(), "anyway": True}
    states = loop.run(RETRAIN, "too_early", asked, "failed")
    assert states["snapshot"] == states["conclude"] == "failed"
    assert "snapshot failed: TrainingError" in loop.entries("retrain_outcome")[-1].reason


def a_request_that_nobody_runs(loop: Loop) -> RetrainRequest:
    """What a decision of that day writes; the run that was to make it is never started."""
    decided = RetrainRequest(
        model=MODEL, run_id="decided_under_version_1", as_of=day(5).end, cause="accuracy fell", requested_by="policy"
    )
    loop.case.ask(decided)
    return decided


def a_second_champion_waits_for_a_human(loop: Loop) -> None:
    run_id = "asked_for_by_the_cellar"
    loop.airflow.trigger(RETRAIN, run_id, {"reason": "a new vintage", "review": "manual"})
    assert under_review(loop, RETRAIN, run_id) == "3"
    approved_in_the_console(loop, "it tastes of cherries")
    loop.await_run(RETRAIN, run_id)
    review, promotion = loop.entries("review")[-1], loop.entries("promotion")[-1]
    assert (review.version, review.actor) == ("3", REVIEWER), "admin asked for it, and can not approve it"
    assert review.reason == "approved in Airflow: it tastes of cherries"
    assert review.payload["review"]["verified"]
    assert (promotion.version, promotion.actor) == ("3", REVIEWER)
    assert loop.alias("champion") == loop.case.verify().champion == "3"


def approved_in_the_console(loop: Loop, reason: str) -> None:
    """What a person who is logged in to Airflow does with the newest signoff: open its page, and send its form."""
    root = str(loop.airflow.http.base_url).removesuffix("/api/v2/")
    page = f"{root}/perennial/models/{MODEL}/reviews/{loop.entries('signoff')[-1].entry_id}"
    password = load(loop.layout.credentials_file).airflow_reviewer_password
    session = Airflow.login(root, REVIEWER, password).http.headers["authorization"].removeprefix("Bearer ")
    with httpx.Client(cookies={"_token": session}, headers={"origin": root}, timeout=60) as person:
        shown = person.get(page).raise_for_status().text
        assert f"You answer as <strong>{REVIEWER}</strong>" in shown
        (form,) = re.findall('name="token" value="([^"]+)"', shown)
        sent = {"answer": "approved", "reason": reason}
        assert person.post(page, data={**sent, "token": "forged"}).status_code == 403
        answered = person.post(page, data={**sent, "token": form}, follow_redirects=True).raise_for_status().text
        assert f"approved</span> by {REVIEWER}, under their own login" in answered


def maintenance_starts_what_nobody_ran_and_it_ends_as_overtaken(loop: Loop, nobody_ran: RetrainRequest) -> None:
    queued = nobody_ran.run_id
    wait_for(
        lambda: len(loop.case.unattended(now=datetime.now(UTC))) == 1,
        "the request to be one that nobody seems to run",
        deadline_s=RUN_WITHIN_S,
    )
    loop.airflow.unpause(MAINTENANCE)
    states = loop.run(MAINTENANCE, "by_hand", {})
    assert set(states.values()) <= {"success", "skipped"}, states  # skipped: the scheduled run was there before
    runs = loop.airflow.http.get(f"/dags/{MAINTENANCE}/dagRuns").json()["dag_runs"]
    searched = [  # one that came due meanwhile may not have tried yet, and one that waited too long has no first log
        (run["dag_run_id"], "open_requests", task["try_number"])
        for run in runs
        for task in loop.instances(MAINTENANCE, run["dag_run_id"])
        if (task["task_id"], task["state"]) == ("open_requests", "success") and task["try_number"]
    ]
    said = [loop.log(MAINTENANCE, *tried) for tried in searched]
    assert any(f"nobody ran the request {queued}: accuracy fell" in log for log in said)
    loop.await_run(RETRAIN, queued)
    states = loop.airflow.task_states(RETRAIN, queued)
    assert states.pop("tell") == "success"
    assert set(states.values()) == {"skipped"}
    told = "overtaken: requested while version 1 was champion, and version 3 is champion now"
    assert told in loop.log(RETRAIN, queued, "open_request")
    outcome = loop.entries("retrain_outcome")[-1]
    assert (outcome.payload["run_id"], outcome.payload["ended"], outcome.reason) == (queued, "overtaken", told)
    assert loop.alias("champion") == "3"


def a_human_takes_it_back(loop: Loop) -> None:
    states = loop.run(ROLLBACK, "it_tastes_of_cork", {"reason": "it tastes of cork"})
    assert states == {"roll_back": "success", "verify": "success", "tell": "success"}
    assert loop.alias("champion") == "1"
    taken_back = loop.entries("rollback")[-1]
    assert (taken_back.version, taken_back.actor, taken_back.reason) == ("1", "admin", "it tastes of cork")
    assert loop.runtime.case(MODEL).state().rolled_back == {"3"}


def a_hand_that_moves_an_alias_is_noticed_at_once(loop: Loop) -> None:
    known = len(loop.entries("integrity"))
    set_alias(loop.runtime.registry, MODEL, "champion", "3")
    wait_for(lambda: len(loop.entries("integrity")) > known, "the moved alias in the ledger", deadline_s=60)
    found = loop.entries("integrity")[-1]
    assert (found.payload["alias"], found.payload["found"], found.payload["ledger"]) == ("champion", "3", "1")
    runs = loop.airflow.http.get(f"/dags/{GUARD}/dagRuns", params={"order_by": "-run_after"}).json()["dag_runs"]
    newest = next(run["dag_run_id"] for run in runs if run["run_type"] == "asset_triggered")
    loop.await_run(GUARD, newest)
    assert "someone moved the alias by hand" in loop.log(GUARD, newest, "look")
