"""Signals of a window whose labels are in, beside its performance."""
