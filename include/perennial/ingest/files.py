"""Files of one window, wherever ``pyarrow.fs`` finds them."""

import fnmatch
import glob
import hashlib
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pyarrow as pa
from pyarrow import fs

from perennial.config import FileSource, ModelConfig
from perennial.contracts import Window
from perennial.errors import ConfigError, redacted
from perennial.storage.filesystems import answering, open_filesystem, opened

BLOCK_BYTES = 4 << 20
_ESCAPED = re.compile(r"\[([*?[])\]")
_ENCODED = re.compile(r"((?:%[0-9A-Fa-f]{2})+)")
_OPTIONS = re.compile(r"\?(?=[A-Za-z_]+=).*$")
_PACKINGS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4"}


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file: its file system and the path in it.

    What a machine's own disk refuses to read is broken (OSError); a remote file system that does not answer may do so
    later (StorageUnavailable), and any OSError that is left then speaks of the file's content.
    """

    filesystem: Any
    path: str
    n_bytes: int | None = None
    modified_ns: int | None = None

    @property
    def folder(self) -> str:
        """The path of the folder it lies in."""
        return self.path.rpartition("/")[0]

    def now(self) -> "SourceFile":
        """The same path as it is by now. Raises StorageUnavailable."""
        with answering(self.path):
            return _source_file(self.filesystem, self.filesystem.get_file_info(self.path))

    def opened(self, *, seekable: bool = False) -> AbstractContextManager[Any]:
        """The file's bytes as they are."""
        return opened(self.filesystem, self.path, seekable=seekable)


class Digesting:
    """A binary stream that passes on what it reads and digests it (SHA-256)."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self.closed = False

    def read(self, n_bytes: int = -1) -> bytes:
        """Up to ``n_bytes`` more bytes; empty at the end."""
        block: bytes = self._stream.read(None if n_bytes is None or n_bytes < 0 else n_bytes)
        self._hash.update(block)
        return block

    def hexdigest(self) -> str:
        """The digest of all bytes of the file, also of those nobody has read yet."""
        while self.read(BLOCK_BYTES):
            pass
        return self._hash.hexdigest()

    def readable(self) -> bool:
        """Always."""
        return True

    def close(self) -> None:
        """The owner of the stream closes it."""
        self.closed = True


def find(config: ModelConfig, source: FileSource, window: Window, home: Path) -> tuple[SourceFile, ...]:
    """The files that match the source's URI, sorted by path. Raises StorageUnavailable, ConfigError.

    A ``done_marker`` and a ``manifest`` are no data, even where the URI matches them.
    """
    found = _found(config, source, window, home)
    return tuple(file for file in found if file.path.rpartition("/")[2] not in (source.done_marker, source.manifest))


def beside(config: ModelConfig, source: FileSource, window: Window, home: Path, name: str) -> tuple[SourceFile, ...]:
    """The files called ``name`` in the folders that the source's URI speaks of. Raises as :func:`find`."""
    return _found(config, source, window, home, name)


def _found(
    config: ModelConfig, source: FileSource, window: Window, home: Path, name: str | None = None
) -> tuple[SourceFile, ...]:
    folder = str(home.absolute())
    filled = _filled(config, source, window, quote(folder) if "://" in source.uri else glob.escape(folder))
    shown = redacted(resolved(config, source, window, home))
    with answering(f"{config.model}: {shown}"):
        filesystem, pattern = _opened(config, filled, shown)
        if name is not None:
            pattern = f"{pattern.rpartition('/')[0]}/{glob.escape(name)}"
        return tuple(_source_file(filesystem, entry) for entry in _matching(filesystem, pattern))


def _source_file(filesystem: Any, entry: Any) -> SourceFile:
    return SourceFile(filesystem, entry.path, entry.size, entry.mtime_ns)


def resolved(config: ModelConfig, source: FileSource, window: Window, home: Path) -> str:
    """The source's URI for one window, wildcards kept. Raises ConfigError for a template that can not be filled."""
    return _filled(config, source, window, str(home.absolute()))


def _filled(config: ModelConfig, source: FileSource, window: Window, home: str) -> str:
    try:
        return source.filled(window, home)
    except (KeyError, IndexError, ValueError) as error:
        raise ConfigError(
            redacted(
                f"{config.model}: sources uri {source.uri!r}: {error!r}; it may hold {{home}}, {{start:%Y-%m-%d}} and "
                "{end:%Y-%m-%d}"
            )
        ) from None


def _opened(config: ModelConfig, uri: str, shown: str) -> tuple[Any, str]:
    """The file system of a path or URI, and the pattern of the files in it.

    The path of a URI is taken apart here: pyarrow refuses wildcards in it, and a percent sign that encodes nothing.
    """
    if "://" not in uri:
        return fs.LocalFileSystem(), str(Path(uri).absolute())
    scheme, _, rest = uri.partition("://")
    options = _OPTIONS.search(rest)
    authority, _, path = rest[: options.start() if options else None].partition("/")
    opening = f"{scheme}://{authority}/{options.group() if options else ''}"
    filesystem, root = open_filesystem(opening, shown=f"{config.model}: sources uri {shown}")
    return filesystem, f"{root.rstrip('/')}/{pattern_of(path)}"


def pattern_of(path: str) -> str:
    """The path of a URI as a pattern: what is percent-encoded stands for itself, even a wildcard.

    >>> pattern_of("a%20b/100%/%5B1%5D/*.csv")
    'a b/100%/[[]1]/*.csv'
    """
    parts = _ENCODED.split(path)
    return "".join(glob.escape(unquote(part)) if i % 2 else part for i, part in enumerate(parts))


def _matching(filesystem: Any, pattern: str) -> list[Any]:
    parts = pattern.split("/")
    n_fixed = next((i for i, part in enumerate(parts) if _is_wild(part)), len(parts))
    folder = "/".join(_ESCAPED.sub(r"\1", part) for part in parts[:n_fixed])
    if n_fixed == len(parts):
        entry = filesystem.get_file_info(folder)
        return [entry] if entry.type == fs.FileType.File else []
    selector = fs.FileSelector(folder or "/", recursive=len(parts) - n_fixed > 1, allow_not_found=True)
    fitting = [
        entry
        for entry in filesystem.get_file_info(selector)
        if entry.type == fs.FileType.File and fits(entry.path, parts[n_fixed:], depth=len(parts))
    ]
    return sorted(fitting, key=lambda entry: str(entry.path))


def _is_wild(part: str) -> bool:
    return any(mark in _ESCAPED.sub("", part) for mark in "*?[")


def fits(path: str, parts: list[str], *, depth: int) -> bool:
    """True when ``path`` has ``depth`` parts and its last ones match ``parts``; a name always matches itself.

    >>> fits("/logs/x[1]/a.csv", ["x[1]", "*.csv"], depth=4), fits("/logs/x1/a.csv", ["x[1]", "*.csv"], depth=4)
    (True, True)
    >>> fits("/logs/deep/x1/a.csv", ["x[1]", "*.csv"], depth=4)
    False
    """
    names = path.split("/")
    return len(names) == depth and all(
        name == part or fnmatch.fnmatchcase(name, part) for name, part in zip(names[-len(parts) :], parts, strict=True)
    )


@contextmanager
def digesting(file: SourceFile) -> Iterator[Digesting]:
    """The bytes of a file, unpacked when its name ends in .gz, .bz2, .zst or .lz4, and their digest."""
    with file.opened() as stream:
        packing = _PACKINGS.get(Path(file.path).suffix)
        if packing is None:
            yield Digesting(stream)
            return
        with pa.CompressedInputStream(stream, packing) as unpacked:
            yield Digesting(unpacked)


def digest_file(file: SourceFile) -> str:
    """SHA-256 of a file's bytes; of its name and the error when it can not be read."""
    try:
        with file.opened() as stream:
            return Digesting(stream).hexdigest()
    except OSError as error:
        return hashlib.sha256(f"{file.path} {type(error).__name__}".encode()).hexdigest()


def listing(files: tuple[SourceFile, ...]) -> str:
    """A digest of the names, sizes and times of files: no byte of them is read.

    >>> listing((SourceFile(None, "/a", 7, 1),)) != listing((SourceFile(None, "/a", 8, 1),))
    True
    """
    lines = (f"{file.path}\0{file.n_bytes}\0{file.modified_ns}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
