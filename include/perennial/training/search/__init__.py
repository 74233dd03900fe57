"""Parameters of a recipe that are tried before it is fitted: in its process, kept beside it, and shown in MLflow."""
