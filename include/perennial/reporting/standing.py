"""Where a model stands, in plain words, and how urgent that is. Pure."""

from dataclasses import dataclass

from perennial.pipeline.timeline import Status


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """``urgency`` is 0 for what needs somebody now; ``mark`` is ``bad``, ``odd`` or ``good``, as pages colour it."""

    urgency: int
    words: str
    mark: str


def standing(status: Status, *, n_reviews: int = 0, n_breached: int = 0) -> Mark:
    """The most urgent thing that is to be said of a model, which has ``n_reviews`` waiting for a person, and as many
    signals that act breached in its newest window.

    >>> from dataclasses import replace
    >>> status = Status(model="m", champion="2", champion_since=None, in_bake=False, stable="2", rolled_back=(),
    ...     open_holds=(), last_window=None, last_action="stay", last_reasons=())
    >>> standing(status).words
    'in order'
    >>> standing(replace(status, last_action="halt", in_bake=True)).words
    'halted: a delivery is broken, and was not published'
    >>> standing(replace(status, champion=None)).words
    'no champion yet'
    >>> standing(status, n_reviews=1, n_breached=2).words
    'a candidate waits for its review'
    """
    found = [
        (status.last_action == "halt", Mark(0, "halted: a delivery is broken, and was not published", "bad")),
        (status.last_action == "blind", Mark(0, "blind: what would judge it does not come", "bad")),
        (n_reviews > 0, Mark(1, "a candidate waits for its review", "odd")),
        (bool(status.open_holds), Mark(1, "on hold after a rollback: acknowledge it for retrains to go on", "bad")),
        (status.past_gates is not None, Mark(2, "in office past a failed gate, until its bake has passed", "odd")),
        (status.last_action == "rollback", Mark(2, "rolled back", "odd")),
        (n_breached > 0, Mark(3, "out of bounds in its newest window", "odd")),
        (status.last_action == "retrain", Mark(3, "a retrain was asked for", "odd")),
        (status.shared is not None, Mark(3, "a new version answers a share of the requests", "odd")),
        (status.in_bake, Mark(4, "on probation: its champion is in its bake", "odd")),
        (status.champion is None, Mark(5, "no champion yet", "odd")),
    ]
    return next((one for holds, one in found if holds), Mark(9, "in order", "good"))
