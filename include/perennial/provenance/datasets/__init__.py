"""Which files, tables and versions a step read and wrote, under the names that OpenLineage has for them."""

from perennial.provenance.datasets.named import Dataset
from perennial.provenance.datasets.touched import Touched, touched

__all__ = ["Dataset", "Touched", "touched"]
