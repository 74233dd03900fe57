"""Who is told of what: incidents derived from the ledger and the signals, their texts, and the channels they go to."""

from perennial.notifying.incidents import Incident, Kind
from perennial.notifying.telling import STACK, Channels, Told, channels_of, notify, notify_of_stack, pending

__all__ = ["STACK", "Channels", "Incident", "Kind", "Told", "channels_of", "notify", "notify_of_stack", "pending"]
