"""A search that outlives the task that waits for it: its journal in the storage, what it tried as runs in MLflow."""

from dataclasses import dataclass
from pathlib import Path

from perennial.config import ModelConfig
from perennial.contracts import digest_of
from perennial.contracts.tags import MODEL_TAG, PROBLEM_TAG, TRIED_STATE_TAG, TRIED_TAG
from perennial.registry.client import Registry
from perennial.registry.nested import Status, log_below
from perennial.storage import Storage
from perennial.training.fitting.process import Searched, run_search
from perennial.training.fitting.recipe import FrozenRecipe
from perennial.training.search.tried import EARLIER_FILE, JOURNAL_FILE, State, TriedSet, read_tried

_STATUS: dict[State, Status] = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """Where a fit of one snapshot keeps its searches. ``at_ms`` is the event time of all that lies below ``run_id``."""

    snapshot_id: str
    run_id: str
    at_ms: int
    storage: Storage
    registry: Registry

    def journal(self, config: ModelConfig, recipe: FrozenRecipe) -> str:
        """The place in the storage of one recipe's search: the same for every try of the same fit."""
        return f"searches/{config.model}/{digest_of(self.snapshot_id, recipe.copy.name, recipe.digest)}.journal"

    def search(self, config: ModelConfig, recipe: FrozenRecipe, folder: Path) -> Searched:
        """Search the parameters of a recipe on ``folder/train.parquet``, going on where a search before was cut off.

        Raises TrainingError, RegistryUnavailable, StorageUnavailable: what was tried so far is kept.
        """
        journal, n_logged = self.journal(config, recipe), 0
        if self.storage.exists(journal):
            with self.storage.filesystem.open_input_stream(self.storage.path(journal)) as kept:
                (folder / EARLIER_FILE).write_bytes(kept.read())

        def keep() -> None:
            nonlocal n_logged
            news = read_tried(folder)[n_logged:]
            if not news:
                return
            with self.storage.write(journal) as file:
                file.write(_whole_lines(folder / JOURNAL_FILE))
            for tried in news:
                self._log(config, recipe, tried)
                n_logged += 1

        try:
            return run_search(config, recipe, folder, watch=keep)
        finally:
            keep()

    def forget(self, config: ModelConfig, recipe: FrozenRecipe) -> None:
        """Remove the journal of a search whose fit is finished."""
        self.storage.delete(self.journal(config, recipe))

    def _log(self, config: ModelConfig, recipe: FrozenRecipe, tried: TriedSet) -> None:
        several = f"{recipe.copy.stem} " if len(config.training.recipes) > 1 else ""
        metric = config.choice_metric
        log_below(
            self.registry,
            self.run_id,
            name=f"{several}{tried.number}",
            params={f"recipe.{name}": value for name, value in tried.params.items()},
            metrics={
                f"fold_{metric}": tried.folds,
                **({f"cv_{metric}_mean": (tried.value,)} if tried.value is not None else {}),
                "seconds": (tried.seconds,),
            },
            tags={
                MODEL_TAG: config.model,
                TRIED_TAG: str(tried.number),
                TRIED_STATE_TAG: tried.state,
                **({PROBLEM_TAG: tried.problem} if tried.problem else {}),
            },
            status=_STATUS[tried.state],
            at_ms=self.at_ms,
        )


def _whole_lines(path: Path) -> bytes:
    """What stands in a file that is being written to, but for a line that has not ended."""
    whole, ended, _ = path.read_bytes().rpartition(b"\n")
    return whole + ended
