"""What is done once more about windows that were decided already."""
