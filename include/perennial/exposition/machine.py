"""The figures of what the stack runs on: disk, memory, processors, the store's size, and Airflow's pools."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import psutil
from sqlalchemy import func, select

from perennial.store import Store

_BUSY = ("user", "nice", "system", "irq", "softirq", "steal")
"""Of Linux' counts, of which other systems have fewer. A guest's time is in ``user``; who waits for a disk is idle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFigures:
    """A pool of Airflow: tasks that wait and run, and for how many seconds the longest waiting one has; 0.0: none."""

    pool: str
    n_waiting: int
    n_running: int
    waited_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFigures:
    """The machine of the web server that is asked, as its system tells it; in a container that is the machine's, too.

    ``disk_`` is the disk of the state folder, None where there is no such folder; free is what this account may use.
    ``memory_available`` is what can be had without swapping. ``cpu_busy_s`` are seconds of all processors since the
    machine began. ``store_bytes`` is the size of the store's database.
    """

    disk_free_bytes: int | None
    disk_bytes: int | None
    memory_available_bytes: int
    memory_bytes: int
    cpu_busy_s: float
    n_cpus: int | None
    store_bytes: int
    pools: tuple[PoolFigures, ...]


def read_machine(folder: Path, *, store: Store, pools: tuple[PoolFigures, ...]) -> MachineFigures:
    """What holds now, with ``pools`` as Airflow's database has them. Raises StoreUnavailable."""
    disk = shutil.disk_usage(folder) if folder.is_dir() else None
    memory, times = psutil.virtual_memory(), psutil.cpu_times()
    with store.begin() as connection:
        n_bytes = connection.execute(select(func.pg_database_size(func.current_database()))).scalar_one()
    return MachineFigures(
        disk_free_bytes=disk.free if disk else None,
        disk_bytes=disk.total if disk else None,
        memory_available_bytes=memory.available,
        memory_bytes=memory.total,
        cpu_busy_s=sum(getattr(times, name, 0.0) for name in _BUSY),
        n_cpus=psutil.cpu_count(),
        store_bytes=n_bytes,
        pools=pools,
    )
