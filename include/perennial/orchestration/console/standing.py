"""Where a model stands, in plain words, and how urgent that is. Pure."""

from dataclasses import dataclass

from perennial.pipeline.health.overview import Health


@dataclass(frozen=True, slots=True, order=True)
class Standing:
    """``urgency`` is 0 for what needs somebody now; ``mark`` is ``bad``, ``odd`` or ``good``, as pages colour it."""

    urgency: int
    words: str
    mark: str


def standing(health: Health) -> Standing:
    """The most urgent thing that is to be said of a model.

    >>> from dataclasses import replace
    >>> from perennial.pipeline.timeline import Status
    >>> status = Status(model="m", champion="2", champion_since=None, in_bake=False, stable="2", rolled_back=(),
    ...     open_holds=(), last_window=None, last_action="stay", last_reasons=())
    >>> health = Health(status=status, metric="r2", quality=(), worst=None, n_breached=0, gain=None, open_reviews=(),
    ...     n_blind=0)
    >>> standing(health).words
    'in order'
    >>> standing(replace(health, status=replace(status, last_action="halt", in_bake=True))).words
    'halted: a delivery is broken, and was not published'
    >>> standing(replace(health, open_reviews=(signed,), n_breached=2)).words
    'a candidate waits for its review'
    """
    status = health.status
    found = [
        (status.last_action == "halt", Standing(0, "halted: a delivery is broken, and was not published", "bad")),
        (status.last_action == "blind", Standing(0, "blind: what would judge it does not come", "bad")),
        (bool(health.open_reviews), Standing(1, "a candidate waits for its review", "odd")),
        (bool(status.open_holds), Standing(1, "on hold after a rollback: acknowledge it for retrains to go on", "bad")),
        (status.past_gates is not None, Standing(2, "in office past a failed gate, until its bake has passed", "odd")),
        (status.last_action == "rollback", Standing(2, "rolled back", "odd")),
        (health.n_breached > 0, Standing(3, "out of bounds in its newest window", "odd")),
        (status.last_action == "retrain", Standing(3, "a retrain was asked for", "odd")),
        (status.in_bake, Standing(4, "on probation: its champion is in its bake", "odd")),
        (status.champion is None, Standing(5, "no champion yet", "odd")),
    ]
    return next((told for holds, told in found if holds), Standing(9, "in order", "good"))
