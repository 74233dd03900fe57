"""docs/reference/settings.md, from perennial.settings and from every place that asks the environment."""

import ast
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from perennial.registry import client
from perennial.settings import ROOT, Settings
from reference_pages.markdown import code, joined, table

INCLUDE = ROOT / "include"
STEPS = [INCLUDE / "stack" / name for name in ("migrate_airflow.py", "mlflow_accounts.py")]
PREFIX = str(Settings.model_config["env_prefix"])
INTRODUCTION = """
# Settings

Every environment variable that is read. This page is generated from `include/perennial/settings.py` by `make docs`;
edit the fields, not the page. What the environment does not set is read from `stack.env` in the state folder, which
`make up` writes; `PERENNIAL_HOME` is read from the environment alone, since it says where that file is. Every threshold
is in a model's [model.yaml](model-yaml.md), not here.
"""
OF_OTHERS = """
## Variables of the libraries

Set by Perennial for itself and the processes it starts. A value of yours is kept where the table says so.
"""
OF_SOURCES = """
## Variables that `model.yaml` names

A table source reads its SQLAlchemy URL from the variable that its `url_env` names. It has no default: a run whose model
needs it, and does not find it, is red with a `ConfigError`.

A channel of `notify` is a variable that holds an Apprise URL. What is due there waits, and is named, until it is set.
"""
OF_STACK = """
## Variables of the stack in containers

Read by `python -m stack.migrate_airflow` and `python -m stack.mlflow_accounts`, which the local stack and
docker-compose.yaml run: {names}.
"""
OF_TESTS = """
## Variables of the tests

Servers that the tests use instead of starting their own: {names}.
"""


def page() -> str:
    """The whole page as Markdown."""
    rows = [(code(variable(name, field)), _default(field), field.description or "") for name, field in _fields()]
    return joined(
        INTRODUCTION,
        table(["variable", "default", "meaning"], rows),
        OF_SOURCES,
        OF_OTHERS,
        table(
            ["variable", "value", "yours is kept"],
            [(code(name), code(value), kept) for name, value, kept in _of_libraries()],
        ),
        OF_STACK.format(names=_named_in(STEPS, r'environ\[f?"([A-Z]+(?:_+[A-Z]+)+)"')),
        OF_TESTS.format(names=_named_in(sorted((ROOT / "tests").rglob("*.py")), r"PERENNIAL_TEST_[A-Z0-9_]+")),
    )


def _fields() -> list[tuple[str, FieldInfo]]:
    return list(Settings.model_fields.items())


def variable(name: str, field: FieldInfo) -> str:
    """The variable of a setting.

    >>> variable("home", Settings.model_fields["home"]), variable("mlflow_uri", Settings.model_fields["mlflow_uri"])
    ('PERENNIAL_HOME', 'MLFLOW_TRACKING_URI')
    """
    return str(field.validation_alias or f"{PREFIX}{name}".upper())


def _default(field: FieldInfo) -> str:
    value: Any = field.default
    if value is None:
        return "none"
    return code(value.relative_to(ROOT)) if isinstance(value, Path) else code(value)


def _of_libraries() -> list[tuple[str, str, str]]:
    """Every variable that the package sets, with its value and whether one that is set keeps it."""
    found = {name: (value, "yes") for name, value in client.DEFAULTS.items()}
    for path in sorted((INCLUDE / "perennial").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(args=[ast.Constant(value=str(name)), ast.Constant(value=str(value))]) if (
                    ast.unparse(node.func) == "os.environ.setdefault"
                ):
                    found.setdefault(name, (value, "yes"))
                case ast.Assign(
                    targets=[ast.Subscript(slice=ast.Constant(value=str(name))) as target],
                    value=ast.Constant(value=str(value)),
                ) if ast.unparse(target.value) == "os.environ":
                    found[name] = (value, "")
    return [(name, *rest) for name, rest in sorted(found.items())]


def _named_in(paths: Iterable[Path], pattern: str) -> str:
    texts = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    return ", ".join(code(name) for name in sorted(set(re.findall(pattern, texts))))
