"""Model folders for tests of the DAG files."""

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEMPLATES = ROOT / "tests" / "models"


def declare(models_dir: Path, name: str, *, template: str = "wine_cultivar", **replaced: str) -> Path:
    """A model folder made from a template, some of its lines replaced; returns its ``model.yaml``."""
    folder = models_dir / name
    shutil.copytree(TEMPLATES / template, folder, ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / "model.yaml"
    lines = path.read_text(encoding="utf-8").replace(f"model: {template}", f"model: {name}").splitlines()
    changed = [f"{key}: {replaced[key]}" if (key := line.partition(":")[0]) in replaced else line for line in lines]
    path.write_text("\n".join(changed) + "\n", encoding="utf-8")
    return path
