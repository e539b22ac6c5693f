"""The platform key is configured, or made once and kept where only its owner can read it."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runwright.config.private_file import PrivateFileError
from runwright.tenants.api_keys import PLATFORM_KEY_FILE, platform_key


def test_a_configured_key_is_taken_and_no_file_is_made(tmp_path: Path) -> None:
    assert platform_key("mine", tmp_path) == "mine"
    assert not list(tmp_path.iterdir())


def test_the_first_start_makes_a_key_and_later_ones_find_it(tmp_path: Path) -> None:
    key = platform_key(None, tmp_path / "data")
    assert platform_key(None, tmp_path / "data") == key
    file = tmp_path / "data" / PLATFORM_KEY_FILE
    assert file.read_text().strip() == key
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == [PLATFORM_KEY_FILE]


def test_processes_that_start_together_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        made = set(threads.map(lambda _: platform_key(None, tmp_path), range(32)))
    assert len(made) == 1
    assert [path.name for path in tmp_path.iterdir()] == [PLATFORM_KEY_FILE]


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    platform_key(None, tmp_path)
    (tmp_path / PLATFORM_KEY_FILE).chmod(0o644)
    with pytest.raises(PrivateFileError, match="chmod 600"):
        platform_key(None, tmp_path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / PLATFORM_KEY_FILE).touch(mode=0o600)
    with pytest.raises(PrivateFileError, match="empty"):
        platform_key(None, tmp_path)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("planted")
    (tmp_path / PLATFORM_KEY_FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PrivateFileError):
        platform_key(None, tmp_path)
