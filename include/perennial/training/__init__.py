"""Snapshot, fit, evaluate."""
