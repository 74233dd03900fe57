"""What is measured of a candidate for its gates beside its metrics: groups, data, robustness."""
