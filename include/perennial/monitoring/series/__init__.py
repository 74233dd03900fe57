"""Signals about signals: whether a series goes on as it did."""
