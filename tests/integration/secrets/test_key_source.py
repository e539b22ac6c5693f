"""The vault's keys come from one trusted place, and a lost one is noticed before anything is served."""

import base64
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runwright.config.private_file import PrivateFileError
from runwright.core.errors import RunwrightError
from runwright.secrets import key_source as keys
from runwright.secrets.key_source import FILE_NAME, KeySource, load_keyring
from runwright.secrets.keyring import key_id
from runwright.secrets.model import VaultKeyError

KEY, OTHER = os.urandom(32), os.urandom(32)
TEXT = base64.b64encode(KEY).decode()


def test_the_first_start_makes_a_key_and_later_ones_find_it(tmp_path: Path) -> None:
    source = KeySource(data_dir=tmp_path / "data")
    with ThreadPoolExecutor(8) as threads:
        made = set(threads.map(lambda _: load_keyring(source, []).ids, range(16)))
    assert len(made) == 1
    file = tmp_path / "data" / FILE_NAME
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == [FILE_NAME]
    assert load_keyring(source, list(*made)).ids == made.pop()


def test_a_key_is_not_made_where_stored_secrets_need_another(tmp_path: Path) -> None:
    with pytest.raises(VaultKeyError, match="abc123"):
        load_keyring(KeySource(data_dir=tmp_path), ["abc123"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("given", ["text", "file", "command"])
def test_the_key_comes_from_where_it_is_said_to_be(tmp_path: Path, given: str) -> None:
    file = tmp_path / "key"
    file.write_text(TEXT + "\n")
    file.chmod(0o600)
    sources = {
        "text": KeySource(text=TEXT, data_dir=tmp_path),
        "file": KeySource(file=file, data_dir=tmp_path),
        "command": KeySource(command=f"cat '{file}'", data_dir=tmp_path),
    }
    assert load_keyring(sources[given], []).ids == (key_id(KEY),)
    assert TEXT not in repr(sources[given])
    assert [path.name for path in tmp_path.iterdir()] == ["key"]
    with pytest.raises(VaultKeyError, match=key_id(OTHER)) as caught:
        load_keyring(sources[given], [key_id(OTHER)])
    assert key_id(KEY) in str(caught.value)
    assert "vault discard" in str(caught.value)


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(TEXT)
    for mode in (0o604, 0o640, 0o666):
        file.chmod(mode)
        with pytest.raises(PrivateFileError, match="chmod 600"):
            load_keyring(KeySource(file=file, data_dir=tmp_path), [])


@pytest.mark.parametrize(
    "command",
    ["false", "nothing-of-that-name", "'", "", "echo hunter2", "true", "printf '\\377'", "echo $HOME"],
)
def test_a_command_that_gives_no_key_is_refused_without_showing_what_it_printed(
    tmp_path: Path, command: str
) -> None:
    with pytest.raises(VaultKeyError, match="vault_key_command") as caught:
        load_keyring(KeySource(command=command, data_dir=tmp_path), [])
    assert "hunter2" not in str(caught.value)


def test_a_command_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "COMMAND_SECONDS", 0.1)
    with pytest.raises(VaultKeyError, match="did not end"):
        load_keyring(KeySource(command="sleep 60", data_dir=tmp_path), [])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunwrightError, match="gone"):
        load_keyring(KeySource(file=tmp_path / "gone", data_dir=tmp_path), [])
