"""The edges, as law: what may not run before what, and what a reader of the grid finds."""

from datetime import timedelta
from itertools import chain, pairwise
from types import SimpleNamespace

import pytest

from dag_files import declare

MEASURES = ("measure_drift", "measure_quality", "measure_performance")
BRANCHES = ("stay", "halt", "blind", "rollback", "retrain")


@pytest.fixture
def dags(models_dir, parse):
    declare(models_dir, "wine_cultivar")
    return {name.partition("__")[2]: dag for name, dag in parse().dags.items()}


def ahead(dag, task_id):
    """Every task that must be over before this one."""
    return dag.get_task(task_id).get_flat_relative_ids(upstream=True)


@pytest.mark.parametrize("source", ["predictions", "labels"])
def test_write_then_audit_then_publish(dags, source):
    monitor = dags["monitor"]
    assert f"stage_{source}" in ahead(monitor, f"audit_{source}")
    assert f"audit_{source}" in ahead(monitor, f"publish_{source}")
    assert ahead(monitor, f"stage_{source}") == {"open_window"}


@pytest.mark.parametrize("measure", MEASURES)
def test_nothing_is_measured_unless_the_logs_it_needs_are_published(dags, measure):
    """Halted labels stop what needs labels, and nothing else."""
    task = dags["monitor"].get_task(measure)
    needed = {"publish_predictions"} | ({"publish_labels"} if measure == "measure_performance" else set())
    assert {name for name in task.upstream_task_ids if name.startswith("publish")} == needed
    assert task.trigger_rule == "all_success"


def test_labels_are_matched_after_the_predictions_are_in(dags):
    assert "publish_predictions" in dags["monitor"].get_task("publish_labels").upstream_task_ids


def test_the_decision_waits_for_everything_and_outlives_a_halt_but_no_failure(dags):
    monitor = dags["monitor"]
    decide = monitor.get_task("decide")
    everything = set(monitor.task_dict) - {"decide", "draw_drift", "tell", *BRANCHES}
    assert ahead(monitor, "decide") == everything
    # a halted batch skips the measures at once: the decision must wait for the publishing itself
    # and halted labels skip the bake at once: it must wait for what is measured without them, too
    assert {"settle_bake", "publish_labels", "measure_drift", "measure_quality"} <= decide.upstream_task_ids
    assert decide.trigger_rule == "none_failed"
    assert decide.downstream_task_ids == set(BRANCHES)


def test_the_page_is_drawn_of_what_was_measured_and_no_decision_waits_for_it(dags):
    page = dags["monitor"].get_task("draw_drift")
    assert page.upstream_task_ids == {"open_window", "measure_drift"}
    assert page.downstream_task_ids == {"tell"}
    assert page.trigger_rule == "none_failed"


def test_of_what_is_measured_the_longest_is_given_out_first(dags):
    monitor = dags["monitor"]

    def weight(name):  # as Airflow's rule "downstream" adds it up
        task = monitor.get_task(name)
        after = task.get_flat_relative_ids(upstream=False)
        return task.priority_weight + sum(monitor.get_task(other).priority_weight for other in after)

    assert monitor.get_task("measure_gain").weight_rule == "downstream"
    assert weight("measure_gain") > max(map(weight, (*MEASURES, "draw_drift")))


def test_a_bake_is_settled_before_the_decision_and_after_every_measure(dags):
    assert set(MEASURES) <= dags["monitor"].get_task("settle_bake").upstream_task_ids


def test_no_promotion_without_gates_and_review(dags):
    retrain = dags["retrain"]
    order = ["open_request", "snapshot", "fit", "evaluate", "register", "sign_off", "review", "promote"]
    for earlier, later in pairwise(order):
        assert earlier in retrain.get_task(later).upstream_task_ids
    assert retrain.get_task("promote").trigger_rule == "all_success"
    assert retrain.get_task("review").trigger_rule == "all_success"


def test_the_outcome_is_recorded_whatever_happened_and_decides_the_colour_of_the_run(dags):
    retrain = dags["retrain"]
    assert ends(retrain) == {"verify"}
    assert retrain.get_task("conclude").trigger_rule == "all_done"
    assert ahead(retrain, "conclude") == set(retrain.task_dict) - {"conclude", "verify", "tell"}


def ends(dag):
    """The tasks that decide the colour of a run: Airflow's rule for leaves before a teardown."""
    asks = {task.task_id for task in dag.tasks if not task.is_teardown or task.on_failure_fail_dagrun}
    return {name for name in asks if not dag.get_task(name).downstream_task_ids & asks}


@pytest.mark.parametrize(("kind", "colour"), [("monitor", {*BRANCHES, "draw_drift"}), ("rollback", {"verify"})])
def test_who_has_to_know_is_told_at_the_end_whatever_happened_and_that_decides_no_colour(dags, kind, colour):
    for one in (kind, "retrain"):
        tell = dags[one].get_task("tell")
        assert tell.is_teardown
        assert ahead(dags[one], "tell") == set(dags[one].task_dict) - {"tell"}
    assert ends(dags[kind]) == colour


def test_the_maintenance_is_red_while_a_channel_takes_nothing(dags):
    told = dags["maintenance"].get_task("tell_all")
    assert told.is_teardown
    assert told.on_failure_fail_dagrun
    assert ahead(dags["maintenance"], "tell_all") == set(dags["maintenance"].task_dict) - {"tell_all"}


def test_shares_are_answered_between_review_and_promotion_where_model_yaml_asks(dags, models_dir, parse):
    assert "canary" not in dags["retrain"].task_dict
    with declare(models_dir, "cautious").open("a", encoding="utf-8") as declared:
        declared.write("release: {strategy: canary}\n")
    retrain = parse().dags["cautious__retrain"]
    assert retrain.get_task("canary").upstream_task_ids == {"review", "sign_off"}
    assert retrain.get_task("canary").trigger_rule == retrain.get_task("promote").trigger_rule == "all_success"
    assert "canary" in retrain.get_task("promote").upstream_task_ids
    assert retrain.get_task("canary").max_active_tis_per_dag == 1, "one canary after the other"


def test_a_release_is_verified_and_a_service_that_is_behind_changes_no_outcome(dags):
    assert dags["rollback"].get_task("verify").upstream_task_ids == {"roll_back"}
    assert dags["retrain"].get_task("verify").upstream_task_ids == {"promote", "conclude"}
    assert dags["retrain"].get_task("verify").trigger_rule == "all_success"


def test_a_retrain_request_is_triggered_once_and_not_waited_for(dags):
    trigger = dags["monitor"].get_task("retrain")
    assert trigger.trigger_dag_id == "wine_cultivar__retrain"
    assert trigger.skip_when_already_exists
    assert not trigger.wait_for_completion
    assert trigger.logical_date is None


def test_a_run_that_waits_for_its_reviewer_keeps_no_other_from_its_steps(dags):
    retrain = dags["retrain"]
    assert retrain.max_active_runs > 1
    at_once = {task.task_id: task.max_active_tis_per_dag for task in retrain.tasks}
    assert at_once.pop("review") == retrain.max_active_runs, "a deferred review counts as active in Airflow"
    assert set(at_once.values()) == {1}


def test_fits_share_the_pool_that_the_settings_name(models_dir, parse, monkeypatch):
    declare(models_dir, "wine_cultivar")
    pools = {task.task_id: task.pool for task in parse().dags["wine_cultivar__retrain"].tasks}
    assert set(pools.values()) == {"default_pool"}
    monkeypatch.setenv("PERENNIAL_FIT_POOL", "fit")
    changed = {task.task_id: task.pool for task in parse().dags["wine_cultivar__retrain"].tasks}
    assert changed == {**pools, "fit": "fit"}
    assert [task.pool for task in parse().dags["wine_cultivar__backtest"].tasks] == ["fit"]


@pytest.mark.parametrize("task_id", ["dispatch", "run_again"])
def test_what_nobody_ran_is_started_under_its_own_id_and_not_twice(dags, task_id):
    dispatch = dags["maintenance"].get_task(task_id)
    assert dispatch.partial_kwargs["skip_when_already_exists"]
    assert dispatch.partial_kwargs["logical_date"] is None
    assert "wait_for_completion" not in dispatch.partial_kwargs


def test_a_task_that_is_stuck_in_the_queue_can_be_queued_again():
    from airflow.models.taskinstancekey import TaskInstanceKey

    from perennial.orchestration.executor import RevokingLocalExecutor

    key, other = (TaskInstanceKey("m__retrain", task, "r1", 1, -1) for task in ("fit", "evaluate"))
    executor = RevokingLocalExecutor(parallelism=2)
    executor.running |= {key, other}
    executor.queued_tasks[key] = object()
    for _ in range(2):  # it may be asked again, and must not raise
        executor.revoke_task(ti=SimpleNamespace(key=key))
    assert (executor.running, dict(executor.queued_tasks)) == ({other}, {})
    assert executor.slots_available == 1


def test_every_dag_says_what_it_is_and_only_retrains_overlap(dags):
    for kind, dag in dags.items():
        assert (dag.max_active_runs == 1) == (kind != "retrain")
        assert dag.tags
        assert dag.description
        assert dag.doc_md
    assert "accuracy at least 0.7" in dags["monitor"].doc_md
    assert dags["monitor"].owner == "cellar"


def test_every_task_is_named_for_a_person_retries_with_growing_pauses_and_ends_in_time(dags):
    for task in chain.from_iterable(dag.tasks for dag in dags.values()):
        assert task.task_display_name != task.task_id
        assert task.execution_timeout is not None
        pauses = [task.retry_delay * task.retry_exponential_backoff**n for n in range(task.retries)]
        an_outage = timedelta(minutes=5)
        assert not pauses if task.task_id in ("halt", "blind") else sum(pauses, timedelta()) > an_outage


@pytest.mark.parametrize(
    ("kind", "form", "accepted"),
    [
        ("monitor", {}, True),
        ("monitor", {"window_start": "2024-01-01T00:00:00Z", "window_end": "2024-01-02T00:00:00+00:00"}, True),
        ("monitor", {"window_start": 20130101}, False),
        ("retrain", {}, True),
        ("retrain", {"as_of": "2024-01-05T00:00:00Z", "reason": "new vineyard", "review": "manual"}, True),
        ("retrain", {"review": "whenever"}, False),
        ("retrain", {"reason": ""}, False),
        ("rollback", {"reason": "customers complain"}, True),
        ("rollback", {"reason": "customers complain", "version": "3"}, True),
        ("rollback", {"version": "3"}, False),
        ("backtest", {}, True),
        ("backtest", {"policies": {"dear": {"signals": {"gain": {"price": 0.03}}}}, "people": "absent"}, True),
        ("backtest", {"policies": {"dear": 0.03}}, False),
        ("backtest", {"people": "sometimes"}, False),
    ],
)
def test_a_form_takes_what_makes_sense_and_refuses_the_rest(dags, kind, form, accepted):
    from airflow.sdk.exceptions import ParamValidationError

    params = dags[kind].params
    if accepted:
        assert filled_in(params, form).keys() >= form.keys()
    else:
        with pytest.raises(ParamValidationError):
            filled_in(params, form)


def filled_in(params, form):
    params.update(form)
    return params.validate()


def test_the_upkeep_looks_after_files_reviews_and_releases(dags):
    upkeep = dags["maintenance"]
    alone = {"sweep", "list_again", "expire_reviews", "check_releases", "prove_ledger", "open_requests"}
    assert set(upkeep.task_dict) == alone | {"run_again", "dispatch", "tell_all"}
    assert all(not upkeep.task_dict[name].upstream_task_ids for name in alone), "what befalls one keeps no other back"
    assert upkeep.task_dict["dispatch"].upstream_task_ids == {"open_requests"}
    assert upkeep.task_dict["run_again"].upstream_task_ids == {"list_again"}


def test_a_shadow_is_taken_in_where_one_is_declared_and_nothing_waits_for_it(models_dir, parse, dags):
    assert "take_shadow" not in dags["monitor"].task_dict
    files = "{kind: files, format: jsonl, uri: '{home}/%s/{start:%%Y-%%m-%%d}/*.jsonl'}"
    sources = ", ".join(f"{source}: {files % source}" for source in ("predictions", "labels", "shadow"))
    declare(models_dir, "shadowed", sources=f"{{{sources}}}")
    take = parse().dags["shadowed__monitor"].get_task("take_shadow")
    assert take.downstream_task_ids == {"tell"}
    assert take.trigger_rule == "none_failed"


def test_a_model_that_is_served_is_guarded_every_few_minutes_and_when_an_alias_moves_and_no_other(models_dir, parse):
    path = declare(models_dir, "wine_cultivar")
    assert "wine_cultivar__guard" not in parse().dags
    rules = "serving: {poll_s: 7}\nrelease: {guards: {every: 2min}}\n"
    path.write_text(f"{path.read_text(encoding='utf-8')}{rules}", encoding="utf-8")
    dag = parse().dags["wine_cultivar__guard"]
    assert dag.timetable.timetable.delta == timedelta(minutes=2)
    (asset,) = dag.timetable.asset_condition.objects
    (watcher,) = asset.watchers
    assert watcher.trigger.serialize()[1] == {"model": "wine_cultivar", "poll_s": 7.0}
    assert dag.max_active_runs == 1
    assert not dag.catchup
    assert ahead(dag, "tell") == {"look"}
    assert ends(dag) == {"look"}
