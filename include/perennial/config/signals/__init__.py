"""The ``signals`` of ``model.yaml``: what is measured, how surely, and against which bounds."""
