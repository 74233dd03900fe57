"""The audit: casts, Great Expectations, quarantine."""
