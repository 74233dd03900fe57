"""What one policy has made of a log so far: its ledger, its signals, and who served which row, all in memory."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from perennial.config import ModelConfig
from perennial.config.training.threshold import deciding_by
from perennial.contracts import LedgerEntry, ReleaseState, Signal, SignalName, Window
from perennial.evidence.answers import Answers, answers_in
from perennial.evidence.labelled import judged_stretch
from perennial.evidence.maturity import COVERAGE, Coverage, LabelsIn, labels_in, looked_back_to
from perennial.evidence.stretches import Choice, Labelled, choose, holdouts
from perennial.ledger import History, after
from perennial.trial.fits import Fit, Fits
from perennial.trial.log import Log, Places

PLACE = "place"
"""The column that says where in the log a row stands, for versions that have answered for all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialVersion:
    """A candidate of the trial: its answers for all rows from its holdout on, and what it was judged on."""

    fit: Fit
    n_train: int
    holdout: Places


@dataclass(slots=True, kw_only=True)
class Trial:
    """One policy over one log. ``served`` (int, 0: nobody yet) and ``scores`` have a place for every row of it."""

    config: ModelConfig
    log: Log
    fits: Fits
    windows: tuple[Window, ...]
    entries: list[LedgerEntry] = field(default_factory=list)
    signals: dict[tuple[Window, str, str | None], Signal] = field(default_factory=dict)
    coverages: list[Signal] = field(default_factory=list)
    versions: dict[str, TrialVersion] = field(default_factory=dict)
    probes: list[float] = field(default_factory=list)
    trained_on: dict[str, Places] = field(default_factory=dict)
    references: dict[str, pa.Table] = field(default_factory=dict)
    state: ReleaseState = field(init=False)
    served: NDArray[np.int64] = field(init=False)
    scores: NDArray[np.float64] = field(init=False)
    predicted: NDArray[Any] = field(init=False)

    def __post_init__(self) -> None:
        self.state = ReleaseState(model=self.config.model)
        n_rows = self.log.rows.num_rows
        self.served = np.zeros(n_rows, np.int64)
        self.scores = np.full(n_rows, np.nan)
        self.predicted = np.full(n_rows, None, object)

    @property
    def deciding(self) -> ModelConfig:
        """The configuration by which figures are made of what the champion predicts."""
        declared = self.config.label.decision_threshold
        return deciding_by(self.config, self.state.threshold_of(self.state.champion, declared))

    @property
    def history(self) -> History:
        """The ledger of the trial."""
        return History(self.config.model, tuple(self.entries))

    def write(self, *entries: LedgerEntry) -> ReleaseState:
        """Append to the ledger; the state after it."""
        for item in entries:
            self.entries.append(replace(item, seq=len(self.entries) + 1))
            self.state = after(self.state, self.entries[-1])
        return self.state

    def serve(self, window: Window, version: str | None) -> None:
        """The champion, if there is one, answers for the rows of a window."""
        if version is None:
            return
        places = self.log.within(window)
        scores, predicted = self.versions[version].fit.at(places)
        self.served[places], self.scores[places] = int(version), scores
        if predicted is not None:
            self.predicted[places] = predicted

    def keep(self, found: Iterable[Signal]) -> None:
        """Signals as measured last; what was said of the labels is kept as it was said each time."""
        for signal in found:
            self.signals[signal.window, signal.name, signal.version] = signal
            if signal.name == str(COVERAGE):
                self.coverages.append(signal)

    def measured_since(self, version: str | None, names: Collection[SignalName], start: datetime) -> list[Signal]:
        """Signals of these names of a version, of windows that began then or later, in the order of windows."""
        wanted = {str(name) for name in names}
        found = (
            signal
            for (window, name, of), signal in self.signals.items()
            if of == version and name in wanted and window.start >= start
        )
        return sorted(found, key=lambda signal: (signal.window.start, signal.window.end, signal.name))

    def flagged(self) -> list[Signal]:
        """The breached flags of all windows, each as it was measured last, whatever version it speaks about."""
        found: dict[tuple[Window, str], Signal] = {}
        for signal in self.signals.values():
            if signal.family == "flag" and signal.status in ("ok", "breached"):
                before = found.get((signal.window, signal.name))
                if before is None or before.as_of <= signal.as_of:
                    found[signal.window, signal.name] = signal
        return [signal for signal in found.values() if signal.status == "breached"]

    def published(self, *, ended_by: datetime, ended_after: datetime | None = None) -> tuple[Window, ...]:
        """The windows that were delivered by a moment."""
        return tuple(
            window
            for window in self.windows
            if window.end <= ended_by and (ended_after is None or window.end > ended_after)
        )

    def coverage(self, window: Window, *, as_of: datetime, version: str | None) -> Coverage:
        """Counts over the rows of a window; a label counts when it had arrived before ``as_of``."""
        places = self.log.within(window)
        known = self.log.known(places, as_of)
        number = -1 if version is None else int(version)
        return Coverage(
            window=window,
            n_rows=len(places),
            n_labelled=len(known),
            n_by_champion=int((self.served[places] == number).sum()),
            n_by_champion_labelled=int((self.served[known] == number).sum()),
        )

    def labels(
        self,
        window: Window,
        *,
        version: str | None,
        ended: frozenset[Window],
        earlier: dict[Window, float] | None = None,
        since: datetime | None = None,
    ) -> LabelsIn:
        """What was known of the labels at the end of ``window``."""
        published = self.published(ended_by=window.end, ended_after=looked_back_to(self.config, window))

        def coverage_of(past: Window) -> Coverage:
            return self.coverage(past, as_of=window.end, version=version)

        return labels_in(self.config, window, published, coverage_of, ended=ended, earlier=earlier, since=since)

    def judged(
        self,
        coverage: Coverage,
        *,
        version: str,
        as_of: datetime,
        excluded: tuple[Window, ...] = (),
        features: Sequence[str] = (),
    ) -> tuple[Coverage, pa.Table | None]:
        """What :func:`~perennial.evidence.labelled.read_judged` gives, with the place of each row and some features."""
        stretch = judged_stretch(self.config, coverage, as_of=as_of)
        if stretch is None:
            return coverage, None
        if stretch != coverage.window:
            coverage = self.coverage(stretch, as_of=as_of, version=version)
        places = self.log.known(self.log.within(stretch, excluded=excluded), as_of)
        places = self.log.drawn(places[self.served[places] == int(version)], self.config.signals.sample_rows)
        return coverage, self.answered(places, self.scores[places], self.predicted[places], features=features)

    def answered(
        self,
        places: Places,
        scores: NDArray[np.float64],
        predicted: NDArray[Any] | None,
        *,
        features: Sequence[str] = (),
    ) -> pa.Table:
        """Labelled rows with answers: what answers are made of, and their place in the log."""
        by = self.config.signals.uncertainty.block_by
        table = self.log.table(places, ["event_time", "label", *sorted({*features, *([by] if by else [])})])
        classes = pa.nulls(len(places), pa.string()) if predicted is None else pa.array(predicted.tolist(), pa.string())
        table = table.append_column("score", pa.array(scores)).append_column("predicted", classes)
        return table.append_column(PLACE, pa.array(places))

    def answers(self, version: str, places: Places) -> Answers:
        """What a version answers for labelled rows, whoever served them, with their times."""
        rows = self.answered(places, *self.versions[version].fit.at(places))
        threshold = self.versions[version].fit.threshold
        return replace(answers_in(self.config, rows), times=self.log.times[places], threshold=threshold)

    def count(self, stretch: Window, *, as_of: datetime, excluded: tuple[Window, ...]) -> Labelled:
        """Rows of a stretch and the labelled ones among them."""
        return self.log.count(stretch, as_of=as_of, excluded=excluded)

    def choice(self, as_of: datetime, *, excluded: tuple[Window, ...]) -> Choice:
        """The holdout of a training as of a moment."""
        stretches = holdouts(self.config, as_of, excluded=excluded)
        return choose(self.config, [self.count(stretch, as_of=as_of, excluded=excluded) for stretch in stretches])
