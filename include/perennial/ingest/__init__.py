"""Sources to staged batches: what was delivered, as it came, and whether it is all there."""
