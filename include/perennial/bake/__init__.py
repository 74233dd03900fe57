"""The probation of a new champion: measured on mature windows, and settled on what was measured."""
