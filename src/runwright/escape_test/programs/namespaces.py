"""Namespaces and mounts: leaving the own ones, entering others, changing mounts."""

import ctypes
import os
import stat
import struct

from escape_kit import (
    AT_CWD,
    NEW_MOUNTS,
    NEW_NETWORK,
    NEW_PROCESSES,
    NEW_USER,
    StoppedError,
    Targets,
    any_of,
    attempt,
    call,
    first_of,
    forked,
    in_child,
    library,
    read_canary,
)

BIND, REMOUNT, READ_ONLY, DETACH = 4096, 32, 1, 2
TREE_CLONE, MOUNT_FROM_FD = 1, 4


def _as_new_root(targets: Targets) -> str:
    """With the capabilities of a new user namespace, mount file systems of the host."""

    def mounted(kind: str) -> str:
        call("mount", b"none", b"/tmp", kind.encode(), 0, b"")
        return f"mounted the host's {kind}"

    kinds = ("proc", "sysfs", "cgroup", "cgroup2", "devtmpfs", "debugfs", "securityfs")
    return first_of(lambda: read_canary(targets["file"]), lambda: any_of(kinds, mounted))


@attempt()
@forked
def user_namespace(targets: Targets) -> str:
    """Become root of a new user namespace by unshare, and reach the host with its capabilities."""
    call("unshare", NEW_USER | NEW_MOUNTS)
    return _as_new_root(targets)


@attempt()
@forked
def user_namespace_by_clone3(targets: Targets) -> str:
    """Become root of a new user namespace by clone3, whose flags a seccomp filter cannot read."""
    arguments = struct.pack("8Q", NEW_USER | NEW_MOUNTS, 0, 0, 0, 17, 0, 0, 0)
    reader, writer = os.pipe()
    pid = call("clone3", ctypes.create_string_buffer(arguments, 64), 64)
    if not pid:
        try:
            os.write(writer, b"=" + _as_new_root(targets).encode())
        except (OSError, StoppedError) as error:
            os.write(writer, b"-" + str(error).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    report = os.read(reader, 4096).decode()
    if report[:1] != "=":
        raise StoppedError(report[1:])
    return report[1:]


@attempt()
def mount_namespace(_targets: Targets) -> str:
    """Create a mount namespace."""
    return in_child(lambda: f"unshare: {call('unshare', NEW_MOUNTS)}")


@attempt()
def pid_namespace(_targets: Targets) -> str:
    """Create a pid namespace, and be its init."""
    return in_child(lambda: f"unshare: {call('unshare', NEW_PROCESSES)}")


@attempt()
def network_namespace(_targets: Targets) -> str:
    """Create a network namespace."""
    return in_child(lambda: f"unshare: {call('unshare', NEW_NETWORK)}")


@attempt()
def namespaces_of_the_host(targets: Targets) -> str:
    """Enter the namespaces of a host process."""
    kinds = {"net": NEW_NETWORK, "ipc": 0x08000000, "uts": 0x04000000, "pid": NEW_PROCESSES}

    def enter(name: str) -> str:
        call("setns", os.open(f"/proc/{targets['pid']}/ns/{name}", os.O_RDONLY), kinds[name])
        return f"entered {name}"

    return in_child(lambda: any_of(kinds, enter))


@attempt()
def namespaces_by_pidfd(targets: Targets) -> str:
    """Enter the namespaces of a host process by its pidfd."""
    return in_child(
        lambda: f"setns: {call('setns', call('pidfd_open', targets['pid'], 0), NEW_NETWORK | 0x04000000)}"
    )


@attempt()
def mounting(targets: Targets) -> str:
    """Mount a file system."""
    folder = targets["disks"][0].encode()
    call("mount", b"none", folder, b"tmpfs", 0, b"size=4k")
    call("umount2", folder, DETACH)
    return "mounted a tmpfs"


@attempt(bare="mounts")
def making_mounts_writable(targets: Targets) -> str:
    """Remount read-only folders as writable."""

    def remount(path: str) -> str:
        call("mount", b"none", path.encode(), b"", BIND | REMOUNT, b"")
        return f"{path} is writable now"

    return any_of(targets["read_only"], remount)


@attempt(bare="mounts")
def making_mounts_writable_by_setattr(targets: Targets) -> str:
    """Make read-only folders writable by mount_setattr."""

    def remount(path: str) -> str:
        attributes = struct.pack("4Q", 0, READ_ONLY, 0, 0)
        call("mount_setattr", AT_CWD, path.encode(), 0, attributes, len(attributes))
        return f"{path} is writable now"

    return any_of(targets["read_only"], remount)


@attempt(bare="mounts")
def unmounting(targets: Targets) -> str:
    """Unmount what hides the host's folders."""
    call("umount2", targets["read_only"][0].encode(), DETACH)
    return f"unmounted {targets['read_only'][0]}"


@attempt(bare="mounts")
@forked
def pivoting(targets: Targets) -> str:
    """Change the root folder by pivot_root."""
    folder = targets["disks"][0].encode()
    call("mount", folder, folder, b"", BIND, b"")
    os.makedirs(folder + b"/old", exist_ok=True)
    call("pivot_root", folder, folder + b"/old")
    return "it changed its root"


@attempt(bare="mounts")
def mounting_by_fsopen(targets: Targets) -> str:
    """Mount a file system by fsopen, fsconfig, fsmount and move_mount."""
    context = call("fsopen", b"tmpfs", 0)
    call("fsconfig", context, 6, 0, 0, 0)
    mount = call("fsmount", context, 0, 0)
    folder = targets["disks"][0].encode()
    call("move_mount", mount, b"", AT_CWD, folder, MOUNT_FROM_FD)
    call("umount2", folder, DETACH)
    return "mounted a tmpfs"


@attempt(bare="mounts")
def copying_mounts_by_open_tree(_targets: Targets) -> str:
    """Copy a mount by open_tree."""
    os.close(call("open_tree", AT_CWD, b"/usr", TREE_CLONE))
    return "copied the mount of /usr"


@attempt()
def making_devices(targets: Targets) -> str:
    """Create a device node of the host and open it."""
    path = f"{targets['disks'][1]}/device"

    def make(kind: int, major: int, minor: int) -> str:
        os.mknod(path, kind | 0o600, os.makedev(major, minor))
        try:
            os.close(os.open(path, os.O_RDONLY))
        finally:
            os.unlink(path)
        return f"opened device {major}:{minor}"

    tries = [
        (stat.S_IFCHR, 1, 11),
        (stat.S_IFBLK, 7, 0),
        *((stat.S_IFBLK, *one) for one in targets["devices"]),
    ]
    return any_of(tries, lambda one: make(*one))


@attempt()
def devices_of_the_host(_targets: Targets) -> str:
    """Open the host's devices in /dev: disks, memory, kernel log, virtual machines, tunnels."""
    names = "mem kmem port kmsg vda sda nvme0n1 loop-control fuse kvm net/tun vsock vhost-vsock console tty0"

    def reach(name: str) -> str:
        os.close(os.open(f"/dev/{name}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY))
        return f"opened /dev/{name}"

    return any_of(names.split(), reach)


@attempt(bare="terminal")
def typing_into_the_terminal(_targets: Targets) -> str:
    """Type into the terminal that the server was started from (TIOCSTI)."""
    terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    try:
        if library.ioctl(terminal, 0x5412, b"x"):
            raise OSError(ctypes.get_errno(), "TIOCSTI")
    finally:
        os.close(terminal)
    return "typed a character"
