"""``python -m perennial.cli``: the perennial command, where its launcher is not on the path."""

from perennial.cli import main

main()
