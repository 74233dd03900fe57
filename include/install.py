"""Makes the project importable in its virtual environment and puts the command ``perennial`` there.

Run as a file by `make setup`. A path file and a launcher need no build tool and no network, and follow every edit.
"""

import sys
import sysconfig
from pathlib import Path

INCLUDE = Path(__file__).resolve().parent

# The interpreter is found beside the launcher: the path of a virtual environment may hold blanks, which "#!" cannot.
LAUNCHER = """#!/bin/sh
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
exec "$here/python" -c 'import sys; sys.argv[0] = "perennial"; from perennial.cli import main; main()' "$@"
"""


def install(packages: Path, scripts: Path) -> None:
    """Write the path file into ``packages`` and the launcher into ``scripts``."""
    (packages / "perennial.pth").write_text(f"{INCLUDE}\n", encoding="utf-8")
    launcher = scripts / "perennial"
    launcher.write_text(LAUNCHER, encoding="utf-8")
    launcher.chmod(0o755)


if __name__ == "__main__":
    if sys.prefix == sys.base_prefix:
        sys.exit("run this with the interpreter of the project's virtual environment: make setup")
    install(Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("scripts")))
