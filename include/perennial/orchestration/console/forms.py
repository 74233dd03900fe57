"""Forms that only the page of this house can have sent: a token that names the login and the page, and its origin.

A page of another site can make a browser send a form here. Three things stand against it, each by itself: the login is
a cookie with ``SameSite=Lax``, which does not go with a form of another site; the token is signed with Airflow's secret
for one login, one page and one hour, and no other site can read the page it stands in; and a browser says where a form
came from. The token has no memory: what a form does is done once for another reason, the ledger's and the run's id.
"""

from urllib.parse import urlsplit

from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.configuration import conf
from fastapi import HTTPException, Request
from itsdangerous import BadSignature, URLSafeTimedSerializer

LASTS_S = 3600


def token_of(user: GetUserDep, request: Request) -> str:
    """The token that a form on this page, shown to this user, sends back."""
    text: str = _signer().dumps([str(user.get_id()), request.url.path])
    return text


def checked(token: str, user: GetUserDep, request: Request) -> None:
    """403 for a form that was not made for this user and this page within the hour, or came from another site."""
    origin = request.headers.get("origin")
    ours = {request.headers.get("host", ""), urlsplit(conf.get("api", "base_url", fallback="") or "").netloc}
    if origin is not None and urlsplit(origin).netloc not in ours - {""}:
        raise HTTPException(403, "this form was sent from another site")
    try:
        made_for = _signer().loads(token, max_age=LASTS_S)
    except BadSignature:
        raise HTTPException(403, "this form is too old, or was not made here: open its page again") from None
    if made_for != [str(user.get_id()), request.url.path]:
        raise HTTPException(403, "this form was made for another login or another page: open its page again")


def _signer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(conf.get("api", "secret_key"), salt="console")
