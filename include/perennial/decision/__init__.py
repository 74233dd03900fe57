"""What to do about a window: pure policies."""
