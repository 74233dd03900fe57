"""What the scoring service measures of the versions that answer, and what it says of one beside another: pure.

:mod:`~perennial.guards.figures` holds counts that can be added up over processes and stretches of time,
:mod:`~perennial.guards.judging` makes signals of them, on the bounds of ``release.guards``, and
:mod:`~perennial.guards.apart` has the intervals of differences of counts.
"""
