"""Some rows of a batch, picked by their numbers while it streams past.

The numbers of a batch are 0 to n-1, so that a set of them is sorted once and each stretch of rows is looked up in it: a
hash set built anew for every 65,536 rows took 160 s for five million duplicates.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Numbers = npt.NDArray[np.int64]


def among(rows: Iterator[pa.RecordBatch], numbers: Numbers) -> Iterator[pa.RecordBatch]:
    """The rows (with an int64 ``row_number``) whose number is among ``numbers``, which ascend.

    >>> rows = pa.record_batch({"row_number": [0, 1, 4]})
    >>> [one.to_pylist() for one in among(iter([rows]), np.array([1, 2, 3, 4]))]
    [[{'row_number': 1}, {'row_number': 4}]]
    """
    for one in rows:
        yield one.filter(pa.array(_found(one, numbers)))


def without(rows: Iterator[pa.RecordBatch], numbers: Numbers) -> Iterator[pa.RecordBatch]:
    """The rows (with an int64 ``row_number``) whose number is not among ``numbers``, which ascend.

    >>> rows = pa.record_batch({"row_number": [0, 1, 4]})
    >>> [one.to_pylist() for one in without(iter([rows]), np.array([1, 2, 3, 4]))]
    [[{'row_number': 0}]]
    """
    for one in rows:
        yield one.filter(pa.array(~_found(one, numbers))) if len(numbers) else one


def _found(one: pa.RecordBatch, numbers: Numbers) -> npt.NDArray[np.bool_]:
    wanted = one.column("row_number").to_numpy()
    at = np.searchsorted(numbers, wanted)
    found = np.zeros(len(wanted), dtype=bool)
    within = at < len(numbers)
    found[within] = numbers[at[within]] == wanted[within]
    return found
