"""MLflow: runs, model versions, aliases and tags."""
