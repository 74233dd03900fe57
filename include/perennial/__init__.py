"""Perennial keeps production models alive: monitor, retrain, sign off, promote, roll back."""
