"""Staged text, numbers and moments as the values that the model declares, and the words for what is none of them."""
