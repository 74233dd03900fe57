"""Where the files of a source go, so that ingest finds them: the folder of the window, under a name that matches."""

import fnmatch
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import get_args

from perennial.config import FileSource, ModelConfig, Schedule, Source
from perennial.contracts import SourceKind, Window
from perennial.errors import ConfigError

_PACKED = (".gz", ".bz2", ".zst", ".lz4")
_WILD = "*?["


@dataclass(frozen=True, slots=True)
class Landing:
    """Where the files of one source go, and whose windows they are of."""

    source: FileSource
    schedule: Schedule
    home: str

    def window_of(self, moment: datetime) -> Window:
        """The window whose folder a line of this moment belongs to."""
        return self.schedule.window_of(moment)

    def folder(self, window: Window) -> Path:
        """The folder that ingest reads for a window."""
        return Path(self.source.filled(window, self.home)).parent

    def path(self, window: Window, name: str) -> Path:
        """The file called ``name`` of a window, as ingest matches it.

        >>> landing = Landing(flights.sources.labels, flights.schedule, "/state")
        >>> str(landing.path(day(0), "served-7"))
        '/state/landing/flight_delay/labels/2013-01-01/served-7.jsonl'
        """
        filled = Path(self.source.filled(window, self.home))
        return filled.with_name(filled.name.replace("*", name, 1))


def landings(config: ModelConfig, home: Path) -> dict[SourceKind, Landing]:
    """Where the logs of a model go that it declares. Raises ConfigError for a source that the service can not write."""
    sources: dict[SourceKind, Source | None] = {kind: config.sources.of(kind) for kind in get_args(SourceKind)}
    return {kind: _landing(config, kind, source, home) for kind, source in sources.items() if source is not None}


def _landing(config: ModelConfig, kind: SourceKind, source: Source, home: Path) -> Landing:
    where = f"{config.model}: sources.{kind}"
    if not isinstance(source, FileSource) or source.format != "jsonl":
        raise ConfigError(
            f"{where}: the service writes files of format jsonl; write `format: jsonl` and a uri "
            "that ends in /*.jsonl in sources.predictions and sources.labels, or let your own service write the logs"
        )
    uri = source.uri.removeprefix("file://")
    if "://" in uri:
        raise ConfigError(f"{where}.uri: the service writes to a folder of this machine, or one that is mounted")
    folder, _, name = uri.rpartition("/")
    if any(mark in folder for mark in _WILD) or "*" not in name or name.endswith(_PACKED):
        raise ConfigError(f"{where}.uri: the service writes files of a folder: let it end in /*.jsonl")
    if source.manifest is not None:
        raise ConfigError(f"{where}.manifest: the service does not count beforehand; use done_marker")
    if source.done_marker is not None and config.serving.event_time == "given":
        raise ConfigError(f"{where}.done_marker: nobody knows when a window is done whose times requests give")
    landing = Landing(source.model_copy(update={"uri": uri}), config.schedule, str(home.absolute()))
    made = landing.path(config.schedule.window_of(config.schedule.start), "served-0")
    if not fnmatch.fnmatchcase(made.name, Path(uri).name):
        raise ConfigError(f"{where}.uri: no file of the service matches {name}; let it end in /*.jsonl")
    return landing
