"""The append-only log of answers: written in groups, rotated to where ingest reads, recovered after a crash."""
