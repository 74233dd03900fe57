"""What performance should be without labels, and what it is instead once they are in."""
