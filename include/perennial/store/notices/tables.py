"""Incidents and notices: an incident once, and each message about it once for every channel."""

from sqlalchemy import Column, Integer, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.schema import Index

from perennial.store.schema import Moment, metadata

incidents = Table(
    "incidents",
    metadata,
    Column("fingerprint", Text, primary_key=True, doc="digest of model, kind, subject and what it began with"),
    Column("model", Text, nullable=False, doc="the model; `perennial` for what is about all of them"),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False, doc="which of its kind: a version, a family of signals, a task"),
    Column("record", JSONB, nullable=False, doc="the record Incident"),
    Column("opened_at", Moment, nullable=False, doc="when it was found"),
    Column("resolved_at", Moment, doc="when it was found over; that of an event is `opened_at`; null: it lasts"),
    Column("resolution", Text, nullable=False, server_default="", doc="what ended it; empty for an event"),
    Index("incidents_by_model", "model", "opened_at"),
    Index("incidents_open", "model", "kind", "subject", unique=True, postgresql_where=text("resolved_at IS NULL")),
    info={"doc": "What befell a model and was worth a word; derived from the ledger and the signals."},
)

notices = Table(
    "notices",
    metadata,
    Column("fingerprint", Text, primary_key=True, doc="of the incident"),
    Column("phase", Text, primary_key=True, doc="opened or resolved"),
    Column("channel", Text, primary_key=True, doc="the environment variable that holds its URL; never the URL"),
    Column(
        "status",
        Text,
        nullable=False,
        doc="sending, resending (cut off once), sent, failed, or lost (cut off twice)",
    ),
    Column("attempts", Integer, nullable=False),
    Column("tried_at", Moment, nullable=False, doc="when it was tried last"),
    Column("problem", Text, nullable=False, server_default="", doc="why it failed, without a secret"),
    info={"doc": "What was told of incidents, by channel."},
)
