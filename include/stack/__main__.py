"""``python -m stack purge`` removes the stack's state and data; ``python -m stack secrets > .env`` for containers."""

import sys

from perennial.errors import PerennialError
from perennial.settings import load_settings
from stack import purge
from stack.credentials import Credentials, env_file

if __name__ == "__main__":
    try:
        if sys.argv[1:] == ["secrets"]:
            sys.stdout.write(env_file(Credentials()))
        elif sys.argv[1:] == ["purge"]:
            purge(load_settings().home, progress=lambda line: print(line, file=sys.stderr))  # noqa: T201  # a command
        else:
            sys.exit("usage: python -m stack purge|secrets")
    except PerennialError as error:
        sys.exit(str(error))
