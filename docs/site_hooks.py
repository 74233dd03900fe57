"""What the site needs besides the pages: its contents from the folders, and links to code as plain words.

The pages are written for a code host, where a link may lead out of ``docs/``; the site holds nothing but the pages.
"""

import re
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
CONTENTS = {
    "Tutorial": ("tutorial/*.md",),
    "How to": ("how-to/*.md",),
    "Concepts": ("architecture.md", "statistics.md", "signals.md", "signoff.md", "backtest.md", "glossary.md"),
    "Running it": ("runbook.md", "notifications.md", "demo.md"),
    "Reference": ("reference/*.md",),
    "Decisions": ("decisions/README.md", "decisions/[0-9]*.md"),
}
_TEMPLATE = "0000-template.md"
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)#\s]+)(?:#[^)]*)?\)")


def on_config(config: Any) -> Any:
    """Every page has a place in the contents: a new one in its folder is found by itself."""
    found = [
        {name: [path.relative_to(FOLDER).as_posix() for one in patterns for path in _pages(one)]}
        for name, patterns in CONTENTS.items()
    ]
    config["nav"] = [{"Start": "index.md"}, *found]
    return config


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """A link that leads out of the folder of the pages becomes its words."""
    here = (FOLDER / page.file.src_uri).parent

    def kept(link: re.Match[str]) -> str:
        target = link[2]
        outside = "://" not in target and not (here / target).resolve().is_relative_to(FOLDER)
        return link[1] if outside or target.endswith(_TEMPLATE) else link[0]

    return _LINK.sub(kept, markdown)


def _pages(pattern: str) -> list[Path]:
    return [path for path in sorted(FOLDER.glob(pattern)) if path.name != _TEMPLATE]
