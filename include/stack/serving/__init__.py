"""The scoring services of a deployment: one for each model that it serves."""
