"""A file scored by a version: all of it or nothing, and the same again where it is run again after a crash."""

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from perennial.config import ModelConfig, load_model
from perennial.contracts import Window, digest_of
from perennial.contracts.tags import CHAMPION
from perennial.errors import ConfigError, IntegrityError
from perennial.registry.client import Registry, log_in
from perennial.registry.versions import alias_version
from perennial.serving.batches.reading import Chunk, chunks, format_of
from perennial.serving.batches.writing import Output
from perennial.serving.following.cache import Cache
from perennial.serving.following.messages import Failed, Loaded
from perennial.serving.following.watching import Watch
from perennial.serving.lines import Asked, PredictionLines
from perennial.serving.requests.faults import Fault, faults_of_row, out_of_time
from perennial.serving.requests.types import Types, types_of
from perennial.serving.spool.places import Landing, landings
from perennial.serving.spool.segments import Segment, create
from perennial.settings import Settings
from perennial.storage.filesystems import answering, open_filesystem

_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredFile:
    """What became of a file. ``faults`` are those of the first faulty rows; all lie in ``faults_uri``."""

    model: str
    version: str
    n_rows: int
    n_faulty: int
    logged: bool
    faults: tuple[Fault, ...] = ()
    faults_uri: str | None = None


@dataclass(slots=True)
class _Job:
    config: ModelConfig
    loaded: Loaded
    name: str
    moment: datetime
    folder: Path
    types: Types
    landing: Landing | None
    lines: PredictionLines
    segments: dict[Window, Segment] = field(default_factory=dict)
    n_rows: int = 0
    n_faulty: int = 0
    faults: list[Fault] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be scored by which version (None: the champion), as of ``now``, and whether it is logged."""

    config: ModelConfig
    source: str
    target: str
    registry: Registry
    home: Path
    now: datetime
    version: str | None = None
    log: bool = True


def by_command(
    settings: Settings, model: str, source: str, target: str, *, version: str | None, log: bool, now: datetime
) -> ScoredFile:
    """The same as :func:`score`, of the model and the registry that the settings name. Raises ConfigError."""
    log_in(settings.mlflow_login)
    wanted = Wanted(
        config=load_model(settings.models_dir / model),
        source=source,
        target=target,
        registry=Registry(settings.require_mlflow_uri()),
        home=settings.home.absolute(),
        now=now,
        version=version,
        log=log,
    )
    return score(wanted)


def score(wanted: Wanted) -> ScoredFile:
    """Answer the rows of ``source`` into ``target``, and log them where ingest reads unless told not to.

    Nothing appears before all rows were read: first the log lines, then ``<target>.faults.jsonl``, last the target. A
    run that died is simply run again: ids and event times are those of the first try, so that ingest finds duplicates.
    Faulty rows are answered by nothing and named. Raises ConfigError for a target that is there, a file that can not be
    read, and a log of a version that is not champion; IntegrityError for a version that can not be loaded, or answer.
    """
    config, source, target = wanted.config, wanted.source, wanted.target
    format_of(source, "--from")
    format_of(target, "--to")
    champion = alias_version(wanted.registry, config.model, CHAMPION)
    chosen = wanted.version or champion
    if chosen is None:
        raise ConfigError(f"{config.model}: no version is champion; name one with --version")
    if wanted.log and chosen != champion:
        raise ConfigError(
            f"{config.model}: version {chosen} is not champion ({champion or 'none'} is), and the log holds what the "
            "champion answers: add --no-log"
        )
    out = Output(target)
    if out.exists():
        raise ConfigError(f"--to {target}: is there already; nothing was scored")
    base = wanted.home / "serving" / config.model
    job = _begun(wanted, _loaded(config, wanted.registry, chosen, base / "cache_batches"), base)
    with out.opened(), (job.folder / "faults.jsonl").open("wb") as faulty:
        for chunk in chunks(source):
            _answer(job, chunk, out, faulty)
    return _finished(job, out, target)


def _begun(wanted: Wanted, loaded: Loaded, base: Path) -> _Job:
    """A job in a folder of its own; one that died before left its moment there, and nothing else counts."""
    config, source, target = wanted.config, wanted.source, wanted.target
    filesystem, path = open_filesystem(source, shown=source)
    with answering(path):
        info = filesystem.get_file_info(path)
    name = digest_of(config.model, loaded.version, source, target, info.size, str(info.mtime_ns))[:20]
    folder = base / "batches" / name
    folder.mkdir(parents=True, exist_ok=True)
    began = folder / "began.json"
    if not began.exists():
        draft = folder / "began.part"
        draft.write_text(json.dumps({"at": wanted.now.isoformat(), "from": source, "to": target}), encoding="utf-8")
        draft.rename(began)
    for left in folder.glob("*.open"):
        left.unlink()
    moment = datetime.fromisoformat(json.loads(began.read_text(encoding="utf-8"))["at"])
    landing = landings(config, wanted.home)["predictions"] if wanted.log else None
    return _Job(config, loaded, name, moment, folder, types_of(config), landing, PredictionLines.of(config))


def _loaded(config: ModelConfig, registry: Registry, version: str, cache: Path) -> Loaded:
    """The version, verified and compiled as the service has it. Raises IntegrityError."""
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    for message in Watch(config, registry, Cache(cache)).take(version):
        if isinstance(message, Loaded):
            return message
        if isinstance(message, Failed):
            raise IntegrityError(f"{config.model} version {version} was not loaded: {message.problem}")
    raise IntegrityError(f"{config.model} version {version} was not loaded")


def _answer(job: _Job, chunk: Chunk, out: Output, faulty: Any) -> None:
    """Validate, score, log and write one chunk."""
    good: list[tuple[int, Any]] = []
    for number, row in chunk:
        found = _faults(job, number, row)
        if isinstance(found, tuple):
            job.n_faulty += 1
            job.faults.extend(found[: _SHOWN - len(job.faults)])
            faulty.write(msgspec.json.encode({"row": number, "faults": found}) + b"\n")
        else:
            good.append((number, found))
    if not good:
        return
    n_features = len(job.config.features)
    values = [msgspec.structs.astuple(row)[:n_features] for _, row in good]
    given = job.config.serving.event_time == "given"
    ids = [f"{job.name}-{number}" if row.prediction_id is msgspec.UNSET else row.prediction_id for number, row in good]
    moments = [row.event_time if given else job.moment for _, row in good]
    began = time.perf_counter()
    built = job.loaded.built
    scores, predicted = built.predictor(list(zip(*values, strict=True)))
    words = built.words(job.config, scores, predicted)
    took_ms = 1000 * (time.perf_counter() - began) / len(good)
    _log(job, Asked(values, ids, moments, job.loaded.version, began), scores, words, took_ms)
    out.write(ids, scores, words, [number for number, _ in good], job.loaded.version)
    job.n_rows += len(good)


def _faults(job: _Job, number: int, row: Any) -> Any:
    """The row as its type has it, or what is wrong with it."""
    if isinstance(row, bytes):
        return (Fault(row=number, allowed=f"JSON: {row.decode()}"[:200]),)
    try:
        found = msgspec.convert(row, job.types.row)
    except msgspec.ValidationError:
        return tuple(faults_of_row(job.config, job.types, number, row))
    if job.config.serving.event_time == "given" and (late := out_of_time([found], "event_time")):
        return late
    return found


def _log(job: _Job, asked: Asked, scores: Sequence[float], words: Sequence[str] | None, took_ms: float) -> None:
    if job.landing is None:
        return
    windows = [job.landing.window_of(moment) for moment in asked.moments]
    entries = job.lines.entries(asked, windows, scores, words, version=asked.version, latency_ms=took_ms)
    for entry in entries:
        segment = job.segments.get(entry.window)
        if segment is None:
            segment = create(job.folder, "predictions", entry.window, job.name, now=time.monotonic())
            job.segments[entry.window] = segment
        segment.write(entry.data)


def _finished(job: _Job, out: Output, target: str) -> ScoredFile:
    """What was drafted appears: the log first, since nothing is answered without it."""
    for window, segment in job.segments.items():
        if job.landing is not None:
            segment.move_to(job.landing.path(window, f"served-{job.name}"))
    faults_uri = None
    if job.n_faulty:
        faults_uri = f"{target}.faults.jsonl"
        out.put(faults_uri, job.folder / "faults.jsonl")
    out.finish()
    shutil.rmtree(job.folder, ignore_errors=True)
    return ScoredFile(
        model=job.config.model,
        version=job.loaded.version,
        n_rows=job.n_rows,
        n_faulty=job.n_faulty,
        logged=job.landing is not None,
        faults=tuple(job.faults),
        faults_uri=faults_uri,
    )
