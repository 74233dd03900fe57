"""Pure: how far the columns of a window lie from a reference, by their counts, and further than chance or not."""
