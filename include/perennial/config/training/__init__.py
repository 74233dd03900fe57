"""How a candidate comes about in detail: parameters that are searched, a threshold that is tuned."""
