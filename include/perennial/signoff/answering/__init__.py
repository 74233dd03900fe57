"""Answers to a signoff that do not come by its tags."""
