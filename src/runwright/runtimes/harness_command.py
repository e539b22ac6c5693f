"""Build the command line and the environment of a harness, with and without a sandbox around it."""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Final

from runwright.runtimes.host import Interpreter
from runwright.runtimes.model import APP, CODE, WorkerCode
from runwright.sandbox.bubblewrap import (
    ENVIRONMENT,
    MEMORY_FOLDERS,
    TEMPORARY,
    WORK,
    Bubblewrap,
    bind_read_only,
    make_directory,
    make_symlink,
)
from runwright.sandbox.spawn import SOCKET_FD

HARNESS_FOLDER: Final = Path(__file__).parent / "harness"
HARNESS_INSIDE: Final = "/harness"
"""Where a sandbox has `HARNESS_FOLDER`."""
JOB_WAITS: Final = "job-waits"
"""The last argument of a harness that is started for a job, and so does not prepare for others first."""
_COMMANDS: Final = "/runtime/bin"
"""Where a sandbox has the interpreter under its usual names."""


def harness_command(
    interpreter: Interpreter,
    *,
    uid: int,
    folder: str,
    harness_folder: str,
    memory_mb: int,
    code: WorkerCode | None = None,
) -> list[str]:
    """Return the command line of a harness that works in `folder` and whose file is in `harness_folder`.

    `code` is given if it is started for a job.
    """
    heap = (interpreter.heap_flag.format(memory_mb),) if interpreter.heap_flag else ()
    harness = f"{harness_folder}/{interpreter.harness}"
    waits = (JOB_WAITS,) if code is not None and interpreter.module else ()
    arguments = (*interpreter.module, str(SOCKET_FD), str(uid), folder, *interpreter.arguments, *waits)
    paths = _flag_paths(folder, code, sandboxed=harness_folder == HARNESS_INSIDE)
    flags = [flag.format(**paths) for flag in _flags(interpreter, code)]
    return [interpreter.path, *flags, *heap, harness, *arguments]


def sandbox_command(
    bubblewrap: Bubblewrap,
    interpreter: Interpreter,
    *,
    uid: int,
    memory_mb: int,
    code: WorkerCode | None = None,
    network: bool = False,
) -> list[str]:
    """Return the command line of a sandbox around a harness, with the folders of `code` mounted.

    With `network` it keeps the network namespace that it is started in (see `runwright.egress`).
    """
    harness = harness_command(
        interpreter,
        uid=0 if bubblewrap.drops_uid else uid,
        folder=WORK,
        harness_folder=HARNESS_INSIDE,
        memory_mb=memory_mb,
        code=code,
    )
    bundle = code.bundle if code is not None else None
    overlay = (CODE, bundle) if bundle is not None and bubblewrap.can_overlay else None
    search = code_environment(interpreter, code, commands=_COMMANDS, bundle=CODE, layer=APP)
    return bubblewrap.command(
        harness,
        environment=(*interpreter.environment, *search.items()),
        memory_folders=MEMORY_FOLDERS,
        mounts=[
            *interpreter_mounts(interpreter),
            *_commands(interpreter),
            *_code_mounts(code, overlaid=overlay is not None),
            *_scratch(interpreter, code),
        ],
        directory=WORK,
        network=network,
        uid=uid,
        overlay=overlay,
    )


def code_environment(
    interpreter: Interpreter, code: WorkerCode | None, *, commands: str, bundle: str, layer: str
) -> dict[str, str]:
    """Return the variables by which child processes find the interpreter, the bundle and its dependencies.

    `commands`, `bundle` and `layer` are folders as the sandbox has them.
    """
    bins = ("bin", "node_modules/.bin")
    folders = [f"{bundle}/{name}" for name in bins] if code is not None and code.bundle else []
    folders += (
        [f"{layer}/{name}" for name in ("node_modules/.bin", "python/bin")] if code and code.layer else []
    )
    variables = {"PATH": ":".join([commands, *folders, ENVIRONMENT["PATH"]])}
    if interpreter.runtime == "python" and code is not None and code.bundle:
        own = [str(PurePosixPath(bundle, code.entrypoint).parent), bundle]
        installed = [f"{layer}/python"] if code.layer else []
        variables["PYTHONPATH"] = ":".join(dict.fromkeys([*own, *installed]))
    return variables


def _commands(interpreter: Interpreter) -> list[str]:
    options = make_directory(str(PurePosixPath(_COMMANDS).parent)) + make_directory(_COMMANDS)
    for name in interpreter.commands:
        options += make_symlink(interpreter.path, f"{_COMMANDS}/{name}")
    return options


def interpreter_mounts(interpreter: Interpreter) -> list[str]:
    """Return the mount options for an interpreter and the harnesses."""
    options = [option for path in interpreter.mounts for option in bind_read_only(path)]
    return [*options, "--ro-bind", str(HARNESS_FOLDER), HARNESS_INSIDE]


def _flag_paths(folder: str, code: WorkerCode | None, *, sandboxed: bool) -> dict[str, str]:
    """Return the values of the placeholders in flags; without a sandbox the paths are the host's."""
    writable = [folder, TEMPORARY, CODE] if sandboxed else [folder]
    readable = [APP] if sandboxed else code.folders if code else []
    bundle = CODE if sandboxed or code is None else code.bundle or CODE
    return {"writable": _join(writable), "readable": _join([*writable, *readable]), "bundle": bundle}


def _join(paths: Iterable[str]) -> str:
    return ",".join(path.replace(",", ",,") for path in paths)


def _flags(interpreter: Interpreter, code: WorkerCode | None) -> list[str]:
    """Return the interpreter's flags for this code; a bundle's own files were checked with its layer."""
    flags = list(interpreter.flags)
    if code is not None and code.bundle is not None and code.layer is not None:
        for name, (replaced, replacements) in interpreter.project_flags.items():
            if Path(code.bundle, name).is_file():
                at = flags.index(replaced)
                flags[at : at + 1] = replacements
    return flags


def _code_mounts(code: WorkerCode | None, *, overlaid: bool) -> list[str]:
    """Return the mount options for bundle and layer; a layer has an empty folder to mount a bundle on.

    `overlaid`: the bundle itself is mounted by an overlay.
    """
    if code is None or not code.folders:
        return []
    layer = ["--ro-bind", code.layer, APP] if code.layer else make_directory(APP)
    if not code.bundle:
        return layer
    mount_point = [] if code.layer else make_directory(CODE)
    bundle = [] if overlaid else ["--ro-bind", code.bundle, CODE]
    return [*layer, *mount_point, *bundle]


def _scratch(interpreter: Interpreter, code: WorkerCode | None) -> list[str]:
    if interpreter.scratch is None:
        return []
    options = make_directory(interpreter.scratch, "0777")
    name = PurePosixPath(interpreter.scratch).name
    layer = Path(code.layer, name) if code is not None and code.layer is not None else None
    for entry in sorted(layer.iterdir()) if layer is not None and layer.is_dir() else []:
        options += make_symlink(f"{APP}/{name}/{entry.name}", f"{interpreter.scratch}/{entry.name}")
    return options
