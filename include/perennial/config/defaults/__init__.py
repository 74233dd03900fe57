"""What ``model.yaml`` may leave out because the rest of it says it: stretches from the schedule, bounds from the task."""
