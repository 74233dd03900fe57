"""Code of a model in a process of its own: without secrets, no longer than allowed, and nothing left of it behind.

:mod:`~perennial.apart.process` runs it, :mod:`~perennial.apart.forking` is the process that has imported what it needs.
"""
