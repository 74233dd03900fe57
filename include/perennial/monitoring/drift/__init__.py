"""Drift: how far the columns of a window lie from a reference, and further than chance or not."""
