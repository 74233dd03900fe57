"""The files of the versions that served last, on the disk of this machine: what the service starts from when the
registry is down. Their digest is verified whenever they are read."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from perennial.errors import IntegrityError

_KEPT = 3


@dataclass(frozen=True, slots=True)
class Cache:
    """Versions below ``folder``, each in a folder of its own, and which of them was champion last."""

    folder: Path

    def files(self, version: str, digest: str) -> Path:
        """Where the files of a version lie, whether they do or not."""
        return self.folder / "versions" / f"{version}-{digest[:16]}"

    def keep(self, version: str, digest: str, copy: Callable[[Path], object]) -> Path:
        """Have ``copy`` put the files of a version into a folder, which then appears whole."""
        target = self.files(version, digest)
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        copy(draft)
        shutil.rmtree(target, ignore_errors=True)
        try:
            draft.rename(target)
        except OSError:  # another process of this service was faster, with the same files
            if not target.is_dir():
                raise
            shutil.rmtree(draft, ignore_errors=True)
        return target

    def last(self) -> tuple[str, str] | None:
        """Version and digest of the champion that was loaded last; None when there was none, or nobody can read it."""
        try:
            found = json.loads((self.folder / "champion.json").read_text(encoding="utf-8"))
            return str(found["version"]), str(found["digest"])
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def remember(self, version: str, digest: str) -> None:
        """Note the champion, and forget the files of all but the newest few."""
        draft = self.folder / f".champion.{os.getpid()}.json"
        draft.write_text(json.dumps({"version": version, "digest": digest}), encoding="utf-8")
        draft.rename(self.folder / "champion.json")
        kept = self.files(version, digest)
        kept.touch()
        whole = (path for path in kept.parent.iterdir() if not path.name.startswith("."))
        for path in sorted(whole, key=lambda path: path.stat().st_mtime, reverse=True)[_KEPT:]:
            shutil.rmtree(path, ignore_errors=True)

    def remembered(self) -> tuple[str, str]:
        """The same as :meth:`last`. Raises IntegrityError when there is none."""
        found = self.last()
        if found is None:
            raise IntegrityError(f"no version lies in {self.folder}")
        return found
