"""The law of two people's word past failed gates: whatever tags say, it is theirs in full or it is none."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from branches import reached, reaches
from perennial.contracts import Gate, PastGates, Signoff, is_nobody
from perennial.contracts.tags import REASON_TAG, REVIEWER_TAG, SECOND_TAG, SIGNOFF_TAG
from perennial.signoff.answering.past_gates import flaw_in_tags
from perennial.signoff.answering.watching import found_in, says_past_gates
from perennial.signoff.report.describing import describe
from signed import EVALUATION, WINE, signoff

LOST = Gate(name="slice/cellar", passed=False, value=-0.2, bound=-0.05, detail="cellar=north loses 0.2")
SLOW = Gate(name="serving/single_p99_ms", passed=False, value=40.0, bound=10.0, detail="40 ms; 10 ms allowed")
ALTERED = Gate(name="parity", passed=False, value=None, bound=1e-9, detail="its files have another digest")
STALE = replace(ALTERED, value=0.2, detail="largest score difference 0.2")
UNSIGNED = Gate(name="serving/signature", passed=False, value=0.0, bound=1.0, detail="it carries no signature")
UNMEASURED = replace(SLOW, value=None, detail="no fresh process answered")
CLOSED = (ALTERED, STALE, UNSIGNED, UNMEASURED)

KNOWN = ["ada", "Ada ", "\uff41\uff44\uff41", "a\u200bda", "bob", "carol", "CAROL", "", " ", "\u200b", "auto", "Policy"]
NAMES = st.one_of(st.sampled_from(KNOWN), st.text(max_size=12))
TWO = st.tuples(st.sampled_from(KNOWN), st.sampled_from(KNOWN)).map(list)
OTHERS = st.permutations(["ada", "bob", "Dan "]).map(lambda names: names[:2])
REASONS = st.sampled_from(["the north cellar is closed", ".", "", "  ", "\n", "\u2060"])
OPEN = st.lists(st.sampled_from([LOST, SLOW]), min_size=1, unique_by=lambda gate: gate.name)
FAILED = st.lists(st.sampled_from([LOST, SLOW, *CLOSED]), max_size=3, unique_by=lambda gate: gate.name)


def failed_at(*gates: Gate) -> Signoff:
    return replace(signoff(passed=True), gates=(*signoff().gates, *gates), passed=not gates, requested_by="carol")


def looks_like(name: str) -> str:
    """Another way than the code's to say what is seen of a name: letters and digits alone, in plain lower case."""
    import unicodedata

    return "".join(one for one in unicodedata.normalize("NFKC", name).casefold() if one.isalnum())


@reaches(goes_past=0.01)
@given(
    by=OTHERS | TWO | st.lists(NAMES, max_size=3), reason=st.just("the north cellar is closed") | REASONS,
    gates=OPEN | FAILED, about=st.booleans(),
)  # fmt: skip
def test_what_goes_past_its_gates_has_two_other_peoples_names_a_reason_and_no_closed_gate(
    *, by: list[str], reason: str, gates: list[Gate], about: bool
) -> None:
    made = failed_at(*gates)
    word = PastGates(gates=tuple(gate.name for gate in (gates if about else gates[:-1])), by=tuple(by), reason=reason)
    if not reached("goes_past", not made.flaw_of(word)):
        return
    assert gates
    assert about
    assert not set(gates) & set(CLOSED)
    assert any(one.isprintable() and not one.isspace() for one in reason)
    first, second = by
    assert not {"carol"} & {looks_like(first), looks_like(second)}
    assert not is_nobody(first)
    assert not is_nobody(second)
    known = {"ada", "bob"}
    assert looks_like(first) != looks_like(second) or looks_like(first) not in known


@reaches(goes_past=0.02, closed=0.1)
@given(by=st.permutations(["ada", "Bob  Marley", "dan"]), gates=FAILED)
def test_two_people_with_a_reason_go_past_every_open_gate_and_less_of_them_past_none(
    by: list[str], gates: list[Gate]
) -> None:
    made, why = failed_at(*gates), "the north cellar is closed"
    word = PastGates(gates=tuple(gate.name for gate in gates), by=tuple(by[:2]), reason=why)
    reached("goes_past", not made.flaw_of(word))
    reached("closed", bool(set(gates) & set(CLOSED)))
    assert (made.flaw_of(word) == "") == (bool(gates) and not set(gates) & set(CLOSED))
    for less in (replace(word, by=word.by[:1]), replace(word, by=tuple(by)), replace(word, reason=" ")):
        assert made.flaw_of(less)


ALIKE = [
    ("ada", "ADA "),
    ("ada", "a\u200bda"),
    ("ada", "\uff41\uff44\uff41"),
    ("ada  lovelace", "Ada\u00a0Lovelace"),
    ("ada", "\u200b"),
    ("ada", " car\u00adol"),
    ("\uff30olicy", "ada"),
]


@pytest.mark.parametrize("by", ALIKE)
def test_names_are_compared_as_they_look(by: tuple[str, str]) -> None:
    word = PastGates(gates=("slice/cellar",), by=by, reason="the north cellar is closed")
    assert failed_at(LOST).flaw_of(word)
    assert failed_at(LOST).flaw_of(replace(word, by=("ada", "bob"))) == ""


def test_a_word_about_other_gates_is_none() -> None:
    word = PastGates(gates=("slice/cellar",), by=("ada", "bob"), reason="the north cellar is closed")
    assert "the word is about slice/cellar" in failed_at(LOST, SLOW).flaw_of(word)


@pytest.mark.parametrize("gate", CLOSED, ids=lambda gate: f"{gate.name}-{gate.value}")
def test_nobodys_word_goes_past_what_says_that_this_is_what_was_judged(gate: Gate) -> None:
    made = failed_at(LOST, gate)
    word = PastGates(gates=("slice/cellar", gate.name), by=("ada", "bob"), reason="it is urgent")
    assert f"can not be promoted past {gate.name}, whoever says so" in made.flaw_of(word)
    told = describe(WINE, made, EVALUATION)
    assert f"Nobody's word goes past {gate.name}" in told
    assert "past gates" not in told


TAGS = {SIGNOFF_TAG: "past gates", REVIEWER_TAG: "ada", SECOND_TAG: "bob", REASON_TAG: "the north cellar is closed"}


@pytest.mark.parametrize(
    ("over", "told"),
    [
        ({}, ""),
        ({SIGNOFF_TAG: " Past-Gates "}, ""),
        ({SIGNOFF_TAG: "past gate"}, "is not understood: write past gates"),
        ({SIGNOFF_TAG: "approved"}, "is not understood: write past gates"),
        ({SECOND_TAG: ""}, "tag second_reviewer is empty"),
        ({SECOND_TAG: " ADA"}, "is the first reviewer again"),
        ({REVIEWER_TAG: "Carol"}, "asked for this retrain"),
        ({SECOND_TAG: "policy"}, "is not a person's name"),
    ],
)
def test_tags_say_what_they_lack(over: dict[str, str], told: str) -> None:
    lacking = flaw_in_tags(failed_at(LOST), TAGS | over)
    assert told in lacking
    assert bool(told) == bool(lacking)


def test_reviewers_are_told_how_to_go_past_a_gate_and_who_may_not() -> None:
    told = describe(WINE, failed_at(LOST), EVALUATION)
    assert (
        "names in `reviewer` and `second_reviewer`, why in `signoff.reason`, and then `past gates` in `signoff`" in told
    )
    assert "neither of them carol who asked for it" in told
    assert "past gates" not in describe(WINE, signoff(), EVALUATION)


def test_what_asks_is_told_from_what_does_not() -> None:
    def version(number: str, **tags: str) -> dict[str, object]:
        return {"name": "wine", "version": number, "tags": [{"key": key, "value": tags[key]} for key in tags]}

    failed = {"version.gates": "failed"}
    asks = [
        version("2", signoff="Past gate", **failed),
        version("4", signoff="past gates", **{"perennial.gates": "failed"}),
    ]
    does_not = [version("1", signoff="failed", **failed), version("3"), version("5", signoff="past gates")]
    answer = {"model_versions": [*does_not, *asks]}
    assert found_in(answer, ["wine"]) == (("wine", "2"), ("wine", "4"))
    assert found_in(answer, []) == ()
    assert not says_past_gates("Past gate")
