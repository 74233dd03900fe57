"""What code of a model may know of the environment."""

import os

_KEPT = frozenset({"PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"})


def clean_environment() -> dict[str, str]:
    """The variables of this process that can hold no secret; neither ``HOME`` nor ``TMPDIR`` is among them."""
    return {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith("OMP_")}
