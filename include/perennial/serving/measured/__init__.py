"""What the service counts of each version that answers, for whoever guards it: ``GET /figures``."""
