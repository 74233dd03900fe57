"""The laws of a review: nothing but a timely word on exactly what was signed off approves it."""

import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from branches import reached, reaches
from logs import day
from perennial.config import ModelConfig, ReviewPolicy
from perennial.contracts import Flag, ReleaseState, Signoff, from_record, to_record
from perennial.signoff.report.describing import describe
from perennial.signoff.review import Circumstances, answer_of, reviewers_of
from perennial.signoff.signing import review_mode
from signed import EVALUATION, WINE, signoff

DEADLINE = timedelta(hours=1)
SIGNED_AT = day(9).start


def found(
    tag: str | None = "pending", champion: str | None = "2", digest: str = "d", late_min: int = 0
) -> Circumstances:
    now = SIGNED_AT + DEADLINE + timedelta(minutes=late_min)
    entry = signoff().signoff_id
    tags = {"reviewer": "ada"} if tag is None else {"reviewer": "ada", "signoff": tag}
    return Circumstances(entry=entry, tags=tags, champion=champion, digest=digest * 64, since=SIGNED_AT, now=now)


@reaches(may_pass=0.04, by_word=0.01)
@given(
    tag=st.sampled_from([None, "", "pending", *["approved", "Approved "] * 3, "aproved", "rejected", "yes"]),
    champion=st.sampled_from(["2", "2", "2", "5", None]),
    digest=st.sampled_from(["d", "d", "d", "e"]),
    late_min=st.integers(-60, 60),
    passed=st.sampled_from([True, True, False]),
    review=st.sampled_from(["auto", "manual", "manual"]),
)
def test_only_a_timely_word_on_what_was_signed_off_approves(
    *, tag: str | None, champion: str | None, digest: str, late_min: int, passed: bool, review: str
) -> None:
    answer = answer_of(signoff(passed=passed, review=review), found(tag, champion, digest, late_min), deadline=DEADLINE)
    asked = review == "auto" or (tag in ("approved", "Approved ") and late_min <= 0)
    may_pass = passed and champion == "2" and digest == "d" and asked
    reached("may_pass", may_pass)
    reached("by_word", may_pass and review == "manual")
    assert (answer is not None and answer.verdict == "approved") == may_pass


def test_a_typing_error_waits_until_the_deadline_and_is_then_a_rejection() -> None:
    assert answer_of(signoff(), found("aproved"), deadline=DEADLINE) is None
    late = answer_of(signoff(), found("aproved", late_min=1), deadline=DEADLINE)
    assert late is not None
    assert (late.verdict, late.reviewer) == ("rejected", "deadline")


def test_an_approval_read_after_the_deadline_does_not_count() -> None:
    late = answer_of(signoff(), found("approved", late_min=1), deadline=DEADLINE)
    assert late is not None
    assert (late.verdict, late.reviewer) == ("rejected", "deadline")


def test_an_approval_of_another_signoff_of_the_version_does_not_count() -> None:
    answer = answer_of(signoff(), replace(found("approved"), entry="another"), deadline=DEADLINE)
    assert answer is not None
    assert (answer.verdict, answer.reviewer) == ("rejected", "policy")


def test_without_the_time_of_day_the_deadline_is_not_asked() -> None:
    timeless = replace(found("pending", late_min=60), now=None)
    assert answer_of(signoff(), timeless, deadline=DEADLINE) is None


def reviewed(**over: object) -> ModelConfig:
    """The model with other keys of ``signoff.review``."""
    policy = WINE.signoff.review.model_copy(update=over)
    return WINE.model_copy(update={"signoff": WINE.signoff.model_copy(update={"review": policy})})


@pytest.mark.parametrize(
    ("tags", "word", "why"),
    [
        ({"reviewer": "ada"}, "approved", ""),
        ({}, None, "tag reviewer is empty"),
        ({"reviewer": "  "}, None, "tag reviewer is empty"),
        ({"reviewer": "Auto"}, None, "is not a person's name"),
        ({"reviewer": " Grace  Hopper "}, None, "asked for this retrain"),
    ],
)
def test_an_approval_needs_the_name_of_somebody_who_did_not_ask_for_it(
    tags: dict[str, str], word: str | None, why: str
) -> None:
    asked = replace(signoff(), requested_by="grace hopper")
    reviewers = reviewers_of(WINE, asked)
    seen = replace(found("approved"), entry=asked.signoff_id, tags={"signoff": "approved", **tags})
    answer = answer_of(asked, seen, deadline=DEADLINE, reviewers=reviewers)
    assert (answer and answer.verdict) == word
    assert why in reviewers.missing(tags)
    assert bool(why) == bool(reviewers.missing(tags))


def test_whoever_asked_may_approve_where_the_declaration_says_so_and_is_told_where_not() -> None:
    asked = replace(signoff(), requested_by="ada")
    assert "ada asked for it and can not approve it" in describe(WINE, asked, EVALUATION)
    lone = reviewed(by_requester=True)
    assert reviewers_of(lone, asked).said(found("approved").tags) == "approved"
    assert "can not approve it" not in describe(lone, asked, EVALUATION)


def test_two_people_approve_together_and_one_rejects_alone() -> None:
    strict = reviewed(people=2)
    reviewers = reviewers_of(strict, signoff())
    assert "`reviewer` and `second_reviewer`" in describe(strict, signoff(), EVALUATION)

    def said(**tags: str) -> tuple[str, str] | None:
        seen = replace(found(), tags=tags)
        answer = answer_of(signoff(), seen, deadline=DEADLINE, reviewers=reviewers)
        return answer and (answer.verdict, answer.reviewer)

    assert said(signoff="approved", reviewer="ada") is None
    assert said(signoff="approved", reviewer="ada", second_reviewer="Ada") is None
    assert said(signoff="approved", reviewer="ada", second_reviewer="policy") is None
    assert said(signoff="approved", second_reviewer="bob") is None
    assert said(signoff="approved", reviewer="ada", second_reviewer="bob") == ("approved", "ada and bob")
    assert said(signoff="rejected", reviewer="bob") == ("rejected", "bob")
    assert said(signoff="rejected") == ("rejected", "unnamed reviewer")


def test_the_reviewers_reason_is_part_of_the_answer() -> None:
    tags = {"signoff": "approved", "reviewer": "ada", "signoff.reason": " looked at\n the slices "}
    answer = answer_of(signoff(), replace(found(), tags=tags), deadline=DEADLINE)
    assert answer is not None
    assert answer.reason == "tag signoff = approved: looked at the slices"


def test_the_stricter_review_mode_wins() -> None:
    calm, shaken = ReleaseState(model="m"), ReleaseState(model="m", released_since_rollback=False)
    assert review_mode(WINE, calm, None) == "auto"
    assert review_mode(WINE, calm, "manual") == "manual"
    assert review_mode(WINE, shaken, "auto") == "manual"
    assert review_mode(reviewed(mode="manual"), calm, "auto") == "manual"


def test_a_person_answers_for_the_first_version_unless_the_declaration_says_otherwise() -> None:
    undeclared = ReviewPolicy(mode="auto", deadline=DEADLINE)
    assert undeclared.first_version == "manual"
    strict = reviewed(first_version="manual")
    assert review_mode(strict, ReleaseState(model="m"), "auto") == "manual"
    assert review_mode(strict, ReleaseState(model="m", champion="1"), None) == "auto"


def test_borderline_asks_a_person_only_where_a_gate_could_not_have_seen_its_margin() -> None:
    serving = ReleaseState(model="m", champion="1")
    clear = signoff().gates
    unsure = (*clear, replace(clear[0], name="versus_champion/accuracy", borderline=True))
    careful = reviewed(mode="borderline")
    assert review_mode(careful, serving, None, (), clear) == "auto"
    assert review_mode(careful, serving, None, (), unsure) == "manual"
    assert review_mode(WINE, serving, None, (), unsure) == "auto", "the mode auto takes it"
    assert review_mode(careful, serving, "manual", (), clear) == "manual"


def test_the_reviewer_is_told_which_gates_are_borderline() -> None:
    gate = replace(signoff().gates[0], borderline=True)
    told = describe(WINE, replace(signoff(), gates=(gate,)), EVALUATION)
    assert "| metric/accuracy | passed, borderline |" in told
    assert "Passed on rows that could not have seen what was asked: metric/accuracy." in told
    with pytest.raises(ValueError, match="borderline at that"):
        replace(gate, passed=False)


def test_a_gate_of_before_borderline_is_read() -> None:
    record = to_record(signoff())
    for gate in record["gates"]:
        del gate["borderline"]
    assert from_record(Signoff, record) == signoff()


def test_the_table_tells_the_reviewer_what_was_judged_and_how_to_answer() -> None:
    told = describe(WINE, signoff(), EVALUATION)
    assert "| metric/accuracy | passed | 0.9 | 0.7 | accuracy 0.9 \\| keeps 0.7 |" in told
    assert "set `reviewer` to your name, and then `signoff` to `approved` or `rejected`" in told
    assert "within 1 h" in told
    assert "fitted on 2024-01-02 00:00 to 2024-01-03 00:00 UTC" in told
    assert "compared with champion version 2 on 180 of these rows" in told


@pytest.mark.parametrize(("n_gates", "n_flags"), [(1, 0), (20, 8), (30, 60), (300, 300)])
def test_a_description_fits_into_what_mlflow_keeps_whatever_there_is_to_say(n_gates: int, n_flags: int) -> None:
    gate, flag = signoff(passed=False).gates[0], Flag(name="flag/label_rate", window=day(1), detail="0.7 " * 90)
    gates = tuple(replace(gate, name=f"gate/{number}", detail="so it is " * 60) for number in range(n_gates))
    told = describe(WINE, replace(signoff(passed=False), gates=gates, flags=(flag,) * n_flags), EVALUATION)
    assert len(told) <= 5000
    if n_gates < 300:
        assert all(f"| {gate.name} | **FAILED** |" in told for gate in gates)
        assert ("- flag/label_rate" in told) == bool(n_flags)
        assert "artifact digest" in told


def test_polling_the_tag_imports_no_heavy_library() -> None:
    program = (
        "import sys; import perennial.signoff.answering.polling; "
        "print([name for name in ('mlflow', 'pandas', 'pyarrow', 'sklearn', 'sqlalchemy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
