"""``python -m stack purge``: stop the stack and remove its state and its data."""

import sys

from perennial.errors import PerennialError
from perennial.settings import load_settings
from stack import purge

if __name__ == "__main__":
    if sys.argv[1:] != ["purge"]:
        sys.exit("usage: python -m stack purge")
    try:
        purge(load_settings().home, progress=lambda line: print(line, file=sys.stderr))  # noqa: T201  # this is a command
    except PerennialError as error:
        sys.exit(str(error))
