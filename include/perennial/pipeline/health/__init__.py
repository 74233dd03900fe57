"""What the console's pages show of a model: read from the store by index, in a few statements each."""
