"""What each format holds: the rows of a file in the staged schema."""
