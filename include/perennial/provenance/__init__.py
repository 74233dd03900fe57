"""Where a version came from, and whether it can be made again: lineage in both directions, and reproduction."""
