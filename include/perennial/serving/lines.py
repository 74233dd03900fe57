"""The lines of both logs as ingest reads them: the columns that ``model.yaml`` declares, by their delivered names."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from perennial.config import CAUSED, ERROR, LATENCY, MEMORY, ModelConfig
from perennial.contracts import SourceKind, Window
from perennial.contracts.tags import CANARY, CHAMPION
from perennial.serving.arms.routing import Arm
from perennial.serving.spool.writer import Entry

_ENCODER = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Asked:
    """The rows of a request with their ids and event times, and who answered them, in which arm; ``arrived`` by
    ``perf_counter``."""

    values: list[tuple[Any, ...]]
    ids: list[str]
    moments: list[datetime]
    version: str
    arrived: float
    arm: Arm = "champion"

    def only(self, places: Sequence[int]) -> "Asked":
        """Some of the rows."""
        if len(places) == len(self.ids):
            return self
        values, ids, moments = ([all_[place] for place in places] for all_ in (self.values, self.ids, self.moments))
        return Asked(values, ids, moments, self.version, self.arrived, self.arm)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class PredictionLines:
    """``names`` are the delivered columns by their published names, ``features`` those of the features in order."""

    source: SourceKind
    names: dict[str, str]
    features: tuple[str, ...]
    tells_arm: bool = False

    @classmethod
    def of(cls, config: ModelConfig, source: SourceKind = "predictions") -> "PredictionLines":
        """Those of a model's own log, or of its ``shadow``."""
        names = config.delivered(source)
        features = tuple(names[name] for name in config.features)
        tells = config.release.by_shares and config.validation.extra_columns == "allow"
        return cls(source, names, features, tells and "arm" not in names.values())

    def entries(
        self,
        asked: Asked,
        windows: Sequence[Window],
        scores: Sequence[float] | None,
        predicted: Sequence[str] | None,
        *,
        version: str,
        latency_ms: float,
    ) -> list[Entry]:
        """The lines of a request, by the windows of its rows; without scores it was answered with an error."""
        found = []
        for window in dict.fromkeys(windows):
            places = [place for place, one in enumerate(windows) if one == window]
            part = asked.only(places)
            data = self.write(
                part.values,
                part.ids,
                [written(moment) for moment in part.moments],
                [None if scores is None else scores[place] for place in places],
                None if predicted is None else [predicted[place] for place in places],
                version=version,
                latency_ms=latency_ms,
                arm=asked.arm,
            )
            found.append(Entry(self.source, window, data, len(places)))
        return found

    def write(
        self,
        rows: Sequence[Sequence[Any]],
        ids: Sequence[str],
        moments: Sequence[str],
        scores: Sequence[float | None],
        predicted: Sequence[str] | None,
        *,
        version: str,
        latency_ms: float,
        arm: Arm = "champion",
    ) -> bytes:
        """One line for each of ``rows`` (the values of the features); a score of None is an answer with an error."""
        names = self.names
        lines = []
        for place, values in enumerate(rows):
            line: dict[str, Any] = {names["prediction_id"]: ids[place], names["event_time"]: moments[place]}
            line.update(zip(self.features, values, strict=True))
            line[names["score"]] = scores[place]
            if "predicted" in names:
                line[names["predicted"]] = None if predicted is None else predicted[place]
            line[names["model_version"]] = version
            self._tell(line, latency_ms, arm, failed=scores[place] is None)
            lines.append(line)
        return _ENCODER.encode_lines(lines)

    def _tell(self, line: dict[str, Any], latency_ms: float, arm: Arm, *, failed: bool) -> None:
        """What a canary answered has a role of its own; which arm a row had is told where a delivery may have more."""
        if self.tells_arm and arm != CHAMPION:
            line["arm"] = arm
        fields = {
            "role": CANARY if arm == CANARY else CHAMPION,
            LATENCY: round(latency_ms, 3),
            MEMORY: None,
            ERROR: failed,
            CAUSED: False,
        }
        for name, value in fields.items():
            if name in self.names:
                line[self.names[name]] = value


def label_lines(config: ModelConfig, ids: Sequence[str], truths: Sequence[Any], moments: Sequence[str]) -> bytes:
    """One line for each label.

    >>> label_lines(flights, ["a"], [1], ["2013-01-01T00:00:00Z"])
    b'{"prediction_id":"a","late":1,"labelled_at":"2013-01-01T00:00:00Z"}\\n'
    """
    label = config.label
    return _ENCODER.encode_lines(
        [
            {label.id: name, label.value: truth, label.timestamp: moment}
            for name, truth, moment in zip(ids, truths, moments, strict=True)
        ]
    )


def written(moment: datetime) -> str:
    """A moment as the logs have it.

    >>> written(datetime(2013, 1, 1, 5, tzinfo=UTC))
    '2013-01-01T05:00:00.000000+00:00'
    """
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
