"""Replays the flights of 2013 through real DAG runs: writes the logs, triggers the monitor, and waits.

A replay that was cut off goes on where it stopped: runs have deterministic ids, and deliveries are written once.
"""

from dataclasses import dataclass
from datetime import timedelta

import httpx
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from demo import flights, story
from demo.airflow import FINISHED, Airflow, wait_for
from demo.deliveries import Feed, by_the_system_before, write
from demo.service import Desk, await_landed, deliver_again
from perennial import ledger
from perennial.cli.printing import COLOURS, timeline_table
from perennial.config import ModelConfig
from perennial.contracts import Decision, RetrainRequest, Window, from_record
from perennial.contracts.tags import CHALLENGER, REVIEWER_TAG, SIGNOFF_TAG
from perennial.errors import PerennialError, StackError
from perennial.pipeline import Case, open_runtime
from perennial.pipeline.timeline import timeline
from perennial.registry.versions import alias_version
from perennial.settings import load_settings
from stack.credentials import load as load_credentials
from stack.environment import REVIEWER
from stack.layout import StackLayout

MODEL = "flight_delay"
MONITOR, RETRAIN = f"{MODEL}__monitor", f"{MODEL}__retrain"
RUN_DEADLINE_S = 300.0
REVIEW_TASK = "review"


@dataclass(frozen=True, slots=True)
class Replay:
    """One replay against a running stack."""

    airflow: Airflow
    case: Case
    feed: Feed
    desk: Desk
    console: Console
    reviewer: tuple[str, str]
    """Account and password of the reviewer in MLflow."""

    @property
    def config(self) -> ModelConfig:
        """The model that is replayed."""
        return self.case.config

    def window(self, number: int) -> Window:
        """Window ``number`` of the schedule, counted from 0."""
        every = self.config.schedule.every
        if every is None:
            raise StackError(f"{MODEL}: the replay needs a schedule with every")
        start = self.config.schedule.start + number * every
        return Window(start=start, end=start + every)

    def play(self, number: int) -> None:
        """Deliver one window, let the monitor decide, and wait for what it set off."""
        window, chapter = self.window(number), story.chapter(number)
        self.say(f"[cyan]input of {window.start:%Y-%m-%d}[/cyan]: {chapter.announcement}")
        if number == story.ACKNOWLEDGED_BEFORE:
            self.acknowledge(window)
        landing = self.post_labels(window)
        if chapter.delivery == "broken, then mended":
            self.deliver_broken(window)
            self.await_landed(window, landing)
            self.monitor(window, "broken")
            self.say(f"[cyan]input of {window.start:%Y-%m-%d}[/cyan]: the sender takes it back and delivers it mended")
            (self.feed.folder("predictions", window) / "broken.jsonl").unlink(missing_ok=True)
        self.await_landed(window, landing | self.post_flights(window))
        if chapter.delivery == "twice":
            deliver_again(self.feed.folder("predictions", window))
        decision = self.monitor(window, "whole")
        if decision.retrain_run_id is not None:
            waits = self.await_retrain(decision.retrain_run_id)
            if waits and story.is_approved_in_haste(number):
                self.approve_in_haste(decision.retrain_run_id)

    def post_flights(self, window: Window) -> dict[str, int]:
        """Have the flights of a window scored, once: by the service, or by what was before it until there is one.

        What is to land of them then, as :meth:`post_labels` tells it.
        """
        if not self.is_new("predictions", window):
            return {}
        rows = self.feed.flights(window)
        if self.desk.champion() is None:
            write(by_the_system_before(rows), self.feed.folder("predictions", window) / "part-0.jsonl")
            self.is_new("predictions", window, done=True)
            return {}
        answers = self.desk.predict(rows)
        answered = ", ".join(f"{n_rows:,} by version {version}" for version, n_rows in answers.items())
        self.say(f"  the service answered {answered}")
        return {"predictions": len(rows)}

    def deliver_broken(self, window: Window) -> None:
        """The service refuses what has a wrong form; the same as a file from elsewhere meets the audit."""
        if self.is_new("predictions", window):
            broken = flights.broken_schema(self.feed.flights(window))
            self.say(f"  the service refuses it: {escape(self.desk.refusal(broken))}; it comes as a file, too")
            write(by_the_system_before(broken), self.feed.folder("predictions", window) / "broken.jsonl")

    def post_labels(self, window: Window) -> dict[str, int]:
        """Post the labels that arrive in a window, once; how many rows of them are to land where ingest reads."""
        if not self.is_new("labels", window):
            return {}
        first, after = story.FAULT
        fault = Window(start=self.window(first).start, end=self.window(after).start)
        rows = self.feed.labels(window, (fault,))
        self.desk.label(rows)
        return {"labels": len(rows)}

    def await_landed(self, window: Window, landing: dict[str, int]) -> None:
        """Wait until the rows of each source that were posted lie where ingest reads, and note that they do."""
        for source, n_rows in landing.items():
            await_landed(self.feed.folder(source, window), n_rows)
            self.is_new(source, window, done=True)

    def is_new(self, source: str, window: Window, *, done: bool = False) -> bool:
        """Whether what a window brings was not delivered yet; ``done`` notes that it is."""
        mark = self.feed.home / "demo" / "delivered" / f"{source}__{window.key}"
        if done:
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
        return not mark.exists()

    def monitor(self, window: Window, name: str) -> Decision:
        """Trigger the monitor DAG for a window and wait; returns the decision in the ledger."""
        run_id = f"replay__{window.key}__{name}"
        conf = {"window_start": window.start.isoformat(), "window_end": window.end.isoformat()}
        self.airflow.trigger(MONITOR, run_id, conf)
        wait_for(
            lambda: self.airflow.run_state(MONITOR, run_id) in FINISHED,
            f"the run {run_id} of {MONITOR}",
            deadline_s=RUN_DEADLINE_S,
        )
        entries = ledger.entries(self.case.store, MODEL, kinds=["decision"])
        decisions = [from_record(Decision, entry.payload["decision"]) for entry in entries]
        is_red = self.airflow.run_state(MONITOR, run_id) == "failed"
        mine = [
            found for found in decisions if found.window == window and (found.action in ("halt", "blind")) == is_red
        ]
        if not mine:
            raise StackError(f"the run {run_id} of {MONITOR} ended without its decision; see its red task in Airflow")
        decision = mine[-1]
        colour = COLOURS[decision.action]
        self.say(f"  [{colour}]{decision.action}[/{colour}]: {escape('; '.join(decision.reasons))}")
        return decision

    def await_retrain(self, run_id: str) -> bool:
        """Wait until the retrain run is over or waits for its reviewer, say what came of it; whether it waits."""

        def over_or_waiting() -> bool:
            if self.airflow.run_state(RETRAIN, run_id) in FINISHED:
                return True
            states = (
                self.airflow.task_states(RETRAIN, run_id) if self.airflow.run_state(RETRAIN, run_id) != "absent" else {}
            )
            return states.get(REVIEW_TASK) == "deferred"

        wait_for(over_or_waiting, f"the run {run_id} of {RETRAIN}", deadline_s=RUN_DEADLINE_S)
        if self.airflow.run_state(RETRAIN, run_id) == "failed":
            raise StackError(f"the run {run_id} of {RETRAIN} failed; see its red task in Airflow")
        outcome = self.outcome(run_id)
        self.say(f"  {escape(outcome or 'the candidate waits for its review in MLflow')}")
        return outcome is None

    def outcome(self, run_id: str) -> str | None:
        """What became of a retrain run, as the ledger has it; None while it waits for its reviewer."""
        outcomes = [
            entry.reason
            for entry in ledger.entries(self.case.store, MODEL, kinds=["retrain_outcome"])
            if from_record(RetrainRequest, entry.payload).run_id == run_id
        ]
        return outcomes[-1] if outcomes else None

    def approve_in_haste(self, run_id: str) -> None:
        """Play the reviewer who reads "all gates passed" and not the flags, as people do; wait for the run."""
        version = alias_version(self.case.registry, MODEL, CHALLENGER)
        if version is None:
            raise StackError(f"the run {run_id} of {RETRAIN} waits for a review, and no version is challenger")
        self.say(f"[cyan]reviewer[/cyan]: approves version {version} in spite of its flags")
        self.set_tags(version, {REVIEWER_TAG: REVIEWER, SIGNOFF_TAG: "approved"})
        wait_for(
            lambda: self.airflow.run_state(RETRAIN, run_id) in FINISHED,
            f"the run {run_id} of {RETRAIN} to go on after its review",
            deadline_s=RUN_DEADLINE_S,
        )
        self.say(f"  {escape(str(self.outcome(run_id)))}")

    def set_tags(self, version: str, tags: dict[str, str]) -> None:
        """What the reviewer does in MLflow, logged in there."""
        url = f"{self.case.registry.uri}/api/2.0/mlflow/model-versions/set-tag"
        for key, value in tags.items():
            tag = {"name": MODEL, "version": version, "key": key, "value": value}
            httpx.post(url, json=tag, auth=self.reviewer, timeout=60).raise_for_status()

    def acknowledge(self, window: Window) -> None:
        """Play the operator who found the cause: the held stretch is left out of training from here on."""
        cause = "the label feed sent on-time under the name late; mended upstream"
        for hold in self.case.state().holds:
            if not hold.acknowledged:
                self.say(f"[cyan]operator[/cyan]: acknowledges the hold: {cause}")
                self.case.acknowledge(
                    hold.entry_id,
                    actor="operator",
                    reason=cause,
                    exclude=True,
                    at=window.start + timedelta(hours=1),
                )

    def say(self, line: str) -> None:
        """A line above the progress bar."""
        self.console.print(line, highlight=False)


def open_replay(console: Console) -> Replay:
    """A replay against the stack of the state folder. Raises StackError when it does not run."""
    settings = load_settings()
    if settings.airflow_url is None:
        raise StackError("no Airflow: start the local stack with `make up`")
    case = open_runtime(settings).case(MODEL)
    case.prepare()
    credentials = load_credentials(StackLayout(home=settings.home).credentials_file)
    airflow = Airflow.login(settings.airflow_url, "admin", credentials.airflow_admin_password)
    for dag_id in (MONITOR, RETRAIN, f"{MODEL}__rollback", "perennial__maintenance"):
        airflow.unpause(dag_id)
    frame = flights.load_flights(settings.home / "demo")
    reviewer = (REVIEWER, credentials.mlflow_reviewer_password)
    desk = Desk.at(case.config, settings.serving_url(MODEL))
    return Replay(airflow, case, Feed(frame, settings.home, case.config), desk, console, reviewer)


def main() -> None:
    """Replay every window, then print the timeline from the ledger."""
    console = Console()
    columns = (TextColumn("replay"), BarColumn(), MofNCompleteColumn(), TextColumn("windows"), TimeElapsedColumn())
    try:
        replay = open_replay(console)
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("windows", total=story.N_WINDOWS)
            for number in range(story.N_WINDOWS):
                replay.play(number)
                progress.advance(task)
    except PerennialError as error:
        Console(stderr=True).print(f"{type(error).__name__}: {error}", markup=False)
        raise SystemExit(1) from error
    console.print(timeline_table(timeline(replay.config, store=replay.case.store)))
    for line in closing(replay):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def closing(replay: Replay) -> tuple[str, ...]:
    """Where to look now, and what waits for the reader."""
    settings = replay.case.settings
    mlflow = settings.require_mlflow_uri()
    lines = [
        f"Airflow: {settings.airflow_url}   MLflow: {mlflow}   logins: "
        f"{StackLayout(home=settings.home).credentials_file}"
    ]
    answers = ", ".join(f"{n_rows:,} by version {version}" for version, n_rows in replay.desk.answers.items())
    lines.append(f"The service answered {answers or 'nothing'}, and refused none of them. It still does.")
    if challenger := alias_version(replay.case.registry, MODEL, CHALLENGER):
        lines.append(
            f"Version {challenger} awaits your review at {mlflow}/#/models/{MODEL}/versions/{challenger}: "
            "set its tags reviewer and signoff, and see the retrain run in Airflow go on."
        )
    return (*lines, "`make down` stops everything and keeps the data.")
