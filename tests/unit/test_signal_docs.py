"""Every family of signals is explained, and in the same terms."""

import re
from pathlib import Path
from typing import get_args

from perennial.contracts.signals import Family

PAGE = (Path(__file__).parents[2] / "docs" / "signals.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def test_every_family_has_a_section_and_every_section_a_family() -> None:
    assert set(SECTIONS) == set(get_args(Family))


def test_a_section_says_of_what_it_is_its_formula_range_and_bound_and_what_it_can_not_see() -> None:
    explained = {family: text for family, text in SECTIONS.items() if family != "reference"}
    for family, text in explained.items():
        assert "**Of what.**" in text, family
        assert re.search(r"\*\*(Formula and b|B)ound\.\*\*", text), family
        assert re.search(r"\*\*Formula( and bound)?\.\*\*", text), family
        assert "**Range.**" in text, family
        assert "**Can not see.**" in text, family
