"""What is drawn of a candidate, and what that takes: attributions of some answers, fits on fewer rows."""
