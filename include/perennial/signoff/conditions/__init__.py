"""Gates by what they look at: groups of rows, the data, the fresh process; all pure."""
