"""Pure: metrics and what they can carry; no I/O, no clock, nothing of ours above it."""
