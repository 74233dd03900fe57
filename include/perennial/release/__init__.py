"""Promotion, bake and rollback: the only code that moves an alias."""
