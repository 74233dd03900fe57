"""Writes every page under docs/reference/ from the code, `make docs`; a test fails when one is stale."""

from pathlib import Path

from reference_pages import PAGES

FOLDER = Path(__file__).parent / "reference"


def write() -> None:
    """Every page anew."""
    FOLDER.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    write()
