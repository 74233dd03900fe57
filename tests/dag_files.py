"""Model folders for tests of the DAG files."""

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEMPLATES = ROOT / "tests" / "models"


def declare(models_dir: Path, name: str, *, template: str = "wine_cultivar", **replaced: str) -> Path:
    """A model folder made from a template, some of its top-level entries replaced; returns its ``model.yaml``."""
    folder = models_dir / name
    shutil.copytree(TEMPLATES / template, folder, ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / "model.yaml"
    text = path.read_text(encoding="utf-8").replace(f"model: {template}", f"model: {name}")
    for key, value in replaced.items():
        text, n_found = re.subn(rf"^{key}:.*\n(?:[ ].*\n)*", f"{key}: {value}\n", text, flags=re.MULTILINE)
        assert n_found == 1, f"{key} in {path}"
    path.write_text(text, encoding="utf-8")
    return path
