"""Which rows teach a candidate: the stretches that they lie in, and how many of them."""
