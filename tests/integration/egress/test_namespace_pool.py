"""A thread that starts processes in namespaces of their own, and returns from each."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from runwright.egress.namespace_pool import NamespacePool
from tests.integration.egress.conftest import descriptors

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a namespace in a thread")
OWN_NAMESPACE = Path("/proc/self/ns/net")


def namespace_of(process: subprocess.Popen[bytes]) -> Path:
    return Path(f"/proc/{process.pid}/ns/net").readlink()


def test_each_process_is_in_a_namespace_of_its_own_and_this_one_stays_in_its_own() -> None:
    before, own = descriptors(), OWN_NAMESPACE.readlink()
    pool = NamespacePool([80, 443])
    pool.start()
    processes: list[subprocess.Popen[bytes]] = []

    def start() -> int:
        processes.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))
        return processes[-1].pid

    for number in range(3):
        pid, listeners = pool.spawn(start)
        assert pid == processes[number].pid
        ports = [listener.getsockname()[1] for listener in listeners]
        assert ports == [53, 53, 80, 443]
        for listener in listeners:
            listener.close()
    assert len({own, *map(namespace_of, processes)}) == 4
    for process in processes:
        process.communicate(b"\n")
    pool.stop()
    assert OWN_NAMESPACE.readlink() == own
    assert descriptors() == before
    assert not [t for t in threading.enumerate() if t.name.startswith("runwright-")]


def test_a_start_that_fails_leaves_nothing_and_the_next_one_works() -> None:
    before = descriptors()
    pool = NamespacePool([80])
    pool.start()

    def fail() -> int:
        raise FileNotFoundError("no such program")

    for _ in range(3):
        with pytest.raises(FileNotFoundError):
            pool.spawn(fail)
    pid, listeners = pool.spawn(lambda: 7)
    assert (pid, len(listeners)) == (7, 3)
    for listener in listeners:
        listener.close()
    pool.stop()
    assert descriptors() == before
