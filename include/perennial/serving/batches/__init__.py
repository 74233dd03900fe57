"""Batches: rows of a file answered as requests are, by the same types, predictors and log lines."""
