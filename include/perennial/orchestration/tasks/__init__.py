"""What the tasks of each DAG do: a task body decodes, calls one step of the case, and encodes."""
