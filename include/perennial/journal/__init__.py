"""One JSON line a step: what it was about, how it ended, and what it took. Files by day, beside the logs for readers.

Lines are written whatever becomes of the step, except where its process is killed; none of them stops a step, and none
is ever read by one. :mod:`perennial.journal.reading` sums them up.
"""

from perennial.journal.keeping import folder_of, keep
from perennial.journal.line import Line, Took, line_of

__all__ = ["Line", "Took", "folder_of", "keep", "line_of"]
