"""The reference page says what the records say."""

import importlib.util
from pathlib import Path

GENERATOR = Path(__file__).parents[2] / "docs" / "generate_reference.py"


def test_the_page_on_model_yaml_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("generate_reference", GENERATOR)
    assert spec is not None
    assert spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    assert generator.TARGET.read_text(encoding="utf-8") == generator.page(), (
        "docs/reference/model-yaml.md is stale; run .venv/bin/python docs/generate_reference.py"
    )
