"""``python -m perennial.serving MODEL HOST PORT WORKERS``: what ``perennial serve`` becomes."""

import sys

from perennial.errors import PerennialError
from perennial.serving.process import run

if __name__ == "__main__":
    name, host, port, workers = sys.argv[1:]
    try:
        run(name, host, int(port), int(workers))
    except PerennialError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        raise SystemExit(1) from error
