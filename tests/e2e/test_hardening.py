"""A server under the restrictions of contrib/systemd/runwright.service has strict sandboxes, and runs jobs in them.

What systemd does with mounts, capabilities and privileges is done here by `unshare`, `mount` and `setpriv`, from the
unit's own lines. Its filters of system calls (RestrictRealtime, LockPersonality and the like) are not tried.
"""

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from tests.contract.client import Api, RawClient
from tests.contract.conftest import PLATFORM_KEY, serving
from tests.releases import ROOT

UNIT: Final = (ROOT / "contrib" / "systemd" / "runwright.service").read_text()
_CONFINE: Final = r"""#!/bin/bash
# In a mount namespace of its own, which goes with the server.
set -eu
mount --bind {data} {data}
mount -t tmpfs -o mode=1777 tmpfs /var/tmp
devices=$(mktemp -d -p /var/tmp)
mount -t tmpfs -o mode=755,nosuid tmpfs $devices
for name in null zero full random urandom tty; do touch $devices/$name; mount --bind /dev/$name $devices/$name; done
mkdir $devices/shm $devices/pts
mount -t tmpfs -o mode=1777 tmpfs $devices/shm
ln -s /proc/self/fd $devices/fd; ln -s /proc/self/fd/0 $devices/stdin
ln -s /proc/self/fd/1 $devices/stdout; ln -s /proc/self/fd/2 $devices/stderr
mount --rbind $devices /dev
mount -o remount,bind,ro /
mount --bind /dev/null /proc/kmsg
! touch /usr/tried /etc/tried 2>/dev/null
exec setpriv --no-new-privs --bounding-set {capabilities} {program} "$@"
"""


def setting(name: str) -> str:
    [value] = re.findall(rf"^{name}=(.*)$", UNIT, re.MULTILINE)
    return str(value)


@pytest.fixture
def confined() -> Iterator[tuple[Path, Path]]:
    """A program that starts the server as the unit does, and the data directory that it may write to."""
    if os.geteuid() != 0:
        pytest.skip("restrictions of root's processes need root")
    if not all(map(shutil.which, ("unshare", "setpriv", "mount"))):
        pytest.skip("this host lacks unshare, setpriv or mount")
    assert (setting("ProtectSystem"), setting("PrivateDevices"), setting("NoNewPrivileges")) == (
        "strict",
        "yes",
        "yes",
    )
    folder = Path(tempfile.mkdtemp(prefix="runwright-confined-", dir="/tmp"))
    folder.chmod(0o711)
    data = folder / "data"
    data.mkdir(mode=0o711)
    allowed = setting("CapabilityBoundingSet").lower().replace("cap_", "+").split()
    inside = folder / "inside"
    inside.write_text(
        _CONFINE.format(
            data=data,
            capabilities=",".join(("-all", *allowed)),
            program=Path(sys.executable).with_name("runwright"),
        )
    )
    program = folder / "program"
    program.write_text(f'#!/bin/sh\nexec unshare --mount {inside} "$@"\n')
    for one in (inside, program):
        one.chmod(0o755)
    yield program, data
    shutil.rmtree(folder)


@pytest.mark.timeout(240)
def test_sandboxes_are_strict_under_the_units_restrictions(confined: tuple[Path, Path]) -> None:
    program, data = confined
    settings = {"RUNWRIGHT_ISOLATION_FLOOR": "strict", "RUNWRIGHT_POOL_PREBOOTED_PYTHON": "0"}
    with (
        serving(settings, program=program, prepared=data) as server,
        RawClient(server.url) as http,
    ):
        status = Path(f"/proc/{server.pid}/status").read_text()
        assert "NoNewPrivs:\t1" in status
        [bounding] = re.findall(r"CapBnd:\t(\w+)", status)
        # Not all that the unit allows, where this process lacks some itself.
        assert 0 < int(bounding, 16).bit_count() <= len(setting("CapabilityBoundingSet").split())
        api = Api(http, key=PLATFORM_KEY, tenant="ten_hardened")
        system = http.get("/healthz").json()
        assert (system["status"], system["isolation"]["level"], system["isolation"]["missing"]) == (
            "ok",
            "strict",
            [],
        )
        assert {one["name"] for one in system["runtimes"] if one["ready"]} == {
            "python",
            "nodejs",
            "deno",
            "shell",
            "wasm",
        }
        for runtime, source in (
            ("python", "def handler(input, env): return input"),
            ("nodejs", "module.exports = async ({ input }) => input"),
        ):
            worker = api.make_worker(runtime=runtime, source_code=source)
            assert api.run_job(worker["id"], input={"n": 1})["output"] == {"n": 1}
