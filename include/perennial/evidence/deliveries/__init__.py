"""What was delivered of each window, whatever stands in its rows."""
