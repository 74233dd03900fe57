"""Policies side by side on logged history: trials of each, the baselines, what they were worth, and a proposal."""
