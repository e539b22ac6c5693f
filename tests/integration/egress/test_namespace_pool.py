"""A thread that starts processes in namespaces of their own, and comes home."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from runwright.egress.namespace_pool import NamespacePool
from tests.integration.egress.conftest import descriptors

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a namespace in a thread")
HOME = Path("/proc/self/ns/net")


def namespace_of(process: subprocess.Popen[bytes]) -> Path:
    return Path(f"/proc/{process.pid}/ns/net").readlink()


def test_each_process_is_in_a_namespace_of_its_own_and_this_one_stays_at_home() -> None:
    before, home = descriptors(), HOME.readlink()
    maker = NamespacePool([80, 443])
    maker.start()
    processes: list[subprocess.Popen[bytes]] = []

    def start() -> int:
        processes.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))
        return processes[-1].pid

    for number in range(3):
        pid, listeners = maker.spawn(start)
        assert pid == processes[number].pid
        ports = [listener.getsockname()[1] for listener in listeners]
        assert ports == [53, 53, 80, 443]
        for listener in listeners:
            listener.close()
    assert len({home, *map(namespace_of, processes)}) == 4
    for process in processes:
        process.communicate(b"\n")
    maker.stop()
    assert HOME.readlink() == home
    assert descriptors() == before
    assert not [t for t in threading.enumerate() if t.name.startswith("runwright-")]


def test_a_start_that_fails_leaves_nothing_and_the_next_one_works() -> None:
    before = descriptors()
    maker = NamespacePool([80])
    maker.start()

    def fail() -> int:
        raise FileNotFoundError("no such program")

    for _ in range(3):
        with pytest.raises(FileNotFoundError):
            maker.spawn(fail)
    pid, listeners = maker.spawn(lambda: 7)
    assert (pid, len(listeners)) == (7, 3)
    for listener in listeners:
        listener.close()
    maker.stop()
    assert descriptors() == before
