"""Modules that a vendor imports at its top and hardly ever uses: put off until somebody does."""

import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


class _PutOff:
    """A finder that hands out modules which run when an attribute of theirs is first asked for."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = frozenset(names)

    def find_spec(self, name: str, path: Sequence[str] | None, _: ModuleType | None = None) -> ModuleSpec | None:
        """The spec of one of the names, whose code waits; None for any other module."""
        spec = PathFinder.find_spec(name, path) if name in self.names else None
        if spec is not None and spec.loader is not None:
            spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec


@contextmanager
def put_off(*names: str) -> Iterator[None]:
    """Within the block, importing one of ``names`` costs nothing; it is run when an attribute of it is first used.

    What was imported before stays as it is. Whoever imports a name out of such a module (``from x import y``) runs it.

    >>> with put_off("tabnanny"):
    ...     import tabnanny
    >>> type(tabnanny).__name__, tabnanny.verbose, type(tabnanny).__name__
    ('_LazyModule', 0, 'module')
    """
    finder = _PutOff(names)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
