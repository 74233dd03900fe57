"""A client of the scoring service: batches, waits no longer than told, and asks again without logging twice.

It needs *httpx* and nothing else of Perennial.
"""

from perennial.client.answers import Answered, AnswerLost, ClientError, Refused, Scored, TooMuch, Unreachable, Wrong
from perennial.client.asking import Client, Patience

__all__ = [
    "AnswerLost",
    "Answered",
    "Client",
    "ClientError",
    "Patience",
    "Refused",
    "Scored",
    "TooMuch",
    "Unreachable",
    "Wrong",
]
