"""Audited rows to published ones: all or nothing, once, every staged row accounted for."""
