"""Secrets lie where only their owner can read them, and nowhere else."""

import json
import stat
from dataclasses import fields
from pathlib import Path

import pytest

from perennial.errors import StackError
from stack import StackLayout
from stack.credentials import LATER, Credentials, load, load_or_create, write_private
from stack.supervision import environment_setting, write_configuration


def _mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_generated_once_and_readable_by_the_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "credentials.json"
    created = load_or_create(file, data=tmp_path / "data")
    assert _mode(file) == 0o600
    assert load_or_create(file, data=tmp_path / "data") == created
    assert len({getattr(created, item.name) for item in fields(Credentials)}) == len(fields(Credentials))


def test_rights_that_someone_widened_are_narrowed_again(tmp_path: Path) -> None:
    file = tmp_path / "credentials.json"
    load_or_create(file, data=tmp_path / "data")
    file.chmod(0o644)
    load(file)
    assert _mode(file) == 0o600


def test_repr_shows_no_secret() -> None:
    created = Credentials()
    shown = repr(created)
    secrets = [getattr(created, item.name) for item in fields(Credentials) if item.name != "state_id"]
    assert not [secret for secret in secrets if secret in shown]


def test_incomplete_file_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "credentials.json"
    load_or_create(file, data=tmp_path / "data")
    kept = json.loads(file.read_text())
    del kept["airflow_fernet_key"]
    file.write_text(json.dumps(kept))
    with pytest.raises(StackError, match=r"credentials\.json lack airflow_fernet_key"):
        load(file)
    file.write_text("{")
    with pytest.raises(StackError, match="cannot be read"):
        load(file)


def test_a_file_of_an_earlier_release_keeps_its_secrets_and_gets_what_it_lacks(tmp_path: Path) -> None:
    file, data = tmp_path / "credentials.json", tmp_path / "data"
    first = load_or_create(file, data=data)
    data.mkdir()
    kept = {name: value for name, value in json.loads(file.read_text()).items() if name not in LATER}
    file.write_text(json.dumps(kept))
    with pytest.raises(StackError, match="`perennial down`, then `perennial up` adds them"):
        load(file)
    completed = load_or_create(file, data=data)
    assert {name: getattr(completed, name) for name in kept} == kept
    assert not {getattr(completed, name) for name in LATER} & {getattr(first, name) for name in LATER}
    assert load_or_create(file, data=data) == load(file) == completed
    assert _mode(file) == 0o600
    file.write_text(json.dumps({name: value for name, value in kept.items() if name != "airflow_fernet_key"}))
    with pytest.raises(StackError, match="lack airflow_fernet_key"):  # never made anew: it opens what is there
        load_or_create(file, data=data)


def test_private_file_replaces_an_open_one(tmp_path: Path) -> None:
    file = tmp_path / "stack.env"
    file.write_text("old")
    file.chmod(0o666)
    write_private(file, "new")
    assert (_mode(file), file.read_text()) == (0o600, "new")
    assert list(tmp_path.iterdir()) == [file]


def test_supervisor_configuration_is_private(tmp_path: Path) -> None:
    layout = StackLayout(home=tmp_path / "state")
    layout.prepare()
    program = {"command": "true", "environment": environment_setting({"SECRET": "100%"})}
    file = write_configuration(layout, {"a": program})
    assert _mode(file) == 0o600
    assert 'environment=SECRET="100%%"' in file.read_text()


@pytest.mark.parametrize("value", ['a"b', "'a", "a'"])
def test_value_that_supervisor_would_change_is_refused(value: str) -> None:
    with pytest.raises(StackError, match="NAME, which holds quotes"):
        environment_setting({"NAME": value})
