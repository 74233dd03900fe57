"""``<model>__retrain``: a candidate is made, judged, and promoted if it is better. Started by a decision or by hand."""

from airflow.sdk import chain

from perennial.orchestration.canary import CanarySensor
from perennial.orchestration.dag import model_dag
from perennial.orchestration.declared import declared_models
from perennial.orchestration.forms import retrain_form
from perennial.orchestration.links import linked
from perennial.orchestration.review import ReviewSensor
from perennial.orchestration.tasks import retrain, telling

fit_pool = retrain.fit_pool()
for config in declared_models():
    model = config.model
    # a run that waits for its reviewer keeps no other one from making its candidate
    with model_dag(config, "retrain", params=retrain_form(), max_active_runs=retrain.RUNS_AT_ONCE):
        request = retrain.open_request(model)
        frozen = retrain.snapshot(model, request)
        fit = retrain.fit.override(execution_timeout=retrain.fit_timeout(config), pool=fit_pool)
        fitted = fit(model, request, frozen)
        evaluation = retrain.evaluate(model, fitted, frozen)
        candidate = linked(retrain.register(model, fitted, frozen))
        signoff = linked(retrain.sign_off(model, request, candidate, evaluation, frozen))
        # one that waits counts as active, and would keep the next candidate from its own review
        review = ReviewSensor(
            task_id="review",
            task_display_name="Review",
            model=model,
            signoff=signoff,
            max_active_tis_per_dag=retrain.RUNS_AT_ONCE,
        )
        # by shares of the requests, where model.yaml says so
        shares = [CanarySensor(model=model, signoff=signoff)] if config.release.by_shares else []
        release = linked(retrain.promote(model, request, signoff))
        outcome = retrain.conclude(model, request)

        chain(request, frozen, fitted, evaluation, candidate, signoff, review, *shares, release, outcome)
        verified = retrain.verify(model)  # the request ended well, whatever requests are answered by
        [release, outcome] >> verified >> telling.tell(model, "retrain").as_teardown()
