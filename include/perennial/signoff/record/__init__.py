"""The record of the gates themselves: whether what they let through was right."""
