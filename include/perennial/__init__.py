"""Perennial keeps production models alive: monitor, retrain, sign off, promote, roll back."""

import os

# OpenMP reads this once, when scikit-learn is first imported, so it stands before every other import of ours. Threads
# that spin while they wait cost more than they gain as soon as anything else runs: on two cores under a load of nine, a
# fit of 35,000 rows and its evaluation took 75 s spinning and 21 s passive. Whoever sets it keeps the last word.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
