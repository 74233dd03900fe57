"""The OpenAPI description of one model's service: types, ranges, units and examples as ``model.yaml`` has them."""

from typing import Any, Literal

import msgspec
from msgspec import Struct

from perennial.config import ModelConfig
from perennial.serving.requests.faults import allowed
from perennial.serving.requests.types import Types

_WHOSE = {
    "name": "x-routing-key",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "Whose request it is: all of one key have one arm. The id of the first row unless it is given",
}
_REF = "#/components/schemas/{name}"
_JSON = "application/json"


class Prediction(Struct, omit_defaults=True):
    """One row's answer. ``predicted`` is absent for a regression."""

    prediction_id: str
    score: float
    predicted: str | int | None = None


class Answer(Struct):
    """What a request for predictions gets; ``logged`` is false where ``serving.on_full_disk: answer`` let it go.
    ``arm`` is who answered: the ``champion``, the ``canary``, or the champion as its ``baseline``."""

    request_id: str
    model: str
    version: str
    logged: bool
    predictions: list[Prediction]
    arm: Literal["canary", "baseline", "champion"] = "champion"


class Wrong(Struct, omit_defaults=True):
    """One fault of a request: which row, field and value, and what is allowed there."""

    allowed: str
    row: int | None = None
    field: str | None = None
    value: str | None = None


class Refused(Struct):
    """Why a request was not answered; ``faults`` holds the first of ``n_faults``."""

    request_id: str
    error: str
    faults: list[Wrong]
    n_faults: int


class Taken(Struct):
    """That labels were taken."""

    request_id: str
    n_labels: int


def describe(config: ModelConfig, types: Types) -> dict[str, Any]:
    """The document.

    >>> from perennial.serving.requests.types import types_of
    >>> made = describe(flights, types_of(flights))
    >>> hour = made["components"]["schemas"]["Row"]["properties"]["scheduled_hour"]
    >>> hour["minimum"], hour["maximum"], hour["description"]
    (0.0, 23.0, 'a number from 0 to 23, in local hour')
    >>> sorted(made["paths"])
    ['/figures', '/healthz', '/labels', '/metrics', '/model', '/predict', '/readyz']
    """
    bodies = [types.predict, types.labels, Answer, Refused, Taken]
    _, schemas = msgspec.json.schema_components(bodies, ref_template=_REF)
    for name, spec in config.features.items():
        written = ", written without a point" if spec.type == "int" else ""
        schemas["Row"]["properties"][name]["description"] = f"{allowed(spec)}{written}"
    key = {"type": "http", "scheme": "bearer", "description": "perennial keys add NAME makes one"}
    return {
        "openapi": "3.1.0",
        "info": {"title": config.title, "version": config.digest[:12], "description": config.about.purpose},
        "paths": {
            "/predict": {"post": _post("Score one or many rows", "Predict", "Answer") | {"parameters": [_WHOSE]}},
            "/labels": {"post": _post("Say what became of predictions", "Labels", "Taken")},
            "/model": {"get": _get("The version that answers, and what is known of the champion", _JSON)},
            "/healthz": {"get": _get("The process lives", _JSON)},
            "/readyz": {"get": _get("It can answer; 503 and why when it can not", _JSON, "503")},
            "/metrics": {"get": _get("Figures for Prometheus", "text/plain")},
            "/figures": {"get": _get("Counts of each version and arm, lately and in total", _JSON)},
        },
        "components": {"schemas": schemas, "securitySchemes": {"key": key}},
        "security": [{}, {"key": []}],
    }


def _body(name: str) -> dict[str, Any]:
    return {_JSON: {"schema": {"$ref": _REF.format(name=name)}}}


_CODES = {
    "400": "no JSON",
    "401": "no key, or none that is known",
    "403": "asked by another name than that of this machine",
    "409": "another body was sent under this Idempotency-Key",
    "413": "the body is too large",
    "415": "the body is no application/json",
    "422": "a row, field or value is not allowed",
    "429": "more than serving.rate_limit allows; Retry-After says when to come again",
    "500": "the model raised, or answered no number",
    "503": "no version is loaded, or the log can not be written",
}


def _post(summary: str, body: str, answer: str) -> dict[str, Any]:
    refused = {code: {"description": words, "content": _body("Refused")} for code, words in _CODES.items()}
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": _body(body)},
        "responses": {"200": {"description": "done", "content": _body(answer)}, **refused},
    }


def _get(summary: str, kind: str, *more: str) -> dict[str, Any]:
    said = {"description": summary, "content": {kind: {"schema": {"type": "string"} if kind == "text/plain" else {}}}}
    refused = {code: {"description": _CODES[code], "content": _body("Refused")} for code in ("401", "403")}
    return {"summary": summary, "responses": {**dict.fromkeys(("200", *more), said), **refused}}
