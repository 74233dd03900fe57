"""Modules that a vendor imports at its top and hardly ever uses: put off until somebody does."""

import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


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


class _Unrun(ModuleType):
    """A package whose own code waits until a name is asked of it that is none of its modules imported so far."""

    def __getattr__(self, name: str) -> Any:
        if self.__spec__ is None or (name.startswith("__") and name != "__all__"):
            raise AttributeError(f"module {self.__name__} has no attribute {name}")
        self.__class__ = ModuleType  # type: ignore[assignment]  # from here on a package as others
        loader = self.__spec__.loader
        if isinstance(loader, _Later):
            loader.package.exec_module(self)
        return getattr(self, name)


class _Later(Loader):
    def __init__(self, package: Loader) -> None:
        self.package = package

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Unrun(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing yet."""


class _RunLate:
    def __init__(self, names: Sequence[str]) -> None:
        self.names = frozenset(names)

    def find_spec(self, name: str, path: Sequence[str] | None, _: ModuleType | None = None) -> ModuleSpec | None:
        """The spec of one of the packages, whose code waits; None for any other module."""
        spec = PathFinder.find_spec(name, path) if name in self.names else None
        if spec is not None and spec.loader is not None:
            spec.loader = _Later(spec.loader)
        return spec


def run_late(*packages: str) -> None:
    """From here on, the modules of these packages are imported without the code of the packages themselves.

    That runs when a name of the package is first used. For a package that imports all of its modules, of which a vendor
    needs one. What was imported before stays as it is.

    >>> run_late("dbm")
    >>> import dbm.dumb
    >>> "whichdb" in vars(dbm), dbm.whichdb.__name__, "whichdb" in vars(dbm)
    (False, 'whichdb', True)
    """
    sys.meta_path.insert(0, _RunLate(packages))
