"""What a table of published rows costs flat, and partitioned by month: the figures of decision 0026.

``python docs/simulations/partitions.py --rows 1000000`` starts a PostgreSQL of its own and times the statements of
``partitions.sql``: the same rows of 17 numbers and 3 texts in a flat table, and in one with a partition a month and a
table of ids beside it, since a key of id and time accepts one id on two days.
"""

import argparse
import re
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1] / "include"), str(HERE.parents[1] / "tests")]

import psycopg2  # noqa: E402

from servers import reachable_folder, temporary_postgres  # noqa: E402


def main() -> None:
    """Print the table as Markdown, then what it takes to make the flat table a partition of a new one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repetitions", type=int, default=1)
    asked = parser.parse_args()
    _, *steps = re.split(r"^-- (\w+): (.+)$", (HERE / "partitions.sql").read_text(encoding="utf-8"), flags=re.MULTILINE)
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(asked.repetitions):
        with reachable_folder() as folder, temporary_postgres(folder) as url:
            connection = psycopg2.connect(url.replace("+psycopg2", ""))
            connection.autocommit = True  # vacuum allows no transaction around it
            with connection.cursor() as cursor:
                cursor.execute("select set_config('bench.rows', %s, false)", (str(asked.rows),))
                for side, name, statements in zip(steps[::3], steps[1::3], steps[2::3], strict=True):
                    begin = time.perf_counter()
                    for statement in statements.strip().removesuffix(";").split(";\n"):
                        cursor.execute(statement)
                    found.setdefault((side, name), []).append(time.perf_counter() - begin)
            connection.close()
    best = {key: min(seconds) for key, seconds in found.items()}
    sys.stdout.write("| seconds | flat | partitioned |\n|---|---|---|\n")
    for name in (name for side, name in best if side == "flat"):
        sys.stdout.write(f"| {name} | {best['flat', name]:.2f} | {best['partitioned', name]:.2f} |\n")
    for name in (name for side, name in best if side == "adopted"):
        sys.stdout.write(f"| {name} | {best['adopted', name]:.2f} | |\n")


if __name__ == "__main__":
    main()
