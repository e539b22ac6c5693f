"""Determine, by experiment, how to build sandboxes on this host.

Each setup is tried with a real harness, the strongest first: the harness must report that it is ready, and
the kernel must report that it has no capabilities, cannot gain privileges, has the expected uid and, if
requested, a system call filter. Then each runtime is booted once with the setup that works.
"""

import contextlib
import os
import select
import signal
import socket
import struct
import time
from pathlib import Path
from typing import Final

import msgspec

from runwright.egress.namespace import DNS_PORT
from runwright.egress.namespace_pool import namespace_command, receive_listeners
from runwright.runtimes.harness_command import (
    HARNESS_FOLDER,
    HARNESS_INSIDE,
    harness_command,
    sandbox_command,
)
from runwright.runtimes.host import Host, Interpreter, Isolation, MissingFeature
from runwright.runtimes.interpreter_versions import describe_runtimes, find_versions
from runwright.runtimes.interpreters import (
    PREBOOTED_MEMORY_MB,
    InterpreterPaths,
    compile_harnesses,
    find_interpreters,
)
from runwright.runtimes.protocol import HEADER, FrameKind
from runwright.sandbox.account_files import open_account_files
from runwright.sandbox.bubblewrap import ENVIRONMENT, Bubblewrap, find_bwrap, find_setpriv
from runwright.sandbox.cgroups import open_cgroups
from runwright.sandbox.seccomp import filter_program
from runwright.sandbox.spawn import (
    BLOCK_FD,
    GROUP_FD,
    INFO_FD,
    NETWORK_FD,
    PASSWD_FD,
    SECCOMP_FD,
    SOCKET_FD,
    close_fds,
    duplicate_fds,
    spawn,
)
from runwright.sandbox.user_ids import FIRST_UID

BOOT_SECONDS: Final = 20.0
_NONE_CHOSEN: Final = InterpreterPaths()
_UCRED: Final = struct.Struct("3i")
_FILTERED: Final = "2"
_TRIED_PORT: Final = 443


class SandboxSetup(msgspec.Struct, frozen=True, kw_only=True):
    """How to build a sandbox."""

    bwrap: str | None
    user_namespace: bool
    seccomp: bool
    uid: int
    network: bool = False


def probe_host(paths: InterpreterPaths = _NONE_CHOSEN) -> Host:
    """Return what the host offers; `paths` has the interpreters that the operator configured."""
    root = os.geteuid() == 0
    found = find_interpreters(paths, readable=False)
    setup, failures = _find_setup(_setups(find_bwrap(), root=root), found)
    if setup.bwrap is None and root:
        found = find_interpreters(paths, readable=True)
    others = find_versions(paths, found, readable=setup.bwrap is None and root)
    compile_harnesses(HARNESS_FOLDER, HARNESS_INSIDE, [*found.values(), *others.values()])
    reasons = {runtime: _boot_reason(setup, one) for runtime, one in found.items()}
    others = {name: one for name, one in others.items() if not _boot_reason(setup, one)}
    cgroups = open_cgroups()
    version = cgroups.version if cgroups is not None else 0
    if cgroups is not None:
        cgroups.close()
    no_network = _network_reason(setup, found)
    network = setup.bwrap is not None and not no_network
    isolation = _level(setup, cgroup_version=version, root=root)
    return Host(
        isolation=isolation,
        bwrap=setup.bwrap,
        user_namespace=setup.user_namespace,
        first_uid=setup.uid,
        seccomp=setup.seccomp,
        cgroup_version=version,
        network=network,
        reached=_reached(setup, version, network=network),
        missing=(*_missing(setup, version, failures, root=root), *_missing_network(no_network)),
        interpreters={
            name: one for name, one in found.items() if isinstance(one, Interpreter) and not reasons[name]
        }
        | others,
        runtimes=describe_runtimes(found, others, reasons, isolation),
    )


def floor_refusal(floor: str, host: Host) -> str | None:
    """Return why no jobs may run on this host with that isolation floor; None if they may."""
    required = Isolation[floor.upper()]
    if host.isolation >= required:
        return None
    lines = [
        f"This host reaches the isolation level '{host.isolation.wire_name}', below the floor '{floor}'.",
        *(f"- {one.what}: {one.why}. {one.remedy}" for one in host.missing),
        "Or lower the floor with RUNWRIGHT_ISOLATION_FLOOR, if you trust the code of all your tenants.",
    ]
    return "\n".join(lines)


def _setups(bwrap: str | None, *, root: bool) -> list[SandboxSetup]:
    """Return the setups to try, strongest first; the last one has no requirements."""
    setups: list[SandboxSetup] = []
    filters = [True, False] if filter_program() is not None else [False]
    if bwrap is not None:
        namespaces = [False, True] if root else [True]
        for user in namespaces:
            uid = FIRST_UID if root and not user else 0
            setups += [SandboxSetup(bwrap=bwrap, user_namespace=user, seccomp=f, uid=uid) for f in filters]
    return [
        *setups,
        SandboxSetup(bwrap=None, user_namespace=False, seccomp=False, uid=FIRST_UID if root else 0),
    ]


def _find_setup(
    setups: list[SandboxSetup], found: dict[str, Interpreter | str]
) -> tuple[SandboxSetup, list[str]]:
    """Return the first setup that works, and why those before it failed."""
    trial = next((one for one in found.values() if isinstance(one, Interpreter)), None)
    failures: list[str] = []
    for setup in setups[:-1]:
        reason = _boot_reason(setup, trial) if trial is not None else "there is no interpreter to try it with"
        if not reason:
            return setup, failures
        failures.append(reason)
    return setups[-1], failures


def _network_reason(setup: SandboxSetup, found: dict[str, Interpreter | str]) -> str:
    """Return why sandboxes of this setup cannot have a network, or an empty string."""
    if setup.bwrap is None:
        return ""
    trial = next((one for one in found.values() if isinstance(one, Interpreter)), None)
    return _boot_reason(msgspec.structs.replace(setup, network=True), trial)


def _boot_reason(setup: SandboxSetup, interpreter: Interpreter | str | None) -> str:
    """Boot a harness with this setup; return what went wrong, or an empty string."""
    if interpreter is None or isinstance(interpreter, str):
        return interpreter or "there is no interpreter"
    try:
        trial = _Trial(setup, interpreter)
    except OSError as error:
        return str(error)
    try:
        return trial.verdict()
    finally:
        trial.end()


class _Trial:
    """One boot, without an event loop and without limits, since only our own code runs in it."""

    def __init__(self, setup: SandboxSetup, interpreter: Interpreter) -> None:
        self._setup = setup
        self._sock, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._output, writer = os.pipe2(os.O_CLOEXEC)
        self._info, info_writer = os.pipe2(os.O_CLOEXEC)
        go, go_writer = os.pipe2(os.O_CLOEXEC)
        os.write(go_writer, b"1")
        self._control, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        program = os.memfd_create("seccomp", os.MFD_CLOEXEC)
        os.write(program, filter_program() or b"")
        os.lseek(program, 0, os.SEEK_SET)
        passwd, group = open_account_files(setup.uid)
        places = {0: -1, 1: writer, 2: writer, SOCKET_FD: far.fileno()}
        if setup.bwrap is not None:
            places |= {INFO_FD: info_writer, BLOCK_FD: go, PASSWD_FD: passwd, GROUP_FD: group}
        if setup.seccomp:
            places[SECCOMP_FD] = program
        if setup.network:
            places[NETWORK_FD] = control.fileno()
        copies = duplicate_fds(places)
        argv, env = self._command(interpreter)
        try:
            self._pid = spawn(argv, env, copies, own_session=setup.bwrap is None)
        finally:
            close_fds(copies)
            far.close()
            control.close()
            for fd in (writer, info_writer, go, go_writer, program, passwd, group):
                os.close(fd)
        self._pidfd = os.pidfd_open(self._pid)

    def _command(self, interpreter: Interpreter) -> tuple[list[str], dict[str, str]]:
        setup = self._setup
        if setup.bwrap is None:
            argv = harness_command(
                interpreter,
                uid=setup.uid,
                folder="/",
                harness_folder=str(HARNESS_FOLDER),
                memory_mb=PREBOOTED_MEMORY_MB,
            )
        else:
            argv = sandbox_command(
                Bubblewrap(path=setup.bwrap, user_namespace=setup.user_namespace, seccomp=setup.seccomp),
                interpreter,
                uid=setup.uid,
                memory_mb=PREBOOTED_MEMORY_MB,
                network=setup.network,
            )
        if setup.network:
            argv = namespace_command(NETWORK_FD, [_TRIED_PORT], argv)
        env = ENVIRONMENT | dict(interpreter.environment) if setup.bwrap is None else {}
        return argv, env

    def verdict(self) -> str:
        """Wait until the harness is ready or dead; return what is wrong with it, or nothing."""
        deadline = time.monotonic() + BOOT_SECONDS
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        poll.register(self._pidfd, select.POLLIN)
        while (left := deadline - time.monotonic()) > 0:
            ready = [fd for fd, _ in poll.poll(1000 * left)]
            if self._sock.fileno() in ready:
                return self._look()
            if self._pidfd in ready:
                os.set_blocking(self._output, False)
                output = os.read(self._output, 2000).decode("utf-8", "replace").strip()
                return output or "it ended without output"
        return f"it was not ready after {BOOT_SECONDS:g} seconds"

    def _look(self) -> str:
        data, extra, _, _ = self._sock.recvmsg(HEADER.size, socket.CMSG_SPACE(_UCRED.size))
        pid = next((_UCRED.unpack(content)[0] for _, _, content in extra), 0)
        if len(data) != HEADER.size or data[0] != FrameKind.READY or not pid:
            return "the harness did not report that it is ready"
        lines = (line.partition(":") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        status = {key: value.split() for key, _, value in lines}
        wrong = []
        if self._setup.uid and set(status["Uid"] + status["Gid"]) != {str(self._setup.uid)}:
            wrong.append("it kept the uid of the server")
        if self._setup.bwrap is not None:
            if int(status["CapEff"][0], 16) or int(status["CapPrm"][0], 16):
                wrong.append("it kept capabilities")
            if (self._setup.user_namespace or find_setpriv()) and int(status["CapBnd"][0], 16):
                wrong.append("it kept the capability bounding set")
            if status["NoNewPrivs"] != ["1"]:
                wrong.append("it may gain privileges")
        if self._setup.seccomp and status["Seccomp"] != [_FILTERED]:
            wrong.append("the system call filter is not in force")
        if self._setup.network:
            wrong += self._look_at_listeners(pid)
        return ", ".join(wrong)

    def _look_at_listeners(self, pid: int) -> list[str]:
        """Return what is wrong with the network namespace: it must be the listeners' and not the server's."""
        listeners = receive_listeners(self._control)
        for listener in listeners:
            listener.close()
        if len(listeners) != len((DNS_PORT, DNS_PORT, _TRIED_PORT)):
            return ["its listeners did not arrive"]
        with contextlib.suppress(OSError):  # an ordinary user may not inspect the namespaces of its sandboxes
            if Path(f"/proc/{pid}/ns/net").readlink() == Path("/proc/self/ns/net").readlink():
                return ["it is in the network namespace of the host"]
        return []

    def end(self) -> None:
        """Kill it: the whole namespace ends with bwrap, and the harness ends without its socket."""
        self._sock.close()
        self._control.close()
        signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        for fd in (self._pidfd, self._output, self._info):
            os.close(fd)


def _level(setup: SandboxSetup, *, cgroup_version: int, root: bool) -> Isolation:
    watched = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").exists()
    # Without a filter there are System V objects, which only root can inspect (memory_usage.py).
    watched = watched and (setup.seccomp or bool(setup.uid))
    if setup.bwrap is None or not (cgroup_version or watched):
        return Isolation.PROCESS
    if setup.seccomp and cgroup_version and (setup.uid or not root):
        return Isolation.STRICT
    return Isolation.STANDARD


def _reached(setup: SandboxSetup, cgroup_version: int, *, network: bool) -> tuple[str, ...]:
    reached = ["rlimits"]
    if setup.bwrap is not None:
        reached += ["mount, pid, ipc, uts and network namespaces", "no capabilities", "no new privileges"]
    if setup.user_namespace:
        reached.append("user namespace")
    if setup.uid:
        reached.append(f"a uid of its own for each sandbox, from {setup.uid}")
    if setup.seccomp:
        reached.append("system call filter")
    if network:
        reached.append("a guarded way to the network")
    memory = f"cgroups v{cgroup_version}" if cgroup_version else "a watchdog"
    reached.append(f"memory limits by {memory}")
    return tuple(reached)


def _missing(
    setup: SandboxSetup, cgroup_version: int, failures: list[str], *, root: bool
) -> tuple[MissingFeature, ...]:
    missing: list[MissingFeature] = []
    if setup.bwrap is None:
        missing.append(_missing_bwrap(failures))
    elif not setup.seccomp:
        why = failures[0] if failures else f"no filter is known for {os.uname().machine}"
        missing.append(
            MissingFeature("seccomp", why, "Use a kernel with CONFIG_SECCOMP_FILTER on x86_64 or aarch64.")
        )
    if root and setup.user_namespace:
        missing.append(
            MissingFeature(
                "a uid other than root",
                "user code runs as the host's root, without capabilities, for namespaces need CAP_SYS_ADMIN",
                "Run the server as an ordinary user, or as root with CAP_SYS_ADMIN.",
            )
        )
    if not cgroup_version:
        missing.append(
            MissingFeature(
                "cgroups",
                "no cgroup with memory, pids and cpu is writable; a watchdog limits memory instead",
                "Run as root, or under systemd with Delegate=yes.",
            )
        )
    return tuple(missing)


def _missing_bwrap(failures: list[str]) -> MissingFeature:
    if not failures:
        return MissingFeature(
            "bubblewrap", "no bwrap was found", "Install bubblewrap (pip or your distribution has it)."
        )
    return MissingFeature(
        "namespaces",
        f"bubblewrap could not build a sandbox: {failures[-1]}",
        "Allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1,"
        " kernel.apparmor_restrict_unprivileged_userns=0, user.max_user_namespaces above 0),"
        " or give a container CAP_SYS_ADMIN and an unmasked /proc.",
    )


def _missing_network(reason: str) -> tuple[MissingFeature, ...]:
    if not reason:
        return ()
    remedy = (
        "Workers run without a network. Use a kernel with CONFIG_NET_NS, and let the server make network"
        " namespaces: run it as root with CAP_SYS_ADMIN and CAP_NET_ADMIN, or allow unprivileged user"
        " namespaces, nested ones too (user.max_user_namespaces, user.max_net_namespaces)."
    )
    return (MissingFeature("outgoing network", reason, remedy),)
