"""``python -m stack.compose_env > .env``: new secrets for docker-compose.yaml."""

import sys
from dataclasses import fields

from stack.credentials import Credentials

# The variables of docker-compose.yaml, and the secrets they carry.
VARIABLES = {item.name.upper(): item.name for item in fields(Credentials) if item.name != "state_id"}


def render(credentials: Credentials) -> str:
    """The text of an .env file with these secrets.

    >>> render(Credentials(postgres_password="p")).splitlines()[0]
    'POSTGRES_PASSWORD=p'
    """
    return "".join(f"{variable}={getattr(credentials, field)}\n" for variable, field in VARIABLES.items())


if __name__ == "__main__":
    sys.stdout.write(render(Credentials()))
