"""Files on anything that ``pyarrow.fs`` opens: those of the storage (staged batches, reports), and those of sources."""

from perennial.storage.files import Storage

__all__ = ["Storage"]
