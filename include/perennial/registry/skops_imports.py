"""The one place that imports skops, whose list of what is harmless is made where the functions of it live.

For each of 400 functions of numpy and scipy, skops asks every loaded module whether it holds it: some seconds where
MLflow and Great Expectations are loaded, and every module that was put off (:mod:`perennial.vendors`) runs for it.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_LIST, _NAMES, _SEARCH = "skops.io._trusted_types", "skops.io._utils", "whichmodule"
_LISTED = ("numpy", "scipy.special")
"""Whose functions skops lists."""


def module_of(function: Any, name: str) -> str:
    """As skops finds it, the first loaded module that holds ``function``, of those whose functions it lists.

    >>> import numpy
    >>> module_of(numpy.exp, "exp"), module_of(len, "len"), module_of(numpy.frompyfunc(len, 1, 1), "len")
    ('numpy', 'builtins', '__main__')
    """
    known = getattr(function, "__module__", None)
    if known is not None:
        return str(known)
    return next((home for home, module in _homes() if getattr(module, name, None) is function), "__main__")


@cache
def _homes() -> tuple[tuple[str, ModuleType], ...]:
    return tuple((name, module) for name, module in list(sys.modules.items()) if name.startswith(_LISTED))


class _Before:
    """A finder that finds nothing, and is asked before skops makes its list."""

    def __init__(self) -> None:
        self.replaced: Any = None

    def find_spec(self, name: str, _: Sequence[str] | None, __: ModuleType | None = None) -> ModuleSpec | None:
        """None, for every module."""
        if name == _LIST:
            names = vars(sys.modules[_NAMES])
            self.replaced, names[_SEARCH] = names[_SEARCH], module_of
        return None


@contextmanager
def _listing_at_home() -> Iterator[None]:
    before = _Before()
    sys.meta_path.insert(0, before)
    try:
        yield
    finally:
        sys.meta_path.remove(before)
        _homes.cache_clear()
        if before.replaced is not None:  # what a model holds is looked for everywhere, as ever
            vars(sys.modules[_NAMES])[_SEARCH] = before.replaced


with _listing_at_home():
    import skops.io as sio

__all__ = ["module_of", "sio"]
