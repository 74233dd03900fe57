"""Guards without labels: what the scoring service counted of a version in its bake, judged and written down."""
