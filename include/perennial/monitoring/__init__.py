"""Signals: drift, quality and performance."""
