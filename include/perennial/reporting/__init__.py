"""What is told of a model to a person: where it stands, in words, and all that is known of it on one page."""
