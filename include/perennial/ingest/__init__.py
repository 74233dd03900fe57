"""Sources to staged batches, and audited rows to published ones."""
