"""``python -m perennial.stack purge``: stop the stack and remove its state, wherever PostgreSQL's data had to move."""

import shutil
import sys

from perennial.settings import load_settings
from perennial.stack import purge

if __name__ == "__main__":
    if sys.argv[1:] != ["purge"]:
        sys.exit("usage: python -m perennial.stack purge")
    home = load_settings().home
    purge(home, progress=lambda line: sys.stderr.write(f"{line}\n"))
    shutil.rmtree(home, ignore_errors=True)
