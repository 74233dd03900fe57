"""What is tried before a candidate is fitted: parameters of a recipe (:mod:`perennial.config.training.search`)."""
