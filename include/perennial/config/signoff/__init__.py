"""The ``signoff`` of ``model.yaml``: every gate with its bound, and who answers for a release."""
