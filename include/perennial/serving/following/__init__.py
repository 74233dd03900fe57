"""The process that follows the alias: it asks the registry, loads, verifies and warms, and hands over."""
