"""The rows that a model is proposed from, of a file or of a table, under the names that they are logged by."""
