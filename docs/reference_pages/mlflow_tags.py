"""docs/reference/mlflow-tags.md, from perennial.contracts.tags."""

from perennial.contracts.tags import ALIASES, RUN_TAGS, TRIED_TAGS, VERSION_TAGS
from reference_pages.markdown import code, joined, table

INTRODUCTION = """
# Tags and aliases in MLflow

What Perennial writes on runs and model versions. This page is generated from `include/perennial/contracts/tags.py` by
`make docs`; a test sees that no other module makes a tag of its own. A person sets two of them: `signoff` and
`reviewer`. Tags of a run are cut where they are longer than MLflow takes.
"""


def page() -> str:
    """The whole page as Markdown."""
    parts = {
        "Aliases of a registered model": ALIASES,
        "Tags of a model version": VERSION_TAGS,
        "Tags of a run": RUN_TAGS,
        "Tags of a run below it: a set that a search tried": TRIED_TAGS,
    }
    sections = [
        (f"## {title}", table(["key", "meaning"], [(code(key), meaning) for key, meaning in keys.items()]))
        for title, keys in parts.items()
    ]
    return joined(INTRODUCTION, *(part for section in sections for part in section))
