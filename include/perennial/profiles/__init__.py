"""Pure: the rows of a block summed up in a few kilobytes, from which any window's distances follow without the rows."""
