"""What a model is for, in its owner's words: the model card of every version repeats them."""

from pydantic import Field

from perennial.config.values import Strict


class About(Strict):
    """``purpose``: who decides what with the answers. ``not_for``: uses that nobody tried. ``limits``: what is known to
    be weak. Nothing is judged by them.
    """

    purpose: str = ""
    not_for: list[str] = Field(default=[])
    limits: list[str] = Field(default=[])
