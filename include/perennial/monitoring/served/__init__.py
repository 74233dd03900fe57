"""Signals of what was served in a window, before any label of it is in."""
