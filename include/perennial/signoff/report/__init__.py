"""The signoff of one candidate as a page for its reviewer, kept among the artifacts of its run."""
