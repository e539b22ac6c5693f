"""No two sandboxes have the same uid at once, whichever servers they are of."""

import asyncio
import os
import pwd
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from runwright.runtimes.host import Host
from runwright.sandbox import user_ids
from runwright.sandbox.user_ids import BLOCK_UIDS, FIRST_UID, UserIds
from tests.integration.conftest import MakeStage
from tests.waiting import PATIENCE_SECONDS


class Servers:
    """What servers of one host take their uids from."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._made: list[UserIds] = []

    def make(self) -> UserIds:
        """Return the uids of another server."""
        uids = UserIds(self._file)
        uids.open()
        self._made.append(uids)
        return uids

    def close(self) -> None:
        for one in self._made:
            one.close()


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    made = Servers(tmp_path / "uids.lock")
    yield made
    made.close()


def test_servers_take_different_uids(servers: Servers) -> None:
    one, other = servers.make(), servers.make()
    taken = [uids.take() for _ in range(2 * BLOCK_UIDS) for uids in (one, other)]
    assert len(set(taken)) == 4 * BLOCK_UIDS
    assert min(taken) >= FIRST_UID + BLOCK_UIDS, "the first block is for the probe"
    assert max(taken) < 65_534


def test_a_uid_that_is_given_back_is_used_again(servers: Servers) -> None:
    uids = servers.make()
    first = uids.take()
    uids.give_back(first)
    assert uids.take() == first


def test_what_cannot_be_used_is_left_out(servers: Servers) -> None:
    uids = servers.make()
    first = uids.take()
    uids.give_back(first)
    assert uids.take(lambda: {first}) != first
    assert uids.take() == first


def test_accounts_of_the_host_are_left_out(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_ids, "BLOCKS", 2)
    account = FIRST_UID + BLOCK_UIDS + 3
    root = pwd.getpwuid(0)

    def getpwuid(uid: int) -> pwd.struct_passwd:
        if uid == account:
            return root
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", getpwuid)
    uids = servers.make()
    assert account not in [uids.take() for _ in range(BLOCK_UIDS - 1)]
    with pytest.raises(OSError, match="every uid that sandboxes may have is in use"):
        uids.take()


def test_uids_are_free_once_their_server_has_ended(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_ids, "BLOCKS", 2)
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
    one, other = servers.make(), servers.make()
    one.take()
    with pytest.raises(OSError, match="every uid"):
        other.take()
    one.close()
    assert FIRST_UID + BLOCK_UIDS <= other.take() < FIRST_UID + 2 * BLOCK_UIDS


@pytest.mark.parametrize("file", ["/proc/nowhere/uids", "/dev/null/uids"])
def test_a_host_with_nothing_to_write_to_has_uids(file: str) -> None:
    uids = UserIds(Path(file))
    uids.open()
    assert len({uids.take() for _ in range(2 * BLOCK_UIDS)}) == 2 * BLOCK_UIDS


def test_a_lock_file_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        UserIds(tmp_path / "link").open()


async def test_the_end_of_a_sandbox_is_not_the_end_of_one_of_another_server(
    make_stage: MakeStage, bare: Host
) -> None:
    one, other = await make_stage(bare), await make_stage(bare)
    waits = "import time\ndef handler(input, env):\n    print('begun')\n    time.sleep(input['seconds'])\n"
    ends = one.assign(waits, input=b'{"seconds": 1000}')
    stays = other.assign(waits, input=b'{"seconds": 2}')
    await asyncio.gather(one.saying(ends, "begun"), other.saying(stays, "begun"))
    one.pool.cancel(ends.assignment.id)
    await one.finish(ends)
    await other.finish(stays)
    assert stays.outcome.error_message == ""


async def test_a_process_that_has_its_uid_before_the_loop_looks_has_its_limits(
    make_stage: MakeStage, bare: Host
) -> None:
    if os.geteuid():
        pytest.skip("only root gives processes a uid of their own")
    stage = await make_stage(bare)
    source = (
        "import resource\ndef handler(input, env):\n    return resource.getrlimit(resource.RLIMIT_CORE)\n"
    )
    played = stage.assign(source)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not any(child.uids().real >= FIRST_UID for child in psutil.Process().children()):
        assert time.monotonic() < deadline
        time.sleep(0.005)  # noqa: ASYNC251  the loop is held on purpose
    await stage.finish(played)
    assert played.output == [0, 0]
