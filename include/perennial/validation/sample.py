"""The rows that batch-level expectations are judged on: all of a batch, or a bounded sample of a large one.

A mean can not be summed over chunks by Great Expectations, and every k-th row is no sample of a log that repeats itself
every k rows. The rows with the smallest hashes of their ids are: the same ones whatever their order, and nobody who
writes a log chooses them by accident.
"""

from dataclasses import dataclass, field

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

_HASHES = "SELECT md5_number_lower(coalesce(prediction_id, '')) AS hash FROM arriving"


@dataclass(slots=True)
class Sample:
    """The ``most`` rows with the smallest hashes of their ``prediction_id``, of all rows added (equal ids: the first).

    >>> from perennial.store.duck import session
    >>> rows = pa.table({"row_number": range(1000), "prediction_id": [f"p{i}" for i in range(1000)]})
    >>> sample = Sample(most=100, connection=session())
    >>> for start in (500, 0):
    ...     sample.add(rows.slice(start, 500))
    >>> sample.n_seen, sample.rows().num_rows
    (1000, 100)
    """

    most: int
    connection: duckdb.DuckDBPyConnection
    n_seen: int = 0
    _parts: list[pa.Table] = field(default_factory=list)
    _hashes: npt.NDArray[np.uint64] | None = None

    def add(self, accepted: pa.Table) -> None:
        """Show it accepted rows (the typed schema, with ``row_number`` and ``prediction_id``)."""
        self.n_seen += accepted.num_rows
        self._parts.append(accepted)
        if self.n_seen > self.most:
            self._keep_smallest(accepted)

    def rows(self) -> pa.Table:
        """The sample so far, in the order of the batch: the typed schema, ``most`` rows at most."""
        return pa.concat_tables(self._parts).sort_by("row_number")

    def _keep_smallest(self, added: pa.Table) -> None:
        everything = pa.concat_tables(self._parts)
        known = self._hashes
        hashes = self._hash(everything) if known is None else np.concatenate((known, self._hash(added)))
        kept = np.lexsort((everything.column("row_number").to_numpy(), hashes))[: self.most]
        self._hashes = hashes[kept]
        self._parts = [everything.take(kept)]

    def _hash(self, rows: pa.Table) -> npt.NDArray[np.uint64]:
        self.connection.register("arriving", rows.select(["prediction_id"]))
        try:
            hashes: npt.NDArray[np.uint64] = self.connection.sql(_HASHES).to_arrow_table().column("hash").to_numpy()
        finally:
            self.connection.unregister("arriving")
        return hashes
