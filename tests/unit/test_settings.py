"""What a run says of the code that it was made with."""

import subprocess
from pathlib import Path

import pytest

from perennial import settings
from perennial.settings import Settings


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One commit of one file, where the code is taken to be; what git is told by its environment counts for nothing."""
    monkeypatch.setattr(settings, "ROOT", tmp_path)
    monkeypatch.delenv("PERENNIAL_CODE", raising=False)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "recipe.py").write_text("first\n", encoding="utf-8")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "recipe.py")
    git(tmp_path, *("-c", "user.name=ada", "-c", "user.email=ada@localhost", "commit", "--quiet", "-m", "first"))
    return tmp_path


def git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True, text=True).stdout.strip()


def test_the_code_is_its_commit_though_references_are_packed(repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    assert len(commit) == 40
    assert Settings().code_version == commit
    git(repository, "pack-refs", "--all")
    assert list((repository / ".git" / "refs" / "heads").iterdir()) == []
    assert Settings().code_version == commit


def test_code_that_was_edited_since_its_commit_is_dirty_and_a_file_beside_it_is_not(repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    (repository / "notes.txt").write_text("nobody imports this\n", encoding="utf-8")
    assert Settings().code_version == commit
    (repository / "recipe.py").write_text("second\n", encoding="utf-8")
    assert Settings().code_version == f"{commit}-dirty"


def test_an_image_says_the_commit_it_was_built_of_and_without_any_word_it_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.delenv("PERENNIAL_CODE", raising=False)
    assert (Settings().code_version, Settings().lock_digest) == ("unknown", "unknown")
    monkeypatch.setenv("PERENNIAL_CODE", "0a1b")
    (tmp_path / "requirements.txt").write_text("numpy==2\n", encoding="utf-8")
    first = Settings().lock_digest
    assert (Settings().code_version, len(first)) == ("0a1b", 64)
    (tmp_path / "requirements.txt").write_text("numpy==3\n", encoding="utf-8")
    assert Settings().lock_digest != first
