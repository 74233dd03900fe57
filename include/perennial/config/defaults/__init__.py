"""What ``model.yaml`` may leave out since the rest says it: stretches from the schedule, bounds from the task."""
