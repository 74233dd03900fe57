"""The gates, and the review."""
