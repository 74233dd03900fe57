"""The frozen records that pass between stages, with the behaviour that belongs to them.

They are small enough for XCom: ids, windows, counts, digests and URIs, never rows or models. ``to_record`` and
``from_record`` turn them into JSON-ready dictionaries and back.
"""

from perennial.contracts.batches import Audit, Batch, ExpectationVerdict, Publication, SourceKind, number_of
from perennial.contracts.candidates import Candidate, Evaluation, FittedRun, Snapshot
from perennial.contracts.decisions import Action, BakeState, Decision, Ending, RetrainRequest
from perennial.contracts.measured.estimates import Chance, Estimate, Interval
from perennial.contracts.measured.hindsight import Hindsight, Record, record_of
from perennial.contracts.measured.judged import (
    Apart,
    DataFacts,
    GroupFacts,
    Robustness,
    ServingBehaviour,
    SliceGain,
    SliceGains,
)
from perennial.contracts.measured.records import digest_of, from_record, to_record
from perennial.contracts.measured.subjects import Subject
from perennial.contracts.releases import Hold, LedgerEntry, LedgerKind, Lineage, Release, ReleaseState
from perennial.contracts.signals import Signal, SignalName, SignalRole, SignalStatus, Since
from perennial.contracts.signoffs import (
    PARITY,
    RULES_CHANGED,
    SERVING,
    SIGNATURE,
    Flag,
    Gate,
    PastGates,
    Review,
    Signoff,
    flaw_of_names,
    is_nobody,
)
from perennial.contracts.windows import Window, parse_moment, utc

__all__ = [
    "PARITY",
    "RULES_CHANGED",
    "SERVING",
    "SIGNATURE",
    "Action",
    "Apart",
    "Audit",
    "BakeState",
    "Batch",
    "Candidate",
    "Chance",
    "DataFacts",
    "Decision",
    "Ending",
    "Estimate",
    "Evaluation",
    "ExpectationVerdict",
    "FittedRun",
    "Flag",
    "Gate",
    "GroupFacts",
    "Hindsight",
    "Hold",
    "Interval",
    "LedgerEntry",
    "LedgerKind",
    "Lineage",
    "PastGates",
    "Publication",
    "Record",
    "Release",
    "ReleaseState",
    "RetrainRequest",
    "Review",
    "Robustness",
    "ServingBehaviour",
    "Signal",
    "SignalName",
    "SignalRole",
    "SignalStatus",
    "Signoff",
    "Since",
    "SliceGain",
    "SliceGains",
    "Snapshot",
    "SourceKind",
    "Subject",
    "Window",
    "digest_of",
    "flaw_of_names",
    "from_record",
    "is_nobody",
    "number_of",
    "parse_moment",
    "record_of",
    "to_record",
    "utc",
]
