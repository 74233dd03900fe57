"""Airflow's LocalExecutor, able to let go of a task whose worker died before the task said that it runs."""

from typing import Any

from airflow.executors.local_executor import LocalExecutor

from perennial.apart import forking
from perennial.orchestration.preload import RECIPES, modules_of, preload


class RevokingLocalExecutor(LocalExecutor):
    """The LocalExecutor, whose workers have imported what tasks need, and which can free a task stuck in ``queued``.

    After ``[scheduler] task_queued_timeout`` the scheduler takes such a task from its executor and queues it again.
    From Airflow 3.3's LocalExecutor it can not, and the task stays ``queued`` until somebody clears it. A worker that
    was only slow is refused by the API server, which lets a task begin once.
    """

    def start(self) -> None:
        """Import the project's own rooms, which lean on Airflow's settings, before the first worker is forked.

        Also before it starts the process that recipes are forked from: the workers hold the line that leads to it.
        """
        forking.start(RECIPES)
        preload(modules_of())
        super().start()

    def end(self) -> None:
        """End the workers, then the process that recipes are forked from."""
        super().end()
        forking.stop()

    def revoke_task(self, *, ti: Any) -> None:
        """Forget a task instance: it may be given to the executor again."""
        self.queued_tasks.pop(ti.key, None)
        self.running.discard(ti.key)
