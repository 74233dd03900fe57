"""The routes of the console that change something: a GET shows what would be done, a POST from that page does it.

Each does what MLflow's tags, the command line or a DAG's form do, through the same code.
"""

from datetime import UTC, datetime
from typing import Annotated, Literal

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Form, HTTPException, Path, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from perennial import ledger
from perennial.config import ModelConfig
from perennial.contracts import Hold
from perennial.errors import PermanentError, redacted
from perennial.orchestration.console import ROOT
from perennial.orchestration.console.access import ACKNOWLEDGE, REVIEW, ROLL_BACK, Right, actable, may, readable
from perennial.orchestration.console.answering import answered, runtime, store
from perennial.orchestration.console.forms import checked, token_of
from perennial.orchestration.console.pages.acting import (
    LONGEST_REASON,
    hold_page,
    review_page,
    rollback_page,
    rolling_back_page,
)

router = APIRouter(default_response_class=HTMLResponse)
Model = Annotated[str, Path(max_length=64)]
Entry = Annotated[str, Path(max_length=64)]
Token = Annotated[str, Form(max_length=1000)]
Reason = Annotated[str, Form(max_length=LONGEST_REASON)]


@router.get("/models/{model}/reviews/{signoff_id}")
def review(model: Model, signoff_id: Entry, user: GetUserDep, request: Request) -> str:
    """The signoff, with a form for whoever may answer it."""
    with answered():
        config = readable(model, user)
        return _review(config, signoff_id, user, request)


@router.post("/models/{model}/reviews/{signoff_id}", response_model=None)
def answer_review(
    *,
    model: Model,
    signoff_id: Entry,
    user: GetUserDep,
    request: Request,
    token: Token,
    reason: Reason,
    answer: Annotated[Literal["approved", "rejected"], Form()],
) -> Response:
    """The answer of this user, into the ledger; the run that waits for it goes on."""
    from perennial.pipeline.answers.verified import answer as give

    with answered():
        config = actable(model, user, REVIEW)
        checked(token, user, request)
        try:
            case = runtime().case(config)
            give(case, signoff_id, answer, by=user.get_name(), reason=reason, now=datetime.now(UTC))
        except PermanentError as error:
            return HTMLResponse(_review(config, signoff_id, user, request, redacted(str(error))), 409)
    return RedirectResponse(request.url.path, 303)


@router.get("/models/{model}/rollback")
def rollback(model: Model, user: GetUserDep, request: Request) -> str:
    """Where a rollback would go, with a form for whoever may start it."""
    with answered():
        config = readable(model, user)
        return _rollback(config, user, request)


@router.post("/models/{model}/rollback", response_model=None)
def start_rollback(
    *,
    model: Model,
    user: GetUserDep,
    request: Request,
    token: Token,
    reason: Reason,
    version: Annotated[str, Form(max_length=20)],
) -> Response:
    """A run of the rollback DAG, under this user's name; the same form twice is the same run."""
    from perennial.orchestration.console.starting import start_rollback as start

    with answered():
        config = actable(model, user, ROLL_BACK)
        checked(token, user, request)
        trusted = ledger.release_state(store(), config.model).trusted
        why = " ".join(reason.split())
        if version not in trusted or not why:
            flaw = "a rollback needs a reason" if not why else f"version {version} is none that a rollback may go to"
            return HTMLResponse(_rollback(config, user, request, flaw), 409)
        run = start(config.model, version, why, user_name=user.get_name(), form=token)
    return HTMLResponse(rolling_back_page(config, run.run_id, paused=run.paused, root=ROOT), 202)


@router.get("/models/{model}/holds/{hold_id}")
def hold(model: Model, hold_id: Entry, user: GetUserDep, request: Request) -> str:
    """A held stretch, with a form for whoever may give their word on it."""
    with answered():
        config = readable(model, user)
        return _hold(config, hold_id, user, request)


@router.post("/models/{model}/holds/{hold_id}", response_model=None)
def acknowledge(
    *,
    model: Model,
    hold_id: Entry,
    user: GetUserDep,
    request: Request,
    token: Token,
    reason: Reason,
    answer: Annotated[Literal["exclude", "include"], Form()],
) -> Response:
    """This user's word on a hold."""
    with answered():
        config = actable(model, user, ACKNOWLEDGE)
        checked(token, user, request)
        why, case = " ".join(reason.split()), runtime().case(config)
        try:
            _held(config, hold_id)
            if not why:
                raise PermanentError("your word needs a reason")
            at = case.last_monitored() or datetime.now(UTC)
            case.acknowledge(hold_id, actor=user.get_name(), reason=why, exclude=answer == "exclude", at=at)
        except PermanentError as error:
            return HTMLResponse(_hold(config, hold_id, user, request, redacted(str(error))), 409)
    return RedirectResponse(request.url.path, 303)


def _review(config: ModelConfig, signoff_id: str, user: GetUserDep, request: Request, problem: str = "") -> str:
    from perennial.pipeline.answers.verified import read_asked

    asked = read_asked(config, signoff_id, store=store())
    token = _token(config, user, request, REVIEW)
    return review_page(config, asked, root=ROOT, token=token, name=user.get_name(), problem=problem)


def _rollback(config: ModelConfig, user: GetUserDep, request: Request, problem: str = "") -> str:
    state, token = ledger.release_state(store(), config.model), _token(config, user, request, ROLL_BACK)
    return rollback_page(config, state, root=ROOT, token=token, name=user.get_name(), problem=problem)


def _hold(config: ModelConfig, hold_id: str, user: GetUserDep, request: Request, problem: str = "") -> str:
    found, token = _held(config, hold_id), _token(config, user, request, ACKNOWLEDGE)
    return hold_page(config, found, root=ROOT, token=token, name=user.get_name(), problem=problem)


def _held(config: ModelConfig, hold_id: str) -> Hold:
    holds = ledger.release_state(store(), config.model).holds
    found = next((one for one in holds if one.entry_id == hold_id), None)
    if found is None:
        raise HTTPException(404, "no such hold")
    return found


def _token(config: ModelConfig, user: GetUserDep, request: Request, right: Right) -> str | None:
    return token_of(user, request) if may(user, config, right) else None
