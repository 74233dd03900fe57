"""``model.yaml`` as strict records: the one place where a threshold is declared.

Unknown keys, wrong types and contradictions are refused with the file, the key, the value and what is allowed.
"""

from perennial.config.consistency import RESERVED
from perennial.config.inputs import (
    CAUSED,
    ERROR,
    LATENCY,
    MEMORY,
    BoolFeature,
    CategoryFeature,
    Feature,
    FileSource,
    Label,
    NumberFeature,
    PredictionColumns,
    Schedule,
    Source,
    Sources,
    TableSource,
    previous_windows,
)
from perennial.config.loading import load_model, load_models, read_models
from perennial.config.model import ModelConfig
from perennial.config.rules import (
    Bake,
    ExtraExpectation,
    Policy,
    Training,
    Validation,
)
from perennial.config.serving import Serving
from perennial.config.signals.declared import DriftMethod, PerformanceSignal, Signals
from perennial.config.signoff.declared import ReviewPolicy, SignoffPolicy
from perennial.config.signoff.gates import MetricGate, RelativeGate

__all__ = [
    "CAUSED",
    "ERROR",
    "LATENCY",
    "MEMORY",
    "RESERVED",
    "Bake",
    "BoolFeature",
    "CategoryFeature",
    "DriftMethod",
    "ExtraExpectation",
    "Feature",
    "FileSource",
    "Label",
    "MetricGate",
    "ModelConfig",
    "NumberFeature",
    "PerformanceSignal",
    "Policy",
    "PredictionColumns",
    "RelativeGate",
    "ReviewPolicy",
    "Schedule",
    "Serving",
    "Signals",
    "SignoffPolicy",
    "Source",
    "Sources",
    "TableSource",
    "Training",
    "Validation",
    "load_model",
    "load_models",
    "previous_windows",
    "read_models",
]
