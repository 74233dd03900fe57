"""Pure: what a metric should be where no label is in yet, from what the scores of a holdout were worth."""
