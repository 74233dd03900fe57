"""Groups of labelled rows: by the values of a column, by the leaves of a tree that looks for the worst of them."""
