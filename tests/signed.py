"""A signoff, and the evaluation that it judged, as tests of its words need them."""

from pathlib import Path

from logs import day
from perennial.config import load_model
from perennial.contracts import Evaluation, Gate, Signoff

WINE = load_model(Path(__file__).parent / "models" / "wine_cultivar")
EVALUATION = Evaluation(
    model=WINE.model,
    mlflow_run_id="run",
    n_rows=200,
    label_coverage=1.0,
    candidate={},
    baseline="2",
    baseline_metrics={},
    n_paired_rows=180,
)


def signoff(*, passed: bool = True, review: str = "manual") -> Signoff:
    gate = Gate(name="metric/accuracy", passed=passed, value=0.9, bound=0.7, detail="accuracy 0.9 | keeps 0.7")
    return Signoff(
        model=WINE.model,
        version="3",
        artifact_digest="d" * 64,
        champion_seen="2",
        gates=(gate,),
        passed=passed,
        review=review,  # type: ignore[arg-type]
        as_of=day(8).end,
        train=day(1),
        holdout=day(2),
    )
