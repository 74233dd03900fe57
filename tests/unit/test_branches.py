"""A property that never reaches its branch fails, however well it holds."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from branches import reached, reaches


def law(numbers: st.SearchStrategy[int], **least: float) -> None:
    """Holds of every number, and is about those from fifty on; odd ones are given up."""

    @reaches(**least)
    @settings(max_examples=20)
    @given(numbers)
    def large_ones_are_large(number: int) -> None:
        if reached("large", number >= 50):
            assert number > 49
        assume(number % 2 == 0)

    large_ones_are_large()


def test_what_reaches_its_branch_often_enough_holds() -> None:
    law(st.integers(0, 99), large=0.1)
    law(st.sampled_from([8, 51]), large=0)


@pytest.mark.parametrize("narrow", [st.integers(0, 49), st.sampled_from([8, 51, 53])])
def test_what_never_reaches_it_fails_and_so_does_what_is_given_up_there(narrow: st.SearchStrategy[int]) -> None:
    with pytest.raises(AssertionError, match=r"large: 0 of \d+ examples, at least 10% asked"):
        law(narrow, large=0.1)


def test_a_branch_that_nobody_declared_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match="reached and not declared: large"):
        law(st.just(98), small=0)
