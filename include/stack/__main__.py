"""``python -m stack purge``: stop the stack and remove its state, wherever PostgreSQL's data had to move."""

import shutil
import sys

from perennial.settings import load_settings
from stack import purge

# Removed by name: PERENNIAL_HOME may be a folder that holds other things too.
STATE = ("postgres", "airflow", "mlflow", "logs", "run", "storage", "credentials.json", "stack.env")

if __name__ == "__main__":
    if sys.argv[1:] != ["purge"]:
        sys.exit("usage: python -m stack purge")
    home = load_settings().home
    purge(home, progress=lambda line: print(line, file=sys.stderr))  # noqa: T201  # this is a command
    for name in STATE:
        shutil.rmtree(home / name, ignore_errors=True)
        if not (home / name).is_dir():
            (home / name).unlink(missing_ok=True)
