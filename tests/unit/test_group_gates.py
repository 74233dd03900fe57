"""Gates on groups: what is lost in one clinic, or unfair, is stopped, and what is not measured is no pass."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from logs import day
from perennial.config import ModelConfig, load_model
from perennial.contracts import Evaluation, FittedRun, Gate, Snapshot, from_record, to_record
from perennial.evidence.answers import Answers
from perennial.signoff.conditions.groups import slice_gate
from perennial.signoff.gates import judge
from perennial.training.baseline import Rival, against_champion, against_constant
from perennial.training.evaluate import evaluation_of
from perennial.training.measured.groups import columns_of, group_facts

TUMOUR = load_model(Path(__file__).parents[1] / "models" / "tumour_malignant")
N_ROWS, N_BLOCKS = 6000, 24
RNG = np.random.default_rng(11)
CLINICS = RNG.choice(["east", "north", "west"], N_ROWS)
HIDDEN = RNG.normal(size=N_ROWS)
LABELS = (RNG.random(N_ROWS) < 1 / (1 + np.exp(-2 * HIDDEN))).astype(np.int64)
RADIUS = RNG.uniform(8, 20, N_ROWS)
ROWS = pa.table(
    {
        "mean_radius": RADIUS,
        "mean_texture": RNG.uniform(10, 30, N_ROWS),
        "mean_smoothness": RNG.random(N_ROWS),
        "n_visits": RNG.integers(0, 9, N_ROWS),
        "clinic": CLINICS.astype(object),
        "screened": RNG.random(N_ROWS) < 0.5,
    }
)
FITTED = FittedRun(model=TUMOUR.model, mlflow_run_id="run", model_uri="", snapshot_id="s", n_train=9, cv={})
SNAPSHOT = Snapshot(
    snapshot_id="s",
    model=TUMOUR.model,
    as_of=day(9).end,
    train_uri="",
    holdout_uri="",
    digest="d",
    train=day(1),
    holdout=day(2),
    n_train=9,
    n_holdout=N_ROWS,
    holdout_label_coverage=1.0,
)


def declared(**signoff: Any) -> ModelConfig:
    whole = TUMOUR.model_dump()
    whole["signoff"] |= signoff
    return ModelConfig.model_validate(whole)


def answers(noise: np.ndarray | float, shift: np.ndarray | float = 0.0) -> Answers:
    """Scores of a model that sees what is hidden through so much ``noise``, shape (n,) or one for all."""
    seen = HIDDEN + noise * np.random.default_rng(5).normal(size=N_ROWS) + shift
    return Answers(labels=LABELS, scores=1 / (1 + np.exp(-2 * seen)), blocks=np.arange(N_ROWS) * N_BLOCKS // N_ROWS)


def judged(config: ModelConfig, mine: Answers, compared: Rival) -> dict[str, Gate]:
    columns = columns_of(config)
    rows = ROWS.select(list(columns)) if columns else None
    evaluation = evaluation_of(config, FITTED, SNAPSHOT, mine, compared, rows=rows)
    return gates_of(config, from_record(Evaluation, to_record(evaluation)))


def gates_of(config: ModelConfig, evaluation: Evaluation) -> dict[str, Gate]:
    return {gate.name: gate for gate in judge(config, evaluation, parity_gap=0.0, parity_detail="all scored")}


def versus(config: ModelConfig, mine: Answers, theirs: Answers) -> dict[str, Gate]:
    return judged(config, mine, against_champion(config, "1", mine, theirs))


SLICED = declared(slices={"columns": ["clinic", "screened"], "find": True, "min_rows": 300})


def test_a_candidate_better_overall_and_worse_in_one_clinic_is_stopped_by_the_gate_meant_for_it() -> None:
    mine, theirs = answers(np.where(CLINICS == "north", 1.8, 0.2)), answers(1.2)
    gates = versus(SLICED, mine, theirs)
    assert gates["versus_champion/roc_auc"].passed, "it is better overall"
    # of the rows themselves nothing was measured here
    failed = {name for name, gate in gates.items() if not gate.passed and not name.startswith("data/")}
    assert failed == {"slice/clinic", "slice/found"}
    assert gates["slice/clinic"].detail.startswith("clinic=north (")
    assert "none of 3 slices may lose more than 0.05" in gates["slice/clinic"].detail
    assert "clinic in north" in gates["slice/found"].detail


def test_a_slice_that_nobody_declared_is_found() -> None:
    mine, theirs = answers(np.where(RADIUS > 17, 2.0, 0.3)), answers(1.0)
    gates = versus(SLICED, mine, theirs)
    assert gates["slice/clinic"].passed
    assert not gates["slice/found"].passed
    assert gates["slice/found"].detail.startswith("mean_radius > 1")


def test_a_candidate_that_is_better_everywhere_keeps_its_slices() -> None:
    gates = versus(SLICED, answers(0.3), answers(1.0))
    assert all(gates[name].passed for name in ("slice/clinic", "slice/screened", "slice/found"))
    assert not any(gate.borderline for gate in gates.values())


def test_slices_of_equal_models_seldom_fail_however_many_there_are() -> None:
    """Twelve slices; each by its own 95 % would lose one of them in nearly half of the signoffs."""
    n_failed, rng = 0, np.random.default_rng(3)
    names = np.array([f"place{number}" for number in range(12)])
    whole = TUMOUR.model_dump()
    whole["features"]["clinic"]["categories"] = names.tolist()
    whole["signoff"]["slices"] = {"columns": ["clinic"], "min_rows": 100, "metric": "brier", "max_loss": 0.001}
    config = ModelConfig.model_validate(whole)
    for _ in range(60):
        rows = pa.table({"clinic": rng.choice(names, N_ROWS).astype(object)})
        mine, theirs = (
            replace(answers(0.0), scores=1 / (1 + np.exp(-HIDDEN - 0.5 * noise)))
            for noise in rng.normal(size=(2, N_ROWS))
        )
        compared = Rival(baseline="1", n_rows=N_ROWS, candidate={}, metrics={}, mine=mine, theirs=theirs)
        gains = group_facts(config, rows, mine, compared).slices["clinic"]
        n_failed += not slice_gate(config, "slice/clinic", gains, n_slices=12).passed
    assert n_failed <= 8, "5 % of 60 are 3; one time in 130 chance gives more than 8"


def test_a_slice_that_can_not_be_judged_fails_and_rows_that_say_little_are_borderline() -> None:
    scarce = versus(declared(slices={"columns": ["clinic"], "min_rows": 5000}), answers(0.3), answers(1.0))
    assert scarce["slice/clinic"].detail == "no value of clinic has 5000 rows new to both"
    assert not scarce["slice/clinic"].passed
    weak = versus(declared(slices={"columns": ["clinic"], "max_loss": 0.002}), answers(0.5), answers(0.5001))
    assert (weak["slice/clinic"].passed, weak["slice/clinic"].borderline) == (True, False), "they hardly differ"
    other = replace(answers(1.0), scores=answers(1.0).scores[::-1])
    blind = versus(declared(slices={"columns": ["clinic"], "max_loss": 0.002}), other, other)
    assert blind["slice/clinic"].passed


def test_what_nobody_measured_never_passes() -> None:
    config = declared(slices={"columns": ["clinic"]}, fairness={"columns": ["screened"]})
    mine = answers(0.3)
    evaluation = evaluation_of(config, FITTED, SNAPSHOT, mine, against_champion(config, "1", mine, answers(1.0)))
    gates = gates_of(config, evaluation)
    silent = {name: gate for name, gate in gates.items() if name.startswith(("slice", "fairness"))}
    assert len(silent) == 7
    assert not any(gate.passed for gate in silent.values())
    lost = Rival(baseline="1", n_rows=0, candidate={}, metrics={}, problem="champion 1 was deleted")
    gate = judged(config, mine, lost)["slice/clinic"]
    assert (gate.passed, gate.detail) == (False, "champion 1 was deleted")


FAIR = declared(fairness={"columns": ["clinic"], "bound": 0.1, "max_worsening": 0.05})


def test_an_unfair_candidate_is_stopped_by_the_gates_meant_for_it() -> None:
    mine = answers(0.3, np.where(CLINICS == "north", 0.8, 0.0))
    failed = {name for name, gate in versus(FAIR, mine, answers(1.0)).items() if not gate.passed}
    assert {"fairness/statistical_parity/clinic", "fairness/statistical_parity/clinic/vs_champion"} <= failed
    fair = versus(FAIR, answers(0.3), answers(1.0))
    assert [name for name, gate in fair.items() if name.startswith("fairness") and not gate.passed] == []


def test_a_champion_that_was_as_unfair_makes_no_worsening_and_excuses_no_bound() -> None:
    mine = answers(0.3, np.where(CLINICS == "north", 0.8, 0.0))
    gates = versus(FAIR, mine, mine)
    assert gates["fairness/statistical_parity/clinic/vs_champion"].passed
    assert not gates["fairness/statistical_parity/clinic"].passed


def test_a_first_version_is_held_to_the_bound_alone() -> None:
    mine = answers(0.3)
    gates = judged(FAIR, mine, against_constant(FAIR, mine, LABELS))
    assert [name for name in gates if name.startswith("fairness")] == [
        f"fairness/{measure}/clinic" for measure in ("statistical_parity", "equal_opportunity", "average_odds")
    ]


@pytest.mark.parametrize(
    ("key", "told", "word"),
    [
        ("slices", {"columns": ["mean_radius"]}, "signoff.slices.columns mean_radius"),
        ("fairness", {"columns": ["age"]}, "signoff.fairness.columns age"),
        ("slices", {"columns": ["clinic"], "metric": "rmse"}, "rmse"),
        ("slices", {"columns": ["clinic"], "metric": "log_loss"}, "signoff.slices.max_loss"),
    ],
)
def test_groups_that_can_not_be_told_apart_are_refused(key: str, told: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        declared(**{key: told})
