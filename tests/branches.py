"""Properties that say which branch they are about, and fail where too few of their examples reach it.

What never reaches the branch can not fail in it, and looks like any law that holds. Examples are the same every time
(tests/conftest.py), and so is how many get there.
"""

from collections import Counter
from collections.abc import Callable
from functools import wraps
from typing import Any

import hypothesis

_reached: set[str] = set()
"""The branches that the example which runs now has reached."""


def reached(branch: str, holds: bool = True) -> bool:
    """Whether it ``holds``: what leads to a branch that :func:`reaches` declares, to be counted where it does."""
    if holds:
        _reached.add(branch)
        hypothesis.event(f"reached {branch}")
    return holds


def reaches(**least: float) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Of a property: which share of its examples reaches each branch, at least. Stands above ``@given``.

    An example that is given up (``assume``) counts for nothing. ``reached`` takes these branches and no other.
    """

    def decorated(law: Callable[..., None]) -> Callable[..., None]:
        counted, n_examples = Counter[str](), Counter[str]()
        inner = law.hypothesis.inner_test  # type: ignore[attr-defined]

        @wraps(inner)
        def example(*given: Any, **named: Any) -> None:
            _reached.clear()
            inner(*given, **named)
            counted.update(_reached)
            n_examples["all"] += 1

        law.hypothesis.inner_test = example  # type: ignore[attr-defined]

        @wraps(law)
        def whole(*given: Any, **named: Any) -> None:
            counted.clear()
            n_examples.clear()
            law(*given, **named)
            refuse(counted, n_examples["all"], least)

        return whole

    return decorated


def refuse(counted: Counter[str], n_examples: int, least: dict[str, float]) -> None:
    """Raises AssertionError for branches that too few of the examples reached, and for those that nobody declared."""
    seldom = [
        f"{branch}: {counted[branch]} of {n_examples} examples, at least {share:.0%} asked"
        for branch, share in least.items()
        if counted[branch] < share * n_examples
    ]
    unheard = sorted(set(counted) - set(least))
    assert not seldom, f"too few examples reach what this property is about: {'; '.join(seldom)}"
    assert not unheard, f"reached and not declared: {', '.join(unheard)}"
