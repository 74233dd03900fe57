"""The table of ledger kinds says what the writers write: read from their code, so that no writer is overlooked."""

import ast
from collections import defaultdict
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import get_args

from perennial import contracts
from perennial.contracts import LedgerKind
from perennial.ledger.kinds import KINDS

PACKAGE = Path(contracts.__file__).parents[1]
OF_INTENTS = {"canary": "canary_intent", "promotion": "promotion_intent", "rollback": "rollback_intent"}


@dataclass
class Writing:
    """One place where an entry is made."""

    module: str
    kinds: list[str]
    keys: set[str]
    of_intent: bool = False


@dataclass
class Writer:
    """One module, and how the payloads in it are put together. What it can not follow, it refuses."""

    path: Path
    tree: ast.Module = field(init=False)

    def __post_init__(self) -> None:
        self.tree = ast.parse(self.path.read_text(encoding="utf-8"))

    @property
    def module(self) -> str:
        return ".".join(self.path.relative_to(PACKAGE).with_suffix("").parts)

    def writings(self) -> list[Writing]:
        return [
            self.writing(node, function)
            for function in ast.walk(self.tree)
            if isinstance(function, ast.FunctionDef)
            for node in ast.walk(function)
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("LedgerEntry")
            if not any(keyword.arg is None for keyword in node.keywords)  # a row of the table as a record
        ]

    def writing(self, call: ast.Call, function: ast.FunctionDef) -> Writing:
        given = {str(keyword.arg): keyword.value for keyword in call.keywords}
        kind = given["kind"]
        named = [kind.body, kind.orelse] if isinstance(kind, ast.IfExp) else [kind]
        kinds = [str(ast.literal_eval(one)) for one in named]
        keys = self.keys(given["payload"], function) if "payload" in given else set()
        return Writing(self.module, kinds, keys - {"*intent"}, of_intent="*intent" in keys)

    def keys(self, value: ast.expr, function: ast.FunctionDef) -> set[str]:
        match value:
            case ast.Dict():
                pairs = zip(value.keys, value.values, strict=True)
                found = [{str(ast.literal_eval(key))} if key else self.keys(part, function) for key, part in pairs]
                return set().union(*found)
            case ast.Call(func=ast.Name(id="to_record"), args=[ast.Name(id=name)]):
                kinds = {one.arg: ast.unparse(one.annotation) for one in function.args.args if one.annotation}
                return {one.name for one in fields(getattr(contracts, kinds[name]))}
            case ast.Call(func=ast.Name(id=name)):
                return self.keys_of_function(name)
            case ast.Attribute(value=ast.Name(id="intent"), attr="payload"):
                return {"*intent"}
        raise AssertionError(f"{self.module}: teach this test to follow {ast.unparse(value)}")

    def keys_of_function(self, name: str) -> set[str]:
        (function,) = (one for one in self.tree.body if isinstance(one, ast.FunctionDef) and one.name == name)
        found: set[str] = set()
        for node in ast.walk(function):
            match node:
                case ast.Return(value=ast.Dict() as value) | ast.AnnAssign(value=ast.Dict() as value):
                    found |= self.keys(value, function)
                case ast.Assign(targets=[ast.Subscript(slice=ast.Constant(value=key))]):
                    found.add(str(key))
        return found


def written() -> list[Writing]:
    """Every place in the package that makes an entry."""
    return [one for path in sorted(PACKAGE.rglob("*.py")) for one in Writer(path).writings()]


def test_every_kind_stands_in_the_table() -> None:
    assert tuple(KINDS) == get_args(LedgerKind)


def test_the_table_has_the_payload_keys_that_are_written_and_no_others() -> None:
    found: dict[str, set[str]] = defaultdict(set)
    for one in written():
        for kind in one.kinds:
            found[kind] |= one.keys | (set(KINDS[OF_INTENTS[kind]].payload) if one.of_intent else set())  # type: ignore[index]
    assert found == {kind: set(entry.payload) for kind, entry in KINDS.items()}


def test_the_table_names_the_modules_that_write() -> None:
    found: dict[str, set[str]] = defaultdict(set)
    for one in written():
        for kind in one.kinds:
            found[kind].add(one.module)
    assert found == {kind: set(entry.writers) for kind, entry in KINDS.items()}
