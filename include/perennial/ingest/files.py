"""Files of one window, wherever ``pyarrow.fs`` finds them."""

import fnmatch
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyarrow import fs

from perennial.config import FileSource, ModelConfig
from perennial.contracts import Window
from perennial.errors import ConfigError, StorageUnavailable

BLOCK_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file: its file system and the path in it."""

    filesystem: Any
    path: str

    @property
    def local(self) -> bool:
        """True for the machine's own disk: what can not be read there is broken, not away."""
        return isinstance(self.filesystem, fs.LocalFileSystem)


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
    """The files that match the source's URI, sorted by path. Raises StorageUnavailable, ConfigError."""
    uri = resolved(config, source, window, home)
    try:
        filesystem, pattern = fs.FileSystem.from_uri(uri if "://" in uri else Path(uri).absolute().as_uri())
    except ValueError as error:
        raise ConfigError(f"{config.model}: sources uri {uri}: {error}") from error
    try:
        return tuple(SourceFile(filesystem, path) for path in _matching(filesystem, pattern))
    except OSError as error:
        raise StorageUnavailable(f"{config.model}: {uri}: {error}") from error


def resolved(config: ModelConfig, source: FileSource, window: Window, home: Path) -> str:
    """The source's URI for one window, wildcards kept. Raises ConfigError for a template that can not be filled."""
    try:
        return source.uri.format(home=home.absolute(), start=window.start, end=window.end)
    except (KeyError, IndexError, ValueError) as error:
        raise ConfigError(
            f"{config.model}: sources uri {source.uri!r}: {error!r}; it may hold {{home}}, {{start:%Y-%m-%d}} and "
            "{end:%Y-%m-%d}"
        ) from error


def _matching(filesystem: Any, pattern: str) -> list[str]:
    folder, parts = pattern, list[str]()
    while any(mark in folder for mark in "*?["):
        folder, _, last = folder.rpartition("/")
        parts.insert(0, last)
    if not parts:
        return [folder] if filesystem.get_file_info(folder).type == fs.FileType.File else []
    selector = fs.FileSelector(folder, recursive=len(parts) > 1, allow_not_found=True)
    depth = folder.count("/") + len(parts)
    return sorted(
        entry.path
        for entry in filesystem.get_file_info(selector)
        if entry.type == fs.FileType.File and entry.path.count("/") == depth and _fits(entry.path, parts)
    )


def _fits(path: str, parts: list[str]) -> bool:
    names = path.split("/")[-len(parts) :]
    return all(fnmatch.fnmatchcase(name, part) for name, part in zip(names, parts, strict=True))


@contextmanager
def digesting(file: SourceFile) -> Iterator[Digesting]:
    """The bytes of a file, unpacked when its name ends in .gz, .bz2, .zst or .lz4, and their digest."""
    with file.filesystem.open_input_stream(file.path, buffer_size=0) as stream:
        yield Digesting(stream)


def digest_file(file: SourceFile) -> str:
    """SHA-256 of a file's bytes; of its name and the error when it can not be read."""
    try:
        with file.filesystem.open_input_stream(file.path, compression=None) as stream:
            return Digesting(stream).hexdigest()
    except OSError as error:
        return hashlib.sha256(f"{file.path} {type(error).__name__}".encode()).hexdigest()
