"""``python -m stack purge`` removes the stack's state and data; ``python -m stack secrets > .env`` for containers.

``python -m stack secrets .env >> .env`` adds what an .env file of an earlier release lacks.
"""

import sys
from pathlib import Path

from perennial.errors import PerennialError
from perennial.settings import load_settings
from stack import purge
from stack.credentials import Credentials, env_file

if __name__ == "__main__":
    try:
        match sys.argv[1:]:
            case ["secrets"]:
                sys.stdout.write(env_file(Credentials()))
            case ["secrets", file]:
                sys.stdout.write(env_file(Credentials(), known=Path(file).read_text()))
            case ["purge"]:
                purge(load_settings().home, progress=lambda line: print(line, file=sys.stderr))  # noqa: T201  # a command
            case _:
                sys.exit("usage: python -m stack purge | secrets [FILE]")
    except PerennialError as error:
        sys.exit(str(error))
