"""What pages of the console are filled with: signals in every state and rows in quarantine, with hostile words."""

from dataclasses import replace

from sqlalchemy import insert

from logs import day
from perennial.config import ModelConfig
from perennial.contracts import Interval, Signal, SignalName, Window
from perennial.store import Store, schema

HOSTILE = "<script>alert('x')</script>"
N_WINDOWS = 6


def measured(config: ModelConfig, number: int) -> list[Signal]:
    interval = Interval(low=0.8, high=0.9, standard_error=0.02, n_rows=300, n_blocks=12, confidence=0.95)
    of_window = Signal(
        model=config.model, window=day(number), as_of=day(number).end, name="performance/accuracy", role="retrain",
        status="ok", value=0.85, threshold=0.7, version="2", interval=interval,
    )  # fmt: skip
    drift = replace(of_window, name=str(SignalName.drift("hue")), role="alert", interval=None, value=0.3, threshold=0.2)
    drift = replace(drift, status="breached" if number >= N_WINDOWS - 2 else "ok", detail=HOSTILE)
    north = replace(of_window, name="slice/accuracy/cellar=<north>", role="watch", value=0.75, detail=HOSTILE)
    apart = replace(north, name="fairness/statistical_parity/organic", value=0.12, threshold=0.1, status="undecided")
    looks = ((0.4, 0), (0.95, 2)) if number < N_WINDOWS - 1 else ((0.4, 0),)
    labels = [
        replace(of_window, name="label_coverage", role="watch", interval=None, value=share, threshold=0.9,
                as_of=day(number + later).end)
        for share, later in looks
    ]  # fmt: skip
    return [of_window, drift, north, apart, *labels]


def in_quarantine(store: Store, config: ModelConfig, window: Window, raw: str) -> None:
    """A published delivery of one row, and one beside it in quarantine."""
    batch = {
        "batch_id": f"{config.model}-{window.key}", "model": config.model, "source": "predictions",
        "window_start": window.start, "window_end": window.end, "status": "published", "n_staged": 2,
        "n_published": 1, "n_quarantined": 1, "staged": {},
    }  # fmt: skip
    with store.begin() as connection:
        seq = connection.execute(insert(schema.batches).values(batch).returning(schema.batches.c.seq)).scalar_one()
        row = {"batch_seq": seq, "row_number": 1, "reason": f"hue: '{raw}' is no number", "raw": raw}
        connection.execute(insert(schema.quarantine).values(row))
