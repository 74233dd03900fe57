"""Commands about what answers: the scoring service and its keys, a look of the guards."""
