"""Whom the tables belong to, in PostgreSQL."""
