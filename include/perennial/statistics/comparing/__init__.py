"""Pure: whether shares, means, groups, rankings and series are as they were, or as they should be."""
