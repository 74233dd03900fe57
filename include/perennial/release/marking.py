"""What a version's page in MLflow says, from its promotion past its gates until its bake has passed."""

from perennial.contracts import PastGates
from perennial.contracts.tags import (
    MOST_CHARACTERS,
    PAST_GATES_TAG,
    REASON_TAG,
    REVIEWER_TAG,
    SECOND_TAG,
    SIGNOFF_TAG,
    named_now,
)
from perennial.registry import Registry
from perennial.registry.versions import describe_version, get_version, set_version_tags


def mark(registry: Registry, name: str, version: str, word: PastGates) -> None:
    """Say so in a tag, and before all else that the description says; the tags of a review follow their word.

    Twice changes nothing. Raises as the registry.
    """
    note, description = note_of(word), get_version(registry, name, version).description or ""
    answer = {SIGNOFF_TAG: "approved", REVIEWER_TAG: word.by[0], SECOND_TAG: word.by[1], REASON_TAG: word.reason}
    set_version_tags(registry, name, version, {PAST_GATES_TAG: str(word), **answer})
    if not description.startswith(note):
        describe_version(registry, name, version, (note + description)[:MOST_CHARACTERS])


def unmark(registry: Registry, name: str, version: str, word: PastGates) -> bool:
    """Take both away; False where neither was there. Raises as the registry."""
    found, note = get_version(registry, name, version), note_of(word)
    description = found.description or ""
    if not named_now(found.tags).get(PAST_GATES_TAG) and not description.startswith(note):
        return False
    describe_version(registry, name, version, description.removeprefix(note))
    set_version_tags(registry, name, version, {PAST_GATES_TAG: ""})
    return True


def note_of(word: PastGates) -> str:
    """The first paragraph of the description. Pure.

    >>> print(note_of(PastGates(gates=("slice/origin",), by=("ada", "bob"), reason="JFK is closed")).strip())
    > **Promoted past its failed gates slice/origin, by ada and bob: JFK is closed.** Its bake has not passed yet.
    """
    return f"> **Promoted {word}.** Its bake has not passed yet.\n\n"
