"""``/perennial/alerts``: Alertmanager posts here, and what ``alerts`` in model.yaml names is started, once a firing.

It asks for a token of its own, and not for a login. What it is asked for is a claim: an alert says of which model it
is and since when it fires, and whether anything is started is for model.yaml, the ledger and the policy to say.
"""

import logging
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from airflow.utils.types import DagRunTriggeredByType
from fastapi import APIRouter, Header, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from perennial.config import ModelConfig, read_models
from perennial.contracts import Window
from perennial.errors import PerennialError, PermanentError, redacted
from perennial.orchestration.console.answering import store
from perennial.orchestration.console.starting import start
from perennial.orchestration.console.tokens import require_token
from perennial.orchestration.timetables import timetable
from perennial.pipeline.alerts import Alert, answer
from perennial.settings import load_settings

router = APIRouter()
log = logging.getLogger(__name__)
LARGEST = 1 << 20
"""Bytes of one post; Alertmanager sends some hundred for an alert."""
MOST_ALERTS = 200
Text = Annotated[str, StringConstraints(max_length=2000)]


class PostedAlert(BaseModel):
    """One alert of a post. What stands in it beside these is not read."""

    model_config = ConfigDict(strict=True, frozen=True)
    status: Literal["firing", "resolved"]
    labels: dict[Text, Text]
    starts_at: Annotated[AwareDatetime, Field(alias="startsAt")]
    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class Post(BaseModel):
    """What Alertmanager sends to a ``webhook_configs``, of the version that it has sent since 2017."""

    model_config = ConfigDict(strict=True, frozen=True)
    version: Literal["4"]
    alerts: Annotated[tuple[PostedAlert, ...], Field(max_length=MOST_ALERTS, strict=False)]


@router.post("/alerts")
async def alerts(
    request: Request, authorization: Annotated[str, Header(max_length=4096)] = ""
) -> dict[str, list[dict[str, str]]]:
    """What became of each alert. 404 where no token is set, 403 without it; 413 and 400 for what is no post of
    Alertmanager's, which it gives up; 503 while something does not answer, which it sends again.
    """
    require_token(load_settings().alerts_token, authorization, "set PERENNIAL_ALERTS_TOKEN to have alerts start runs")
    try:
        post = Post.model_validate_json(await _body(request))
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, found["loc"]))
        raise HTTPException(400, f"no post of Alertmanager's: {where}: {found['msg']}"[:500]) from None
    return {"alerts": await run_in_threadpool(_acted, post, datetime.now(UTC))}


async def _body(request: Request) -> bytes:
    """The whole of it, or 413 as soon as it is too much, whatever its header says."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LARGEST:
            raise HTTPException(413, f"more than {LARGEST} bytes")
    return bytes(body)


def _acted(post: Post, now: datetime) -> list[dict[str, str]]:
    configs = {config.model: config for config in read_models(load_settings().models_dir)[0]}
    return [_one(posted, configs, now) for posted in post.alerts]


def _one(posted: PostedAlert, configs: dict[str, ModelConfig], now: datetime) -> dict[str, str]:
    name, model = posted.labels.get("alertname", ""), posted.labels.get("model", "")
    config = configs.get(model)
    try:
        said = (
            f"there is no model {model[:64]!r}, or its model.yaml is wrong"
            if config is None
            else _of_model(posted, name, config, now)
        )
    except PermanentError as error:
        said = redacted(f"{type(error).__name__}: {error}")
    except PerennialError as error:
        raise HTTPException(503, redacted(f"{type(error).__name__}: {error}")) from error
    log.info("alert %r of %r, %s: %s", name[:100], model[:64], posted.status, said)
    return {"alertname": name, "model": model, "fingerprint": posted.fingerprint, "said": said}


def _of_model(posted: PostedAlert, name: str, config: ModelConfig, now: datetime) -> str:
    alert = Alert(
        alertname=name, fingerprint=posted.fingerprint, starts_at=posted.starts_at, firing=posted.status == "firing"
    )
    found = answer(config, alert, window=_last_window(config, now), store=store(), now=now)
    if found.dag_id is None or found.run_id is None:
        return found.said
    given: dict[str, Any] = found.conf or {}
    by = DagRunTriggeredByType.REST_API
    run = start(found.dag_id, found.run_id, given, user_name="alertmanager", by=by, unknown=503)
    return f"{found.said}; run {run.run_id}{', which waits: its DAG is paused' if run.paused else ''}"


def _last_window(config: ModelConfig, now: datetime) -> Window | None:
    """The last window that is over, with its grace: that of a run by hand. None before the first."""
    from airflow.sdk.timezone import coerce_datetime

    found = timetable(config.schedule, config.grace).infer_manual_data_interval(run_after=coerce_datetime(now))
    if found is None or found.start < config.schedule.start:
        return None
    return Window(start=found.start, end=found.end)
