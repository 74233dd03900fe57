"""The profiles of published rows: kept as batches are published, made again where rows changed, read for a stretch."""
