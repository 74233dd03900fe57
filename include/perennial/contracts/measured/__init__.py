"""A figure with its uncertainty, and what it speaks about."""
